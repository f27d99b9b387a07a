//! Trials of endurance: memory that stays flat over a long run, and checkpoints that survive a process killed at any moment.
//!
//! `endurance memory` trains for a while, samples the memory of process and device, and prints the slopes. `endurance kill`
//! starts training processes that write checkpoints without pause, kills each at a random moment, and resumes from what lies
//! there. Both end with failure if what they watch for happens.

mod kill;
mod memory;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gibbs::nn::{Activation, AdamOptions};
use gibbs::train::{Dataset, EnergyOptions, ProposalOptions, RnceOptions};
use gibbs::{Gpu, GpuOptions};

/// What any of the trials returns.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Watch memory over a long run, or kill runs while they write checkpoints.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long, global = true)]
    adapter: Option<String>,
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Debug, Subcommand)]
enum Trial {
    /// Train, and sample the memory of process and device.
    Memory(memory::Arguments),
    /// Kill training processes at random moments and resume from their checkpoints.
    Kill(kill::Arguments),
    /// Train and write a checkpoint after every step, until killed. Started by `kill`.
    #[command(hide = true)]
    Victim {
        /// The checkpoint: resumed from if it is there.
        path: PathBuf,
    },
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    match &arguments.trial {
        Trial::Memory(trial) => memory::run(&open(arguments)?, trial),
        Trial::Kill(trial) => kill::run(&open(arguments)?, arguments.adapter.as_deref(), trial),
        Trial::Victim { path } => kill::victim(&open(arguments)?, path),
    }
}

fn open(arguments: &Arguments) -> gibbs::Result<Gpu> {
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    eprintln!("adapter: {}", gpu.adapter_name());
    Ok(gpu)
}

/// Smooth, asymmetric pairs; what is learned from them does not matter here.
fn data() -> gibbs::Result<Dataset> {
    let wave = |row: usize, column: usize| ((row * 7 + column * 13) as f32 * 0.37).sin();
    let rows = 2048;
    let fill = |width: usize| (0..rows * width).map(|at| wave(at / width, at % width)).collect();
    Dataset::new(fill(1), 1, fill(2), 2)
}

/// A run with hidden layers of one width, longer than anybody waits.
fn options(hidden: Vec<usize>, batch: usize, negatives: usize) -> RnceOptions {
    RnceOptions {
        batch,
        negatives,
        steps: 2_000_000,
        energy: EnergyOptions {
            hidden,
            activation: Activation::Silu,
            optimiser: AdamOptions::default(),
            ..EnergyOptions::default()
        },
        proposal: ProposalOptions::Mixture {
            components: 2,
            hidden: vec![16],
            optimiser: AdamOptions::default(),
        },
        seed: 1,
        ..RnceOptions::default()
    }
}
