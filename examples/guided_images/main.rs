//! Trains a diffusion model of coloured shapes and one energy that knows every hue, and draws shapes of the hues that are asked
//! for (the colour experiment of arXiv 2304.12824, at a size any adapter can train).

#[path = "../common/choices.rs"]
mod choices;
#[path = "../common/files.rs"]
mod files;
#[path = "../common/palette.rs"]
mod palette;
#[path = "../common/progress.rs"]
mod progress;

mod measure;
mod networks;
mod pictures;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use gibbs::diffusion::{Prediction, SolverOptions, TimeGrid};
use gibbs::{Gpu, GpuOptions};

use choices::SolverKind;
use networks::Preset;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Learn pictures of coloured shapes as a diffusion model and an energy that leads it towards a hue; count how many samples
/// have the wanted hue, with guidance and without.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Seed of data, weights, batches and samples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Training steps of the diffusion model [default: 3000, with `--preset paper` 60000].
    #[arg(long)]
    steps: Option<u64>,
    /// Training steps of the energy [default: 1000, with `--preset paper` 4000].
    #[arg(long)]
    energy_steps: Option<u64>,
    /// Inverse temperature of the energy, the distance of hues in turns.
    #[arg(long, allow_negative_numbers = true, default_value_t = 30.0)]
    beta: f64,
    /// Factor of the energy's gradient; 1 is exact.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1.0)]
    guidance: f64,
    /// How many hues to ask for, at equal distances along the circle, from red on.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=360))]
    hues: u32,
    /// Samples to draw per hue, and as many in all without guidance for every hue; up to 200000 over all hues.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    samples: u32,
    /// What the diffusion model's network outputs.
    #[arg(long, value_enum, default_value_t = Output::Sample)]
    predict: Output,
    /// The solver.
    #[arg(long, value_enum, default_value_t = SolverKind::Multistep2)]
    solver: SolverKind,
    /// Evaluations of the networks per sample.
    #[arg(long, default_value_t = 25)]
    nfe: usize,
    /// Length of the runs and size of the networks.
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long)]
    adapter: Option<String>,
    /// Folder for the picture and the metrics.
    #[arg(long, default_value = "out/guided_images")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The picture without its noise.
    Sample,
    /// The noise, as in the paper.
    Noise,
}

impl Output {
    fn prediction(self) -> Prediction {
        match self {
            Output::Sample => Prediction::Sample,
            Output::Noise => Prediction::Noise,
        }
    }
}

impl Arguments {
    fn solver(&self) -> SolverOptions {
        SolverOptions {
            solver: self.solver.solver(),
            grid: TimeGrid::LogSnr,
            evaluations: self.nfe,
            schedule: networks::SCHEDULE,
            ..SolverOptions::default()
        }
    }

    /// The hues that are asked for, in turns.
    fn targets(&self) -> Vec<f64> {
        (0..self.hues).map(|index| f64::from(index) / f64::from(self.hues)).collect()
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

fn run(arguments: &Arguments) -> Outcome<()> {
    let begun = Instant::now();
    measure::check(arguments)?;
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    eprintln!("adapter: {}", gpu.adapter_name());
    std::fs::create_dir_all(&arguments.out)?;
    let trained = networks::train(&gpu, arguments)?;
    let samples = measure::sample(&gpu, arguments, &trained)?;
    let metrics = measure::metrics(&gpu, arguments, &trained, &samples, begun);
    let path = arguments.out.join("metrics.json");
    files::write_json(&path, &metrics)?;
    println!(
        "within {:.0} degrees of the wanted hue: {:.1} % of the samples guided, {:.1} % unguided, {:.1} times as many \
         (exact guidance {:.1} %)",
        360.0 * metrics.tolerance,
        100.0 * metrics.share_guided,
        100.0 * metrics.share_unguided,
        metrics.ratio,
        100.0 * metrics.share_exact
    );
    println!("figures: {}", path.display());
    pictures::draw(&arguments.out.join("grid.png"), &arguments.targets(), &samples)
}
