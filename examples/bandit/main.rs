//! Learns how a bandit's actions were chosen, as a diffusion model for every state, and energies
//! that lead its samples towards what is worth most; measures the policies against the best one in
//! closed form (arXiv 2304.12824).

#[path = "../common/mod.rs"]
mod common;

mod measure;
mod networks;
mod pictures;
mod rows;

use std::process::ExitCode;
use std::time::Instant;

use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use gibbs::diffusion::SolverOptions;
use gibbs::loss::Labels;
use gibbs::math::Normalize;

use common::arguments::{Outcome, Place, normalize, several, start};
use common::files;
use common::training::{Preset, tidy};
use networks::Networks;
use rows::{Method, Row};

/// Learn a policy that stays near recorded behavior and prefers valuable actions: pi(a|s)
/// proportional to mu(a|s) exp(beta Q(s, a)). States and actions are points of the plane, the
/// behavior mu has four modes that move with the state, the value Q is quadratic; so the best
/// policy of every state is known exactly, and samples are compared with it. After Ctrl-C the same
/// command goes on where it was stopped.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How guidance is learned: cep (contrastive energy prediction), mse and emse (regression on
    /// energies and on their exponentials), none, or all; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "cep,mse")]
    method: Vec<String>,
    /// Labels of contrastive energy prediction: the softmax of the energies of a state, as in the
    /// paper's code, or exponentials on one fixed scale, exact for any number of actions.
    #[arg(long, value_parser = PossibleValuesParser::new(Labels::KINDS), default_value = "unnormalized")]
    labels: String,
    /// How much value counts against likeness to the behavior.
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
    /// What actions are normalized to before noise is added: their deviation, with one scale for
    /// both coordinates, or identity for data units [default: 2, with `--preset paper` identity].
    #[arg(long, value_name = "DEVIATION", value_parser = normalize)]
    normalize: Option<Normalize>,
    /// Seed of data, weights, batches and samples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of the runs and size of the networks. quick: three layers of 128: minutes on two CPU
    /// cores. paper: four layers of 256 as in the published policies, six times the steps of four
    /// times the states.
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Preset::Quick)]
    preset: Preset,
    /// Training steps of each network [default: by the preset].
    #[arg(long)]
    steps: Option<u64>,
    /// Samples to draw in each of the 16 states of the measurement.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    samples: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum SupportSource {
    /// The exact behavior: what guidance alone can do.
    Data,
    /// The learned model of the behavior, as where only one action per state is recorded.
    Model,
}

impl Arguments {
    fn normalize(&self) -> Normalize {
        let usual = self.preset.pick(Normalize::Isotropic { deviation: 2.0 }, Normalize::Identity);
        self.normalize.unwrap_or(usual)
    }

    fn solver(&self) -> SolverOptions {
        SolverOptions::default().with_evaluations(self.nfe)
    }
}

fn main() -> ExitCode {
    start(run)
}

fn run(arguments: &Arguments) -> Outcome {
    let methods = several(&arguments.method, Method::value_variants(), |name| Method::from_str(name, true))?;
    for &method in &methods {
        networks::check(arguments, method)?;
    }
    let gpu = arguments.place.open()?;
    let mut networks = Networks::new(&gpu, arguments);
    let mut shown = Vec::new();
    let path = arguments.place.out.join("metrics.json");
    for method in methods {
        let begun = Instant::now();
        let row = Row::describe(arguments, &gpu, method);
        let mut found = measure::row(&mut networks, row)?;
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
    tidy(&arguments.place.out);
    println!("figures: {}", path.display());
    pictures::draw(&arguments.place.out, arguments.beta, &shown)
}
