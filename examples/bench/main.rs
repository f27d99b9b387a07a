//! Measures named workloads on one adapter: time, rates, shares of the adapter's limits, dispatches
//! and host time per step.
//!
//! Each figure is the median of several repetitions after a warm-up; a repetition replays the step
//! as often as it takes to run well past the cost of a submit. Rates are nominal: a training step
//! counts 6 x rows x multiply-adds of the network that is trained, a step of a chain 4 x, an
//! evaluation of guided sampling 2 x those of the score and 4 x those of the energy, a product 2 x,
//! with no discount for what broadcasting saves and no credit for the proposal, the loss, the
//! solver or the optimizer. Bytes are those that a step's dispatches bind, each binding once and in
//! full: a layer that reads its part of the flat parameters counts all of them, and caches may
//! serve what is counted, so that the share of a copy's bandwidth may pass 1. The control row, a
//! plan of one tiny dispatch, shows what a replay costs at least.
//!
//! First two kernels measure what the adapter can do at most: multiply-adds in registers and a copy
//! of a large buffer. Their results are checked, and so are those of every product, against f64,
//! before it is timed: what computes wrongly gets no figure.
//!
//! A workload whose repetition would take more than 2 s is measured in part and says so: fewer
//! steps of a chain or evaluations of a sample first, then fewer rows. Times are those of the part;
//! rates compare.
//!
//! The JSON file (`--json`), `format` 2:
//!
//! * `adapter`, `backend`, `driver`, `repetitions`
//! * `roofline`: `gflops`, `gbytes_per_s`, the best repetition of the two kernels
//! * `workloads`: by name `median_ms`, `min_ms`, `max_ms`, `lower_quartile_ms`, `upper_quartile_ms`
//!   per step; `gflops`, `gbytes_per_s` at the median; `share_of_peak`, `share_of_copy` and the
//!   larger of both, `share_of_roofline`; `dispatches_per_step`, `host_us_per_step` (encoding and
//!   submitting), `gpu_ms` (timestamps, or null), `steps_per_repetition`; `scale`, if a part was
//!   measured: what there were fewer `of`, `measured`, `full`; `dispatches`, with `--dispatches`:
//!   of each dispatch, submitted alone, the `label`, `kernel`, `workgroups` and `median_ms`
//! * `starts`, with `--start`: by name `first_s` and the spread of the seconds from opening a
//!   device to the first finished step
//! * `curves`: `negatives` and `batch`, each with `points` (`contexts`, `negatives`, `rows`, times,
//!   `gflops`) and, if it ended early, why it `stopped`
//! * `errors`: by name what failed; the rest goes on

#[path = "../common/mod.rs"]
mod common;

mod curves;
mod diffusion;
mod gemm;
mod measure;
mod report;
mod roofline;
mod start;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use gibbs::{Error, Gpu};

use common::arguments::{Device, Outcome, start as start_with};
use common::files::{make_folder_of, write_json};
use common::progress::Progress;
use measure::{Budget, one_replay, repeat, single_dispatches};
use report::{Figures, Row, Scale, Step};
use roofline::Roofline;
use workloads::{Description, LIST, Size, Workload};

/// What went wrong, in words or as an error of the library.
pub type Failure = Box<dyn std::error::Error>;

/// Measure gibbs on one adapter: prints a table, writes the figures with --json.
///
/// Takes some minutes on a software renderer. `bench --workload tiny` takes seconds.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Workload to run; may be given several times [default: all but `curves`].
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(LIST.map(|(name, _)| name)), hide_possible_values = true)]
    workload: Vec<String>,
    /// Measure growth curves too; the same as `--workload curves` beside the others.
    #[arg(long)]
    curves: bool,
    /// Measure also how long a program waits from opening the device to its first finished step.
    #[arg(long)]
    start: bool,
    /// Print the workloads with a line about each, and stop.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    device: Device,
    /// File for the figures; folders on the way are made.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Repetitions of each workload, at least 5; the median counts.
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    repetitions: u32,
    /// About how long a repetition takes, in milliseconds; shorter ones are noisier.
    #[arg(long, value_name = "MS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=2000))]
    milliseconds: u64,
    /// Print the dispatches of each workload's step.
    #[arg(long)]
    describe: bool,
    /// Time each dispatch of a workload's step too, in its place but submitted alone: where the
    /// time goes.
    #[arg(long)]
    dispatches: bool,
}

/// Longest repetition, in seconds: what would take longer is measured in part.
const LONGEST_S: f64 = 2.0;
/// Share of the peak that any workload is trusted to reach; a probe tells about the others.
const TRUSTED_SHARE: f64 = 0.02;
/// A peak in GFLOP/s for adapters whose own could not be measured.
const ASSUMED_PEAK: f64 = 100.0;

fn main() -> ExitCode {
    start_with(run)
}

