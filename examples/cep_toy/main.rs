//! Trains diffusion models of two-dimensional data and energies that guide them, samples the tilted
//! densities, and measures everything against closed forms (arXiv 2304.12824).

#[path = "../common/mod.rs"]
mod common;

mod measure;
mod networks;
mod pictures;
mod rows;

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use gibbs::diffusion::SamplingOptions;
use gibbs::loss::Labels;
use gibbs::math::Normalize;
use gibbs::tasks::toy::Task;

use common::arguments::{Outcome, Place, Sampling, normalize, several, start};
use common::files;
use common::training::{Preset, tidy};
use networks::Networks;
use rows::{Method, Row, Table};

/// Learn a 2-D density as a diffusion model and an energy that leads it towards what is wanted;
/// compare the samples with the exact target, exp(-beta E) times the density.
///
/// Rows that rows.jsonl of the folder holds already are not run again. After Ctrl-C the same
/// command goes on where it was stopped.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Tasks: swiss_roll, eight_gaussians, moons, rings, checkerboard, two_spirals, or all; several
    /// with commas.
    #[arg(long, value_delimiter = ',', default_value = "eight_gaussians")]
    task: Vec<String>,
    /// How guidance is learned: cep (contrastive energy prediction), mse and emse (regression on
    /// energies and on their exponentials), dps (no intermediate energy: through the denoiser),
    /// none, or all but none; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "cep")]
    method: Vec<String>,
    /// Labels of contrastive energy prediction: the softmax of the group's energies, as in the
    /// paper's code, which is biased for small groups, or exponentials on one fixed scale, exact
    /// for any size of group.
    #[arg(long, value_parser = PossibleValuesParser::new(Labels::KINDS), default_value = "unnormalized")]
    labels: String,
    /// Samples that share a time and are compared with each other [default: 64, with `--preset
    /// paper` the whole batch of 2048].
    #[arg(long)]
    group: Option<usize>,
    /// What points are normalized to before noise is added: their deviation, with one scale for
    /// both coordinates, or identity for data units [default: 2, with `--preset paper` identity, as
    /// published].
    #[arg(long, value_name = "DEVIATION", value_parser = normalize)]
    normalize: Option<Normalize>,
    /// Inverse temperatures; 3, 10 and 20 are published. Several with commas.
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',', default_value = "10")]
    beta: Vec<f64>,
    #[command(flatten)]
    sampling: Sampling,
    /// Seeds of data, weights, batches and samples; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    seed: Vec<u64>,
    /// Length of the runs and size of the networks. quick: three layers of 128; 6000 steps of the
    /// score and 3000 of an energy (of rings and spirals 6000), of 512 samples each: minutes on two
    /// CPU cores. paper: the published networks, of a million parameters, on a million points:
    /// 50000 steps of 2048 samples in one group. The published runs go on to 371000.
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Training steps of each network [default: by the preset].
    #[arg(long)]
    steps: Option<u64>,
    /// Samples to draw per row.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    #[command(flatten)]
    place: Place,
}

impl Arguments {
    /// Samples of a group. Several groups see several times per step. That is as good as a large
    /// group where labels are exact for any size.
    fn group(&self) -> usize {
        self.group.unwrap_or(self.preset.pick(64, 2048))
    }

    /// How points are normalized: both coordinates have one unit, and exact values are known for
    /// one scale.
    fn normalize(&self) -> Normalize {
        let usual = self.preset.pick(Normalize::Isotropic { deviation: 2.0 }, Normalize::Identity);
        self.normalize.unwrap_or(usual)
    }

    /// How samples are drawn at a factor of the energy's gradient.
    fn sampling(&self, guidance_scale: f64, seed: u64) -> SamplingOptions {
        SamplingOptions::default()
            .with_solver(self.sampling.solver())
            .with_samples(self.samples)
            .with_guidance_scale(guidance_scale)
            .with_seed(seed)
    }
}

fn main() -> ExitCode {
    start(run)
}

fn run(arguments: &Arguments) -> Outcome {
    let tasks: Vec<Task> = several(&arguments.task, &Task::ALL, str::parse)?;
    let usual = [Method::Cep, Method::Mse, Method::Emse, Method::Dps];
    let methods = several(&arguments.method, &usual, |name| Method::from_str(name, true))?;
    arguments.sampling(arguments.sampling.guidance, 0).check(2)?;
    let gpu = arguments.place.open()?;
    let folder = &arguments.place.out;
    let mut table = Table::open(folder)?;
    let mut betas = arguments.beta.clone();
    betas.sort_by(f64::total_cmp);
    betas.dedup();
    let pairs: Vec<(f64, Method)> =
        betas.iter().flat_map(|beta| methods.iter().map(|method| (*beta, *method))).collect();
    let mut asked: Vec<Row> = Vec::new();
    let mut all: Vec<Networks<'_>> = Vec::new();
    for &seed in &arguments.seed {
        all.extend(tasks.iter().map(|task| Networks::new(&gpu, arguments, *task, seed)));
    }
    // Everything that could be refused, before anything is trained.
    for (networks, &(beta, method)) in all.iter().flat_map(|one| pairs.iter().map(move |pair| (one, pair))) {
        networks.check(method, beta)?;
        asked.push(rows::asked(networks, method, beta)?);
    }
    for (networks, asked) in all.iter_mut().zip(asked.chunks(pairs.len())) {
        for (&pair, asked) in pairs.iter().zip(asked) {
            let name = rows::name(asked);
            if table.rows.iter().any(|row| rows::answers(row, asked)) {
                eprintln!("{name} is there already");
                continue;
            }
            let found = measure::row(networks, pair, asked)?;
            eprintln!("{name}: {}", rows::figures(&found.row));
            pictures::keep(folder, asked, &found)?;
            table.add(asked, found.row)?;
            tidy(folder);
        }
    }
    let rows = table.like(&asked[0], arguments);
    let path = folder.join("metrics.json");
    match &asked[..] {
        [one] => files::write_json(&path, &rows.iter().find(|row| rows::answers(row, one)))?,
        _ => files::write_json(&path, &serde_json::json!({ "rows": rows }))?,
    }
    let text = rows::markdown(&rows);
    files::write_whole(&folder.join("table.md"), &text)?;
    println!("{text}");
    println!("figures: {}", path.display());
    pictures::draw(folder, (&tasks, &betas, &methods), &asked)
}
