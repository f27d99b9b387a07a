//! Trains diffusion models of two-dimensional data and energies that guide them, samples the tilted densities, and measures
//! everything against closed forms (arXiv 2304.12824).

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
#[path = "../common/published.rs"]
mod published;

mod measure;
mod networks;
mod pictures;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gibbs::diffusion::{SamplingOptions, SolverOptions, TimeGrid};
use gibbs::tasks::toy::Task;
use gibbs::{Gpu, GpuOptions};

use choices::{LabelKind, SolverKind};
use networks::{Preset, Trained};
use rows::{Method, Row, Table};

/// Learn a 2-D density as a diffusion model and an energy that leads it towards what is wanted; compare the samples with the
/// exact target, exp(-beta E) times the density.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Tasks: swiss_roll, eight_gaussians, moons, rings, checkerboard, two_spirals, or all; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "eight_gaussians")]
    task: Vec<String>,
    /// How guidance is learned: cep (contrastive energy prediction), mse and emse (regression on energies and on their
    /// exponentials), dps (no intermediate energy: through the denoiser), none, or all but none; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "cep")]
    method: Vec<String>,
    /// Labels of contrastive energy prediction.
    #[arg(long, value_enum, default_value_t = LabelKind::Unnormalised)]
    labels: LabelKind,
    /// Samples that share a time and are compared with each other [default: 64, with `--preset paper` the whole batch of 2048].
    #[arg(long)]
    group: Option<usize>,
    /// Inverse temperatures; 3, 10 and 20 are published. Several with commas.
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "10")]
    beta: Vec<f64>,
    /// Factor of the energy's gradient; 1 is exact.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1.0)]
    guidance: f64,
    /// Seeds of data, weights, batches and samples; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    seed: Vec<u64>,
    /// The solver.
    #[arg(long, value_enum, default_value_t = SolverKind::Multistep2)]
    solver: SolverKind,
    /// How its times are spaced.
    #[arg(long, value_enum, default_value_t = GridKind::LogSnr)]
    grid: GridKind,
    /// Evaluations of the networks per sample.
    #[arg(long, default_value_t = 25)]
    nfe: usize,
    /// Length of the runs and size of the networks.
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Training steps of each network [default: 6000 of the score and 3000 of an energy (of rings and spirals 6000), with
    /// `--preset paper` 50000].
    #[arg(long)]
    steps: Option<u64>,
    /// Samples to draw per row.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia`.
    #[arg(long)]
    adapter: Option<String>,
    /// Folder for pictures and metrics. Rows that its rows.jsonl holds already are not run again.
    #[arg(long, default_value = "out/cep_toy")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GridKind {
    /// Equal steps of time.
    Time,
    /// Equal steps of the log-SNR.
    LogSnr,
    /// Equal steps of the root of time.
    Quadratic,
}

impl Arguments {
    fn solver(&self) -> SolverOptions {
        SolverOptions {
            solver: self.solver.solver(),
            grid: match self.grid {
                GridKind::Time => TimeGrid::Time,
                GridKind::LogSnr => TimeGrid::LogSnr,
                GridKind::Quadratic => TimeGrid::Quadratic,
            },
            evaluations: self.nfe,
            ..SolverOptions::default()
        }
    }

    /// How samples are drawn at a factor of the energy's gradient.
    fn sampling(&self, guidance_scale: f64, seed: u64) -> SamplingOptions {
        let solver = self.solver();
        SamplingOptions { solver, samples: self.samples, guidance_scale, seed, ..SamplingOptions::default() }
    }

    fn tasks(&self) -> Result<Vec<Task>, Box<dyn std::error::Error>> {
        match &self.task[..] {
            [one] if one == "all" => Ok(Task::ALL.to_vec()),
            names => Ok(names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?),
        }
    }

    fn methods(&self) -> Result<Vec<Method>, String> {
        match &self.method[..] {
            [one] if one == "all" => Ok(vec![Method::Cep, Method::Mse, Method::Emse, Method::Dps]),
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
    let (tasks, methods) = (arguments.tasks()?, arguments.methods()?);
    arguments.sampling(arguments.guidance, 0).check(2)?;
    let gpu = Gpu::open(&GpuOptions { adapter: arguments.adapter.clone(), ..Default::default() })?;
    eprintln!("adapter: {}", gpu.adapter_name());
    std::fs::create_dir_all(&arguments.out)?;
    let mut table = Table::open(&arguments.out)?;
    // Everything that could be refused, before anything is trained.
    for &task in &tasks {
        for &beta in &arguments.beta {
            task.target(beta)?;
            for &method in &methods {
                networks::check(arguments, task, method, beta)?;
            }
        }
    }
    let mut asked = Vec::new();
    for &seed in &arguments.seed {
        for &task in &tasks {
            let mut trained = Trained::new(&gpu, arguments, task, seed);
            for &beta in &arguments.beta {
                let target = task.target(beta)?;
                for &method in &methods {
                    let row = Row::describe(arguments, &gpu, (task, method), (beta, seed))?;
                    asked.push(row.clone());
                    if table.holds(&row) {
                        eprintln!("{} is there already", row.name());
                        continue;
                    }
                    let result = measure::row(&mut trained, row, &target)?;
                    eprintln!("{}: {}", result.row.name(), result.row.figures());
                    pictures::keep(&arguments.out, &result)?;
                    table.add(&result.row)?;
                }
            }
        }
    }
    let rows = table.like(&asked[0], arguments.labels);
    let path = arguments.out.join("metrics.json");
    match &asked[..] {
        [one] => files::write_json(&path, &rows.iter().find(|row| row.same(one)))?,
        _ => files::write_json(&path, &serde_json::json!({ "rows": rows }))?,
    }
    let text = rows::markdown(&rows);
    files::write_whole(&arguments.out.join("table.md"), &text)?;
    println!("{text}");
    println!("figures: {}", path.display());
    pictures::draw(&arguments.out, &tasks, &methods, &asked)
}
