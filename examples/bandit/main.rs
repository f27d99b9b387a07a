//! Learns how a bandit's actions were chosen, as a diffusion model for every state, and energies that lead its samples towards what is
//! worth most; measures the policies against the best one in closed form (arXiv 2304.12824).

#[path = "../common/accuracy.rs"]
mod accuracy;
#[path = "../common/choices.rs"]
mod choices;
#[path = "../common/files.rs"]
mod files;
#[path = "../common/palette.rs"]
mod palette;
#[path = "../common/panels.rs"]
mod panels;
#[path = "../common/progress.rs"]
mod progress;

mod measure;
mod networks;
mod pictures;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use gibbs::diffusion::SolverOptions;
use gibbs::{Gpu, GpuOptions};

use choices::LabelKind;
use networks::{Preset, Trained};
use rows::{Method, Row};

/// Learn a policy that stays near recorded behaviour and prefers valuable actions: pi(a|s) proportional to
/// mu(a|s) exp(beta Q(s, a)). States and actions are points of the plane, the behaviour mu has four modes that move with the state,
/// the value Q is quadratic; so the best policy of every state is known exactly, and samples are compared with it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How guidance is learned: cep (contrastive energy prediction), mse and emse (regression on energies and on their
    /// exponentials), none, or all; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "cep,mse")]
    method: Vec<String>,
    /// Labels of contrastive energy prediction.
    #[arg(long, value_enum, default_value_t = LabelKind::Unnormalised)]
    labels: LabelKind,
    /// How much value counts against likeness to the behaviour.
    #[arg(long, allow_negative_numbers = true, default_value_t = 3.0)]
    beta: f64,
    /// Actions per state that are compared with each other.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=1024))]
    support: u16,
    /// Where these actions come from.
    #[arg(long, value_enum, default_value_t = SupportSource::Data)]
    support_from: SupportSource,
    /// Factor of the energy's gradient; 1 is exact.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1.0)]
    guidance: f64,
    /// Evaluations of the networks per sample.
    #[arg(long, default_value_t = 25)]
    nfe: usize,
    /// Seed of data, weights, batches and samples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of the runs and size of the networks.
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Training steps of each network [default: by the preset].
    #[arg(long)]
    steps: Option<u64>,
    /// Samples to draw in each of the 16 states of the measurement.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    samples: u32,
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long)]
    adapter: Option<String>,
    /// Folder for the picture and metrics.
    #[arg(long, default_value = "out/bandit")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SupportSource {
    /// The exact behaviour: what guidance alone can do.
    Data,
    /// The learned model of the behaviour, as where only one action per state is recorded.
    Model,
}

impl Arguments {
    fn solver(&self) -> SolverOptions {
        SolverOptions { evaluations: self.nfe, ..SolverOptions::default() }
    }

    fn methods(&self) -> Result<Vec<Method>, String> {
        match &self.method[..] {
            [one] if one == "all" => Ok(Method::value_variants().to_vec()),
            names => names.iter().map(|name| Method::from_str(name, true)).collect(),
        }
    }
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

fn run(arguments: &Arguments) -> panels::Outcome {
    let methods = arguments.methods()?;
    for &method in &methods {
        networks::check(arguments, method)?;
    }
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    eprintln!("adapter: {}", gpu.adapter_name());
    std::fs::create_dir_all(&arguments.out)?;
    let mut trained = Trained::new(&gpu, arguments);
    let mut shown = Vec::new();
    let path = arguments.out.join("metrics.json");
    for method in methods {
        let begun = Instant::now();
        let row = Row::describe(arguments, &gpu, method);
        let mut found = measure::row(&mut trained, row)?;
        found.row.seconds = begun.elapsed().as_secs_f64();
        println!("{}", found.row.figures());
        shown.push(found);
        // After every method: a run that is stopped keeps what it has.
        match &shown[..] {
            [one] => files::write_json(&path, &one.row)?,
            all => {
                let rows: Vec<&Row> = all.iter().map(|found| &found.row).collect();
                files::write_json(&path, &serde_json::json!({ "rows": rows }))?;
            }
        }
    }
    println!("figures: {}", path.display());
    pictures::draw(&arguments.out, arguments.beta, &shown)
}
