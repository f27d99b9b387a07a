//! Measures named workloads on one adapter: time, rate, dispatches and host time per step.
//!
//! Each figure is the median of several repetitions after a warm-up; a repetition replays the step as often as it takes to run
//! well past the cost of a submit. Rates are nominal: 6 x rows x multiply-adds of the energy network per training step, no
//! discount for what broadcasting saves and no credit for the proposal, the loss or the optimiser. The control row, a plan of
//! one tiny dispatch, shows what a replay costs at least.

mod workloads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gibbs::gpu::Plan;
use gibbs::{Gpu, GpuOptions};
use serde::Serialize;

use workloads::Workload;

/// Measure gibbs on one adapter.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Workload to run; may be given several times [default: all].
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(workloads::NAMES))]
    workload: Vec<String>,
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long)]
    adapter: Option<String>,
    /// File for the figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Repetitions, at least 5.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    repetitions: u32,
    /// Print the dispatches of each workload's step.
    #[arg(long)]
    describe: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    gflops: f64,
    dispatches_per_step: usize,
    host_us_per_step: f64,
    /// Time on the device per step by timestamps, where the adapter has them.
    gpu_ms: Option<f64>,
    steps_per_repetition: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    adapter: String,
    backend: String,
    workloads: BTreeMap<String, Row>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<String, String>,
}

/// Length of one repetition.
const REPETITION: Duration = Duration::from_millis(600);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    println!("{}", gpu.adapter_name());
    println!(
        "{:<16} {:>10} {:>10} {:>10} {:>10} {:>10} {:>11} {:>12}",
        "workload", "median ms", "min ms", "max ms", "GPU ms", "GFLOP/s", "dispatches", "host us/step"
    );
    let mut figures = Figures {
        adapter: gpu.info().name.clone(),
        backend: format!("{:?}", gpu.info().backend).to_lowercase(),
        workloads: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    let all: Vec<String> = workloads::NAMES.iter().map(|name| (*name).to_owned()).collect();
    let names = if arguments.workload.is_empty() { &all } else { &arguments.workload };
    for name in names {
        match measure(&gpu, name, arguments) {
            Ok(row) => {
                let gpu_ms = row.gpu_ms.map_or("-".into(), |ms| format!("{ms:.3}"));
                println!(
                    "{name:<16} {:>10.3} {:>10.3} {:>10.3} {gpu_ms:>10} {:>10.2} {:>11} {:>12.1}",
                    row.median_ms,
                    row.min_ms,
                    row.max_ms,
                    row.gflops,
                    row.dispatches_per_step,
                    row.host_us_per_step
                );
                figures.workloads.insert(name.clone(), row);
            }
            Err(error) => {
                println!("{name:<16} failed: {error}");
                figures.errors.insert(name.clone(), error.to_string());
            }
        }
    }
    if let Some(path) = &arguments.json {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(figures.errors.is_empty())
}

fn measure(gpu: &Gpu, name: &str, arguments: &Arguments) -> gibbs::Result<Row> {
    let workload = Workload::build(gpu, name)?;
    let plan: &Plan = workload.plan();
    if arguments.describe {
        print!("{}", workload.describe());
    }
    // The first replays pay for first touches of memory; the second call sets the number of steps per repetition.
    plan.run_timed(1)?;
    let once = plan.run_timed(2)?.wall.as_secs_f64() / 2.0;
    let steps = ((REPETITION.as_secs_f64() / once.max(1e-7)) as u64).clamp(1, 2000);
    let mut wall = Vec::new();
    let mut host = Vec::new();
    let mut device = Vec::new();
    for _ in 0..arguments.repetitions {
        let timing = plan.run_timed(steps)?;
        let per_step = |time: Duration| time.as_secs_f64() / steps as f64;
        wall.push(1e3 * per_step(timing.wall));
        host.push(1e6 * per_step(timing.host));
        device.extend(timing.gpu.map(|time| 1e3 * per_step(time)));
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let median_ms = median(&mut wall).unwrap_or(f64::NAN);
    Ok(Row {
        median_ms,
        min_ms: wall[0],
        max_ms: wall[wall.len() - 1],
        gflops: workload.nominal_flops() * 1e-6 / median_ms,
        dispatches_per_step: plan.dispatches(),
        host_us_per_step: median(&mut host).unwrap_or(f64::NAN),
        gpu_ms: median(&mut device),
        steps_per_repetition: steps,
    })
}