fn run(arguments: &Arguments) -> Outcome<ExitCode> {
    if arguments.list {
        for (name, about) in LIST {
            println!("{}", format!("{name:<27} {about}").trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    // A file that cannot be written is better known before minutes of measuring.
    if let Some(path) = &arguments.json {
        make_folder_of(path)?;
    }
    let open = || arguments.device.open();
    let mut starts = Vec::new();
    for name in if arguments.start { &start::NAMES[..] } else { &[] } {
        let _alive = Progress::busy(&format!("measuring the start of {name}"));
        starts.push((*name, start::measure(name, arguments.repetitions, open)));
    }
    let mut gpu = open()?;
    let budget = Budget {
        repetitions: arguments.repetitions,
        repetition: Duration::from_millis(arguments.milliseconds),
    };
    let mut figures = Figures::new(&gpu, arguments.repetitions);
    println!("{}", gpu.adapter_name());
    for (name, start) in starts {
        match start {
            Ok(start) => {
                println!(
                    "start of {name}: {:.2} s from opening the device to the first finished step, {:.2} s the first time",
                    start.spread.median, start.first_s
                );
                figures.starts.insert(name.to_owned(), start);
            }
            Err(error) => fail(&mut figures, &mut gpu, &format!("start/{name}"), &error, open)?,
        }
    }
    let alive = Progress::busy("measuring the adapter's limits");
    let limits = roofline::measure(&gpu, &budget);
    drop(alive);
    match limits {
        Ok(limits) => {
            println!(
                "limits: {:.1} GFLOP/s of multiply-adds in registers, {:.1} GB/s read and written by a copy",
                limits.gflops, limits.gbytes_per_s
            );
            figures.roofline = Some(limits);
        }
        Err(error) => fail(&mut figures, &mut gpu, "roofline", &error, open)?,
    }
    let mut names: Vec<&str> = match arguments.workload.is_empty() {
        true => LIST.iter().map(|(name, _)| *name).filter(|name| *name != "curves").collect(),
        false => arguments.workload.iter().map(String::as_str).collect(),
    };
    let curves = arguments.curves || names.contains(&"curves");
    names.retain(|name| *name != "curves");
    if !names.is_empty() {
        println!("{}", report::heading());
    }
    for name in names {
        let alive = Progress::busy(&format!("measuring {name}"));
        let row = measure(&gpu, name, &budget, figures.roofline, arguments);
        drop(alive);
        match row {
            Ok(row) => {
                println!("{}", report::line(name, &row));
                print!("{}", report::dispatches(&row.dispatches));
                figures.workloads.insert(name.to_owned(), row);
            }
            Err(error) => fail(&mut figures, &mut gpu, name, &error, open)?,
        }
    }
    if curves {
        // A point is one of many: shorter repetitions do.
        let budget = Budget { repetition: budget.repetition / 3, ..budget };
        for (name, sizes) in curves::list() {
            let alive = Progress::busy(&format!("measuring the curve over {name}"));
            let curve = curves::measure(&gpu, &sizes, &budget, LONGEST_S, &alive);
            drop(alive);
            println!("curve over {name}: contexts, negatives, median ms, GFLOP/s");
            for point in &curve.points {
                println!(
                    "{:>9} {:>9} {:>12.3} {:>9.2}",
                    point.contexts, point.negatives, point.median_ms, point.gflops
                );
            }
            if let Some(why) = &curve.stopped {
                println!("ends there: {why}");
            }
            if curve.points.is_empty() {
                let why = curve.stopped.clone().unwrap_or_default();
                figures.errors.insert(format!("curves/{name}"), why);
            }
            figures.curves.insert(name.to_owned(), curve);
        }
    }
    if let Some(path) = &arguments.json {
        write_json(path, &figures)?;
    }
    Ok(if figures.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Notes a failure. A device that is lost, or out of memory, is opened anew for what comes next.
fn fail(
    figures: &mut Figures,
    gpu: &mut Gpu,
    name: &str,
    error: &Failure,
    open: impl Fn() -> gibbs::Result<Gpu>,
) -> Result<(), Failure> {
    println!("{name:<27} failed: {error}");
    figures.errors.insert(name.to_owned(), error.to_string());
    if let Some(Error::DeviceLost { .. } | Error::OutOfMemory { .. }) = error.downcast_ref() {
        *gpu = open()?;
    }
    Ok(())
}

fn measure(
    gpu: &Gpu,
    name: &str,
    budget: &Budget,
    roofline: Option<Roofline>,
    arguments: &Arguments,
) -> Result<Row, Failure> {
    let Some(description) = Description::of(name) else {
        return Err("there is no such workload; `--list` prints all".into());
    };
    let (workload, size) = fitted(gpu, &description, roofline)?;
    if arguments.describe {
        print!("{}", workload.describe());
    }
    let timings = repeat(workload.plan(), size.steps, budget)?;
    workload.check(gpu)?;
    let (plan, steps) = (workload.plan(), size.steps as f64);
    let step = Step {
        flops: description.flops_per_step(size)?,
        bytes: plan.bytes() as f64 / steps,
        dispatches: plan.dispatches() as f64 / steps,
        per_replay: size.steps,
    };
    let full = description.size();
    let mut scale = Vec::new();
    for (of, measured, full) in
        [(description.rows_are(), size.rows, full.rows), ("steps", size.steps, full.steps)]
    {
        if measured != full {
            scale.push(Scale { of, measured, full });
        }
    }
    let mut row = Row::new(&timings, &step, roofline, scale);
    if arguments.dispatches {
        row.dispatches = single_dispatches(plan, budget)?;
    }
    Ok(row)
}

/// The workload in full or, where a replay would take too long, a part of it. Large workloads are
/// tried in a small part first.
fn fitted(
    gpu: &Gpu,
    description: &Description,
    roofline: Option<Roofline>,
) -> Result<(Workload, Size), Failure> {
    let full = description.size();
    let flops = description.flops_per_step(full)? * full.steps as f64;
    let trusted = 1e9 * roofline.map_or(ASSUMED_PEAK, |roofline| roofline.gflops) * TRUSTED_SHARE * LONGEST_S;
    let power = |ratio: f64| (ratio.max(1.0).ceil() as usize).next_power_of_two();
    let probe = full.reduced(power(flops / trusted));
    let workload = description.build(gpu, probe)?;
    let once = one_replay(workload.plan())?;
    let of = |size: Size| (size.rows * size.steps) as f64;
    let size = full.reduced(power(once * of(full) / of(probe) / LONGEST_S));
    match size == probe {
        true => Ok((workload, size)),
        // The probe's memory first.
        false => {
            drop(workload);
            Ok((description.build(gpu, size)?, size))
        }
    }
}
