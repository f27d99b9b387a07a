//! Trains an energy model on a two-dimensional density or on the rows of a file by ranking NCE, samples it by Langevin dynamics
//! and measures everything, against the exact density where there is one.

#[path = "../common/palette.rs"]
mod palette;

mod evaluate;
mod plots;
mod report;
mod target;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use gibbs::energy::Objective;
use gibbs::nn::{Activation, AdamOptions, Schedule};
use gibbs::tasks::density::Density;
use gibbs::train::{Draw, EnergyOptions, Normalise, ProposalOptions, RnceOptions, RnceTrainer};
use gibbs::{Gpu, GpuOptions};

use report::Report;
use target::{Source, Target};

/// Train an energy model on a 2-D density, or on your own data, by ranking NCE; then sample it by Langevin dynamics.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The density to learn: pinwheel, spiral, eight_gaussians, checkerboard, rings, moons or two_spirals.
    #[arg(long, default_value_t = Density::Pinwheel)]
    density: Density,
    /// Learn the density's textbook shape alone instead of a family of shapes that a context chooses from.
    #[arg(long)]
    unconditional: bool,
    /// Learn from a file instead: .csv with a line of column names x0, x1, .. (contexts; leave them out if there are none),
    /// y0, y1, .. (actions) and perhaps weight; or .safetensors with the tensors x, y and weight. Of any width; density.png
    /// is drawn for two action columns. Samples go to samples.csv. There is no exact density to compare with, so
    /// metrics.json then holds null for every Bhattacharyya coefficient.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["density", "unconditional"])]
    data: Option<PathBuf>,
    /// How the rows of a batch are chosen.
    #[arg(long, value_enum, default_value_t = DrawKind::Replacement)]
    draw: DrawKind,
    /// The objective.
    #[arg(long, value_enum, default_value_t = Loss::Rnce)]
    loss: Loss,
    /// Where negatives come from.
    #[arg(long, value_enum, default_value_t = ProposalKind::Mixture)]
    proposal: ProposalKind,
    /// Negatives per context.
    #[arg(long, default_value_t = 63)]
    negatives: usize,
    /// Training steps [default: 3000, with `--preset paper` 20000].
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of data, weights, batches, negatives and chains.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long)]
    adapter: Option<String>,
    /// How kernel variants are chosen: `table`, `measure`, `measure:FILE` to keep what was measured, or a file to restore.
    #[arg(long, value_name = "HOW", default_value = "table")]
    tuning: String,
    /// Folder for pictures, metrics and the model.
    #[arg(long, default_value = "out/rnce_density")]
    out: PathBuf,
    /// Go on from a checkpoint. Density, seed, objective, proposal, draw and length come from the checkpoint; a run on a
    /// file needs the same `--data` again.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 1000)]
    checkpoint_every: u64,
    /// Length of the run.
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Loss {
    Rnce,
    Infonce,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProposalKind {
    Mixture,
    Gaussian,
    Uniform,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DrawKind {
    /// Each row independently, with the same chance or by its weight.
    Replacement,
    /// Every row once before any comes again, in an order that changes each time.
    Epochs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Preset {
    /// 3000 steps: minutes on two CPU cores.
    Quick,
    /// 20000 steps of the same networks, weights averaged over longer: closer to the published coefficients.
    Paper,
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

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let adapter = GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() };
    let gpu = Gpu::open(&adapter)?.with_tuning(arguments.tuning.parse()?)?;
    eprintln!("adapter: {}", gpu.adapter_name());
    std::fs::create_dir_all(&arguments.out)?;

    let resumed = match &arguments.resume {
        Some(path) => {
            eprintln!(
                "resuming {}: density, seed, objective, proposal, draw and length are the checkpoint's",
                path.display()
            );
            Some(RnceTrainer::options_of(path)?)
        }
        None => None,
    };
    let (source, seed) = match &resumed {
        Some(options) => (Source::of_task(&options.task)?, options.seed),
        None if arguments.data.is_some() => (Source::File, arguments.seed),
        None => {
            let (density, unconditional) = (arguments.density, arguments.unconditional);
            (Source::Density { density, unconditional }, arguments.seed)
        }
    };
    let data = source.load(arguments.data.as_deref(), seed)?;
    let target = Target::new(source, &data);
    let mut trainer = match &arguments.resume {
        Some(path) => RnceTrainer::resume(&gpu, &data, path)?,
        None => RnceTrainer::new(&gpu, &data, options(arguments, &target))?,
    };
    let steps = trainer.options().steps;
    let mut report = Report::new(&target, &arguments.out, trainer.step(), steps)?
        .checkpoint_every(arguments.checkpoint_every);
    let mut outcome = Ok(());
    while outcome.is_ok() && trainer.step() < steps {
        outcome = trainer.train(report.next_stop(trainer.step()), u64::MAX, &mut report);
    }
    if let Err(gibbs::Error::NonFinite { .. }) = &outcome {
        let path = arguments.out.join("last-good.safetensors");
        let step = trainer.save_last_good(&path)?;
        eprintln!("the weights of step {step} are in {}", path.display());
    }
    outcome?;
    report.finish_training();
    trainer.save(&arguments.out.join("model.safetensors"))?;

    let result = evaluate::final_measures(&gpu, &target, &trainer, trainer.options().seed)?;
    plots::densities(&arguments.out.join("density.png"), &target, &result)?;
    plots::losses(&arguments.out.join("loss.png"), report.records())?;
    let metrics = report.metrics(&gpu, &trainer, data.rows(), &result, begun.elapsed().as_secs_f64());
    std::fs::write(arguments.out.join("metrics.json"), serde_json::to_string_pretty(&metrics)?)?;
    println!("{}", serde_json::to_string_pretty(&metrics)?);
    if source == Source::File {
        let path = arguments.out.join("samples.csv");
        write_samples(&path, &target, data.is_unconditional(), &result.chains)?;
        println!("samples: {}", path.display());
    }
    if !result.panels.is_empty() {
        println!("picture: {}", arguments.out.join("density.png").display());
    }
    Ok(())
}

/// The ends of the chains, in columns that `--data` reads.
fn write_samples(path: &Path, target: &Target, unconditional: bool, chains: &[f32]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let x_width = if unconditional { 0 } else { target.context_width };
    let names = (0..x_width).map(|at| format!("x{at}")).chain((0..target.dims).map(|at| format!("y{at}")));
    writeln!(file, "{}", names.collect::<Vec<_>>().join(","))?;
    for (index, y) in chains.chunks_exact(target.dims).enumerate() {
        let x = &target.context(index / evaluate::CHAINS)[..x_width];
        let numbers: Vec<String> = x.iter().chain(y).map(f32::to_string).collect();
        writeln!(file, "{}", numbers.join(","))?;
    }
    file.flush()
}

fn options(arguments: &Arguments, target: &Target) -> RnceOptions {
    let paper = arguments.preset == Preset::Paper;
    let adam = |rate: f64| AdamOptions {
        schedule: Schedule::Cosine { rate, warmup: 100, floor: 0.0 },
        average_decay: if paper { 0.999 } else { 0.995 },
        ..AdamOptions::default()
    };
    // Thin modes: what is finest in the data should not be far below 1 after scaling.
    let deviation = match target.source.density() {
        Some(Density::Pinwheel) | None => 2.2,
        Some(Density::EightGaussians) => 2.0,
        Some(Density::Moons) => 3.0,
        Some(Density::Checkerboard) => 4.0,
        Some(Density::Spiral | Density::Rings | Density::TwoSpirals) => 6.0,
    };
    let mixture = |components: usize| ProposalOptions::Mixture {
        components,
        hidden: vec![64; 2],
        optimiser: adam(2e-3),
    };
    RnceOptions {
        task: target.source.task(),
        objective: match arguments.loss {
            Loss::Rnce => Objective::Rnce,
            Loss::Infonce => Objective::InfoNce,
        },
        negatives: arguments.negatives,
        batch: 128,
        draw: match arguments.draw {
            DrawKind::Replacement => Draw::Replacement,
            DrawKind::Epochs => Draw::Epochs,
        },
        steps: arguments.steps.unwrap_or(if paper { 20_000 } else { 3000 }),
        context: match target.source {
            Source::Density { .. } => Normalise::Identity,
            Source::File => Normalise::Standard { deviation: 1.0 },
        },
        action: Normalise::Standard { deviation },
        energy: EnergyOptions {
            hidden: vec![128; 3],
            activation: Activation::Silu,
            optimiser: adam(3e-3),
            ..EnergyOptions::default()
        },
        proposal: match arguments.proposal {
            ProposalKind::Mixture => mixture(8),
            ProposalKind::Gaussian => mixture(1),
            ProposalKind::Uniform => {
                let [low, high] = target.borders();
                ProposalOptions::Uniform { low, high }
            }
        },
        seed: arguments.seed,
        ..RnceOptions::default()
    }
}
