//! The diffusion model and the energy of hues, trained.

use clap::ValueEnum;
use gibbs::diffusion::{GuidanceNetwork, NoiseSchedule, Prediction, ScoreNetwork};
use gibbs::energy::{GuidanceObjective, Labels};
use gibbs::nn::{ACTION, Activation, AdamOptions, CONTEXT, Fourier, Input, Layer, Network, Schedule, TIME};
use gibbs::tasks::coloured_shapes::{DIMS, draw, energy};
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer};
use gibbs::{Gpu, Result};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::progress;
use super::{Arguments, Outcome};

/// The cosine schedule: the linear one spends half of its times where next to nothing of a picture is left.
pub const SCHEDULE: NoiseSchedule = NoiseSchedule::Cosine { offset: 0.008 };
/// Pictures that are compared with one another for one hue.
const GROUP: usize = 32;

/// Length of the runs and size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Networks of 660 and of 48 thousand parameters: minutes on two CPU cores.
    Quick,
    /// Wider networks on eight times the pictures, for a graphics card.
    Paper,
}

impl Preset {
    pub fn name(self) -> &'static str {
        match self {
            Preset::Quick => "quick",
            Preset::Paper => "paper",
        }
    }

    pub fn steps(self) -> u64 {
        match self {
            Preset::Quick => 3000,
            Preset::Paper => 60_000,
        }
    }

    /// The energy sees each group 16 times: it learns groups by heart when it sees them more often.
    pub fn energy_steps(self) -> u64 {
        match self {
            Preset::Quick => 1000,
            Preset::Paper => 4000,
        }
    }

    fn batch(self) -> usize {
        match self {
            Preset::Quick => 64,
            Preset::Paper => 512,
        }
    }

    fn rate(self) -> f64 {
        match self {
            Preset::Quick => 2e-3,
            Preset::Paper => 5e-4,
        }
    }

    fn energy_batch(self) -> usize {
        match self {
            Preset::Quick => 512,
            Preset::Paper => 1024,
        }
    }

    /// Groups of pictures in the data, each with a hue that is wanted of it.
    fn groups(self) -> usize {
        match self {
            Preset::Quick => 1024,
            Preset::Paper => 8192,
        }
    }

    /// Pictures depend on a dozen numbers, and so does what can be told of a noised one: residual blocks much narrower than
    /// a picture.
    fn score(self) -> Network {
        let (width, blocks) = match self {
            Preset::Quick => (256, 2),
            Preset::Paper => (768, 4),
        };
        let inputs = vec![Input::new(ACTION, DIMS), time()];
        Network::residual(inputs, width, blocks, Activation::Silu, DIMS)
    }

    /// The wanted hue enters as a point of the circle, beside a few linear features of the picture: its hue is one of its mean
    /// colour.
    fn energy(self) -> Network {
        let (features, width) = match self {
            Preset::Quick => (32, 128),
            Preset::Paper => (128, 512),
        };
        let picture = Input::new(ACTION, DIMS).embedded(vec![Layer::dense(features, Activation::Identity)]);
        Network::mlp(vec![picture, time(), Input::new(CONTEXT, 2)], &[width; 2], Activation::Silu, 1)
    }

    fn optimiser(self, rate: f64) -> AdamOptions {
        let average_decay = if self == Preset::Paper { 0.999 } else { 0.995 };
        let schedule = Schedule::Cosine { rate, warmup: 100, floor: 0.0 };
        AdamOptions { schedule, average_decay, max_norm: 100.0, ..AdamOptions::default() }
    }
}

/// Time enters as itself and as waves of half a turn to eight turns per unit.
fn time() -> Input {
    Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 8).with_input())
}

/// A hue as the energy's network takes it.
pub fn point_of(hue: f64) -> [f32; 2] {
    let (sine, cosine) = (std::f64::consts::TAU * hue).sin_cos();
    [cosine as f32, sine as f32]
}

/// What training leaves.
pub struct Trained {
    pub score: ScoreNetwork,
    pub energy: GuidanceNetwork,
    pub steps: u64,
    pub energy_steps: u64,
    /// Steps per second of the model and of the energy.
    pub speeds: [f64; 2],
}

/// Groups of pictures, each picture with its energy towards the hue that is wanted of its group.
fn data(arguments: &Arguments) -> Result<Dataset> {
    let groups = arguments.preset.groups();
    let sketches = draw(groups * GROUP, arguments.seed);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(arguments.seed ^ 0x4ac1_77e5);
    let mut hues = Vec::with_capacity(2 * groups);
    let mut rows = Vec::with_capacity(groups * GROUP * (DIMS + 1));
    for group in sketches.chunks_exact(GROUP) {
        let wanted: f64 = rng.random();
        hues.extend(point_of(wanted));
        for sketch in group {
            let picture = sketch.picture();
            let energy = energy(&picture, wanted);
            rows.extend(picture);
            rows.push(energy as f32);
        }
    }
    Dataset::new(hues, 2, rows, GROUP * (DIMS + 1))
}

/// Trains both networks on the same data.
pub fn train(gpu: &Gpu, arguments: &Arguments) -> Outcome<Trained> {
    let (preset, data) = (arguments.preset, data(arguments)?);
    let options = |objective, batch, steps, rate| DiffusionOptions {
        task: "coloured shapes".into(),
        objective,
        batch,
        support: GROUP,
        steps,
        schedule: SCHEDULE,
        optimiser: preset.optimiser(rate),
        seed: arguments.seed,
        ..DiffusionOptions::default()
    };
    let steps = arguments.steps.unwrap_or(preset.steps());
    let objective = match arguments.predict.prediction() {
        Prediction::Sample => DiffusionObjective::Sample,
        Prediction::Noise => DiffusionObjective::Noise,
    };
    let score = options(objective, preset.batch(), steps, preset.rate());
    let energy_steps = arguments.energy_steps.unwrap_or(preset.energy_steps());
    // No energy is below 0, where the labels are 1.
    let labels = Labels::Unnormalised { reference: 0.0 };
    let objective = DiffusionObjective::Energy {
        objective: GuidanceObjective::Contrastive { labels },
        beta: arguments.beta,
        group: GROUP,
    };
    let energy = options(objective, preset.energy_batch(), energy_steps, 1e-3);
    // Both before minutes go into the first.
    score.check(&preset.score(), &data)?;
    energy.check(&preset.energy(), &data)?;
    let (score, score_speed) = fit(gpu, arguments, ("score", preset.score()), &data, score)?;
    let (energy, energy_speed) = fit(gpu, arguments, ("energy", preset.energy()), &data, energy)?;
    Ok(Trained {
        score: score.score()?,
        energy: energy.energy()?,
        steps,
        energy_steps,
        speeds: [score_speed, energy_speed],
    })
}

/// Trains one network; returns its steps per second too.
fn fit(
    gpu: &Gpu,
    arguments: &Arguments,
    (name, network): (&str, Network),
    data: &Dataset,
    options: DiffusionOptions,
) -> Outcome<(DiffusionTrainer, f64)> {
    let steps = options.steps;
    let mut trainer = DiffusionTrainer::new(gpu, name, network, data, options)?;
    let speed = progress::train(&mut trainer, steps, name, &arguments.out.join("train.jsonl"))?;
    Ok((trainer, speed))
}
