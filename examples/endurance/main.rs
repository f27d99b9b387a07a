//! Trials of endurance: memory that stays flat over a long run, and checkpoints that survive a
//! process killed at any moment.
//!
//! `endurance memory` trains for a while, samples the memory of process and device, and prints the
//! slopes. `endurance kill` starts training processes that write checkpoints without pause, kills
//! each at a random moment, and resumes from what lies there. Both end with failure if what they
//! watch for happens.

#[path = "../common/mod.rs"]
mod common;
mod kill;
mod memory;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gibbs::nn::{Activation, AdamOptions};
use gibbs::train::{Dataset, EnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions};

use common::arguments::{Device, Outcome, start};

/// Watch memory over a long run, or kill runs while they write checkpoints.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    device: Device,
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
    start(run)
}

fn run(arguments: &Arguments) -> Outcome {
    let gpu = arguments.device.open()?;
    eprintln!("adapter: {}", gpu.adapter_name());
    match &arguments.trial {
        Trial::Memory(trial) => memory::run(&gpu, trial),
        Trial::Kill(trial) => kill::run(&gpu, &arguments.device, trial),
        Trial::Victim { path } => kill::victim(&gpu, path),
    }
}

/// Smooth, asymmetric pairs; what is learned from them does not matter here.
fn data() -> gibbs::Result<Dataset> {
    let wave = |row: usize, column: usize| ((row * 7 + column * 13) as f32 * 0.37).sin();
    let rows = 2048;
    let fill = |width: usize| (0..rows * width).map(|at| wave(at / width, at % width)).collect();
    Dataset::new(fill(1), 1, fill(2), 2)
}

/// A run with hidden layers of one width, longer than anybody waits.
fn options(hidden: Vec<usize>, batch: usize, negatives: usize) -> TrainOptions {
    let optimizer = AdamOptions::default();
    let energy = EnergyOptions::default()
        .with_hidden(hidden)
        .with_activation(Activation::Silu)
        .with_optimizer(optimizer);
    let nce = RankingNceOptions::default()
        .with_negatives(negatives)
        .with_energy(energy)
        .with_proposal(ProposalOptions::Mixture { components: 2, hidden: vec![16], optimizer });
    TrainOptions::new(nce).with_batch(batch).with_steps(2_000_000).with_seed(1)
}
