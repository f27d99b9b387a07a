//! Trains an energy model on a two-dimensional density or on the rows of a file by ranking NCE,
//! samples it by Langevin dynamics and measures everything, against the exact density where there
//! is one.

#[path = "../common/mod.rs"]
mod common;

mod evaluate;
mod plots;
mod report;
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use gibbs::loss::RankingObjective;
use gibbs::math::Normalize;
use gibbs::tasks::density::Density;
use gibbs::train::{
    Draw, EnergyOptions, ProposalOptions, RankingNceOptions, RunDescription, TrainOptions, Trainer,
};

use common::arguments::{Outcome, Place, choice, given, start};
use common::checkpoints;
use common::files::{write_json, write_whole};
use common::progress::Progress;
use common::training::Preset;
use evaluate::Measures;
use report::Report;
use target::{Source, Target};

/// Train an energy model on a 2-D density, or on your own data, by ranking NCE; then sample it by
/// Langevin dynamics.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The density to learn: pinwheel, spiral, eight_gaussians, checkerboard, rings, moons or
    /// two_spirals.
    #[arg(long, default_value_t = Density::Pinwheel)]
    density: Density,
    /// Learn the density's textbook shape alone instead of a family of shapes that a context
    /// chooses from.
    #[arg(long)]
    unconditional: bool,
    /// Learn from a file instead: .csv with a line of column names x0, x1, .. (contexts; leave them
    /// out if there are none), y0, y1, .. (actions) and perhaps weight; or .safetensors with the
    /// tensors x, y and weight. Of any width; density.png is drawn for two action columns. Samples
    /// go to samples.csv, in the file's own units: columns that 32-bit numbers do not resolve are
    /// learned relative to an offset, which metrics.json tells and which is added again. There is
    /// no exact density to compare with, so metrics.json then holds null for every Bhattacharyya
    /// coefficient.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["density", "unconditional"])]
    data: Option<PathBuf>,
    /// How the rows of a batch are chosen: each independently, with the same chance or by its
    /// weight, or every row once before any comes again, in an order that changes each time.
    #[arg(long, value_parser = choice(Draw::ALL, Draw::name), default_value_t = Draw::Replacement)]
    draw: Draw,
    /// The objective.
    #[arg(long, value_parser = choice(RankingObjective::ALL, RankingObjective::name), default_value_t = RankingObjective::Rnce)]
    loss: RankingObjective,
    /// Where negatives come from.
    #[arg(long, value_parser = ["mixture", "gaussian", "uniform"], default_value = "mixture")]
    proposal: String,
    /// Negatives per context.
    #[arg(long, default_value_t = 63)]
    negatives: usize,
    /// Training steps [default: 3000, with `--preset paper` 20000]. With `--resume` the new length
    /// of that run, the steps it has done included: the learning rate falls to 0 at its end, and
    /// that of a run that was at its end goes up again.
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of data, weights, batches, negatives and chains.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on from a checkpoint. Density, seed, objective, proposal, draw and, without `--steps`,
    /// length come from the checkpoint; a run on a file needs the same `--data` again.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Steps between checkpoints; 0 saves at the end alone.
    #[arg(long, default_value_t = 1000)]
    checkpoint_every: u64,
    /// Train and save, and measure nothing, neither on the way nor at the end, which on a slow
    /// adapter takes as long as some training: no chains, density.png or samples.csv, and null for
    /// every Bhattacharyya coefficient in metrics.json.
    #[arg(long)]
    no_evaluate: bool,
    /// Length of the run. quick: minutes on two CPU cores. paper: the same networks, weights
    /// averaged over longer: closer to the published coefficients.
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Preset::Quick)]
    preset: Preset,
    #[command(flatten)]
    place: Place,
}

fn main() -> ExitCode {
    start(run)
}

