//! Trains a diffusion model of colored shapes and one energy that knows every hue, and draws shapes
//! of the hues that are asked for (the color experiment of arXiv 2304.12824, at a size any adapter
//! can train).

#[path = "../common/mod.rs"]
mod common;

mod measure;
mod networks;
mod pictures;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use gibbs::diffusion::Prediction;
use gibbs::math::Normalize;

use common::arguments::{Outcome, Place, Sampling, choice, normalize, start};
use common::files::write_json;
use common::progress::Progress;
use common::training::{Preset, tidy};

/// Learn pictures of colored shapes as a diffusion model and an energy that leads it towards a hue;
/// count how many samples have the wanted hue, with guidance and without. After Ctrl-C the same
/// command goes on where it was stopped.
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
    #[command(flatten)]
    sampling: Sampling,
    /// How many hues to ask for, at equal distances along the circle, from red on.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=360))]
    hues: u32,
    /// Samples to draw per hue, and as many in all without guidance for every hue; up to 200000
    /// over all hues.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    samples: u32,
    /// What the diffusion model's network outputs: the picture without its noise, or the noise, as
    /// in the paper.
    #[arg(long, value_parser = choice(Prediction::ALL, Prediction::name), default_value_t = Prediction::Sample)]
    predict: Prediction,
    /// What pictures are normalized to before noise is added: their deviation, with one scale for
    /// all their values, or identity for the values from -1 to 1 that they have.
    #[arg(long, value_name = "DEVIATION", value_parser = normalize, default_value = "identity")]
    normalize: Normalize,
    /// Length of the runs and size of the networks. quick: networks of 660 and of 48 thousand
    /// parameters: minutes on two CPU cores. paper: wider networks on eight times the pictures, for
    /// a graphics card.
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Preset::Quick)]
    preset: Preset,
    #[command(flatten)]
    place: Place,
}

impl Arguments {
    /// The hues that are asked for, in turns.
    fn targets(&self) -> impl Iterator<Item = f64> {
        let hues = f64::from(self.hues);
        (0..self.hues).map(move |index| f64::from(index) / hues)
    }
}

fn main() -> ExitCode {
    start(run)
}

fn run(arguments: &Arguments) -> Outcome {
    let begun = Instant::now();
    measure::check(arguments)?;
    let gpu = arguments.place.open()?;
    let networks = networks::train(&gpu, arguments)?;
    let progress = Progress::busy("sampling and counting");
    let samples = measure::sample(&gpu, arguments, &networks)?;
    let mut metrics = measure::metrics(&gpu, arguments, &networks, &samples);
    metrics["seconds"] = begun.elapsed().as_secs_f64().into();
    drop(progress);
    let path = arguments.place.out.join("metrics.json");
    write_json(&path, &metrics)?;
    tidy(&arguments.place.out);
    let percent = |key: &str| 100.0 * metrics[key].as_f64().unwrap_or(f64::NAN);
    let [guided, unguided, exact] = ["share_guided", "share_unguided", "share_exact"].map(percent);
    println!(
        "within {:.0} degrees of the wanted hue: {guided:.1} % of the samples guided, {unguided:.1} % unguided, \
         {:.1} times as many (exact guidance {exact:.1} %)",
        360.0 * measure::TOLERANCE,
        guided / unguided
    );
    println!("figures: {}", path.display());
    pictures::draw(&arguments.place.out.join("grid.png"), arguments.targets(), &samples)
}
