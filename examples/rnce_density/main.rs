//! Trains a conditional energy model on a two-dimensional density by ranking NCE, samples it by Langevin dynamics and
//! measures everything against the exact density.

mod evaluate;
mod plots;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use gibbs::energy::Objective;
use gibbs::nn::{Activation, AdamOptions, Schedule};
use gibbs::tasks::density::Density;
use gibbs::train::{Dataset, EnergyOptions, Normalise, ProposalOptions, RnceOptions, RnceTrainer};
use gibbs::{Gpu, GpuOptions};

use report::Report;

/// Train an energy model on a 2-D density by ranking NCE, then sample it by Langevin dynamics.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The density to learn: pinwheel or spiral.
    #[arg(long, default_value_t = Density::Pinwheel)]
    density: Density,
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
    /// Folder for pictures, metrics and the model.
    #[arg(long, default_value = "out/rnce_density")]
    out: PathBuf,
    /// Go on from a checkpoint. Density, seed, objective, proposal and length come from the file.
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

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Preset {
    /// 3000 steps: minutes on two CPU cores.
    Quick,
    /// 20000 steps of the same networks, weights averaged over longer: closer to the published coefficients.
    Paper,
}

/// Rows of the data set.
const DATA_ROWS: usize = 1 << 17;

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
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    eprintln!("adapter: {}", gpu.adapter_name());
    std::fs::create_dir_all(&arguments.out)?;

    let options = match &arguments.resume {
        Some(path) => {
            eprintln!(
                "resuming {}: density, seed, objective, proposal and length are the file's",
                path.display()
            );
            RnceTrainer::options_of(path)?
        }
        None => options(arguments),
    };
    let density: Density = options.task.parse()?;
    let (x, y) = density.samples(DATA_ROWS, options.seed);
    let data = Dataset::new(x, 1, y.as_flattened().to_vec(), 2)?;
    let mut trainer = match &arguments.resume {
        Some(path) => RnceTrainer::resume(&gpu, &data, path)?,
        None => RnceTrainer::new(&gpu, &data, options)?,
    };
    let steps = trainer.options().steps;
    let mut report = Report::new(density, &arguments.out, trainer.step(), steps)?
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

    let result = evaluate::final_measures(&gpu, density, &trainer, trainer.options().seed)?;
    plots::densities(&arguments.out.join("density.png"), density, &result)?;
    plots::losses(&arguments.out.join("loss.png"), report.records())?;
    let metrics = report.metrics(&gpu, &trainer, &result, begun.elapsed().as_secs_f64());
    std::fs::write(arguments.out.join("metrics.json"), serde_json::to_string_pretty(&metrics)?)?;
    println!("{}", serde_json::to_string_pretty(&metrics)?);
    println!("picture: {}", arguments.out.join("density.png").display());
    Ok(())
}

fn options(arguments: &Arguments) -> RnceOptions {
    let paper = arguments.preset == Preset::Paper;
    let adam = |rate: f64| AdamOptions {
        schedule: Schedule::Cosine { rate, warmup: 100, floor: 0.0 },
        average_decay: if paper { 0.999 } else { 0.995 },
        ..AdamOptions::default()
    };
    // Thin modes: what is finest in the data should not be far below 1 after scaling.
    let deviation = match arguments.density {
        Density::Pinwheel => 2.2,
        Density::Spiral => 6.0,
    };
    let half_width = arguments.density.half_width() as f32;
    let mixture = |components: usize| ProposalOptions::Mixture {
        components,
        hidden: vec![64; 2],
        optimiser: adam(2e-3),
    };
    RnceOptions {
        task: arguments.density.name().into(),
        objective: match arguments.loss {
            Loss::Rnce => Objective::Rnce,
            Loss::Infonce => Objective::InfoNce,
        },
        negatives: arguments.negatives,
        batch: 128,
        steps: arguments.steps.unwrap_or(if paper { 20_000 } else { 3000 }),
        action: Normalise::Standard { deviation },
        energy: EnergyOptions { hidden: vec![128; 3], activation: Activation::Silu, optimiser: adam(3e-3) },
        proposal: match arguments.proposal {
            ProposalKind::Mixture => mixture(8),
            ProposalKind::Gaussian => mixture(1),
            ProposalKind::Uniform => {
                ProposalOptions::Uniform { low: vec![-half_width; 2], high: vec![half_width; 2] }
            }
        },
        seed: arguments.seed,
        ..RnceOptions::default()
    }
}