fn run(arguments: &Arguments) -> Outcome {
    let begun = Instant::now();
    let gpu = arguments.place.open()?;
    let folder = &arguments.place.out;
    let density = arguments.data.is_none().then_some(arguments.density);
    let (source, seed) = match &arguments.resume {
        Some(path) => {
            let found = RunDescription::read(path)?;
            let source = Source::of_task(&found.options.task)?;
            tell_resumption(arguments, &found, source);
            (source, found.options.seed)
        }
        None => (Source { density, unconditional: arguments.unconditional }, arguments.seed),
    };
    let data = source.load(arguments.data.as_deref(), seed)?;
    let target = Target::new(source, &data);
    let mut trainer = match &arguments.resume {
        Some(path) => match arguments.steps {
            Some(steps) => Trainer::resume_to(&gpu, &data, path, steps)?,
            None => Trainer::resume(&gpu, &data, path)?,
        },
        None => Trainer::new(&gpu, &data, options(arguments, source, &target))?,
    };
    let first = trainer.step();
    let mut report = Report::new(&target, folder, &trainer, arguments.checkpoint_every)?;
    report.evaluates = !arguments.no_evaluate;
    let model = folder.join(MODEL);
    let clock = Instant::now();
    let resume = |place: &Path| resume_command(arguments, place);
    let mut training_seconds = 0.0;
    let outcome = checkpoints::train(&mut trainer, &model, resume, |trainer| {
        report.train(trainer)?;
        training_seconds = clock.elapsed().as_secs_f64();
        checkpoints::save(&model, |path| trainer.save(path)).map(drop)
    });
    if let Err(gibbs::Error::NonFinite { .. }) = &outcome {
        let path = folder.join("last-good.safetensors");
        let (path, step) = checkpoints::save(&path, |path| trainer.save_last_good(path))?;
        eprintln!("the weights of step {step} are in {}", path.display());
    }
    outcome?;
    let records = std::mem::take(&mut report.records);
    drop(report);

    let result = if arguments.no_evaluate {
        Measures::default()
    } else {
        let _alive = Progress::busy("sampling and measuring");
        evaluate::final_measures(&gpu, &target, &trainer)?
    };
    plots::densities(&folder.join("density.png"), &target, &result)?;
    plots::losses(&folder.join("loss.png"), &records)?;
    let mut metrics = report::metrics(&trainer, &target, &records, &result);
    metrics["rows"] = data.rows().into();
    if !data.offsets().are_zero() {
        let offsets = data.offsets();
        metrics["offsets"] = serde_json::json!({ "x": offsets.context(), "y": offsets.action() });
    }
    metrics["seconds"] = begun.elapsed().as_secs_f64().into();
    metrics["training_seconds"] = training_seconds.into();
    metrics["steps_per_second"] = ((trainer.step() - first) as f64 / training_seconds.max(1e-9)).into();
    write_json(&folder.join("metrics.json"), &metrics)?;
    println!("{metrics:#}");
    if source.density.is_none() && !arguments.no_evaluate {
        let path = folder.join("samples.csv");
        write_whole(&path, &target.table(&result.chains))?;
        println!("samples: {}", path.display());
    }
    Ok(())
}

/// The file of the run and of its checkpoints.
const MODEL: &str = "model.safetensors";

/// Options that a checkpoint has of its own.
const OF_CHECKPOINT: [&str; 8] =
    ["density", "unconditional", "draw", "loss", "proposal", "negatives", "seed", "preset"];

/// Says how a run goes on, and what of the command line does not count.
fn tell_resumption(arguments: &Arguments, found: &RunDescription, source: Source) {
    let (step, steps) = (found.step, found.options.steps);
    eprintln!("resuming {} after {step} of {steps} steps", found.options.task);
    let mut ignored = given::<Arguments>(&OF_CHECKPOINT);
    if source.density.is_some() && arguments.data.is_some() {
        ignored.push("--data".into());
    }
    if !ignored.is_empty() {
        eprintln!("ignored with --resume, which takes them from the checkpoint: {}", ignored.join(", "));
    }
    match arguments.steps {
        Some(asked) if asked != steps && asked >= step => eprintln!(
            "the run has {asked} steps now instead of {steps}: from here on its learning rates are those of a run of \
             that length"
        ),
        None if step == steps => eprintln!("it is at its end; a larger number of --steps trains it further"),
        _ => {}
    }
}

/// The command that goes on from a checkpoint.
fn resume_command(arguments: &Arguments, checkpoint: &Path) -> String {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut words: Vec<String> = std::env::args().take(1).collect();
    let mut add = |option: &str, value: String| words.extend([option.into(), value]);
    add("--resume", path(checkpoint));
    add("--out", path(&arguments.place.out));
    add("--checkpoint-every", arguments.checkpoint_every.to_string());
    add("--tuning", arguments.place.device.tuning.clone());
    if let Some(adapter) = &arguments.place.device.adapter {
        add("--adapter", adapter.clone());
    }
    if let Some(data) = &arguments.data {
        add("--data", path(data));
    }
    if arguments.no_evaluate {
        words.push("--no-evaluate".into());
    }
    checkpoints::shell(words)
}

fn options(arguments: &Arguments, source: Source, target: &Target) -> TrainOptions {
    let preset = arguments.preset;
    // Thin modes: what is finest in the data should not be far below 1 after scaling.
    let deviation = match source.density {
        Some(Density::Pinwheel) | None => 2.2,
        Some(Density::EightGaussians) => 2.0,
        Some(Density::Moons) => 3.0,
        Some(Density::Checkerboard) => 4.0,
        Some(Density::Spiral | Density::Rings | Density::TwoSpirals) => 6.0,
    };
    let (hidden, optimizer) = (vec![64; 2], preset.optimizer(2e-3));
    let mixture = |components| ProposalOptions::Mixture { components, hidden, optimizer };
    let [low, high] = target.borders();
    let nce = RankingNceOptions::default()
        .with_loss(arguments.loss)
        .with_negatives(arguments.negatives)
        .with_context(match source.density {
            Some(_) => Normalize::Identity,
            None => Normalize::Standard { deviation: 1.0 },
        })
        .with_action(Normalize::Standard { deviation })
        .with_energy(EnergyOptions::default().with_optimizer(preset.optimizer(3e-3)))
        .with_proposal(match arguments.proposal.as_str() {
            "uniform" => ProposalOptions::Uniform { low, high },
            "gaussian" => mixture(1),
            _ => mixture(8),
        });
    TrainOptions::new(nce)
        .with_task(source.task())
        .with_draw(arguments.draw)
        .with_steps(arguments.steps.unwrap_or(preset.pick(3000, 20_000)))
        .with_seed(arguments.seed)
}
