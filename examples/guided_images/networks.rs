//! The diffusion model and the energy of hues, trained.

use gibbs::diffusion::{IntermediateEnergyNetwork, NoiseSchedule, ScoreNetwork};
use gibbs::loss::{IntermediateEnergyLoss, Labels};
use gibbs::nn::{ACTION, Activation, CONTEXT, Fourier, Input, Layer, Network, TIME};
use gibbs::tasks::colored_shapes::{DIMS, draw, energy};
use gibbs::train::{Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, TrainOptions};
use gibbs::{Gpu, Result};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::Arguments;
use super::common::training::{Preset, Trained, fit};

/// The cosine schedule: the linear one spends half of its times where next to nothing of a picture
/// is left.
pub const SCHEDULE: NoiseSchedule = NoiseSchedule::Cosine { offset: 0.008 };
/// Pictures that are compared with one another for one hue.
const GROUP: usize = 32;

/// Pictures depend on a dozen numbers, and so does what can be told of a noised one: residual
/// blocks much narrower than a picture.
fn score(preset: Preset) -> Network {
    let (width, blocks) = preset.pick((256, 2), (768, 4));
    Network::residual(vec![Input::new(ACTION, DIMS), time()], width, blocks, Activation::Silu, DIMS)
}

/// The wanted hue enters as a point of the circle, beside a few linear features of the picture: its
/// hue is one of its mean color.
fn hue_energy(preset: Preset) -> Network {
    let (features, width) = preset.pick((32, 128), (128, 512));
    let picture = Input::new(ACTION, DIMS).embedded(vec![Layer::dense(features, Activation::Identity)]);
    Network::mlp(vec![picture, time(), Input::new(CONTEXT, 2)], &[width; 2], Activation::Silu, 1)
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

/// Groups of pictures, each with a hue that is wanted of it and each picture with its energy
/// towards that hue.
fn data(arguments: &Arguments) -> Result<Dataset> {
    let groups = arguments.preset.pick(1024, 8192);
    let sketches = draw(groups * GROUP, arguments.seed);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(arguments.seed ^ 0x4ac1_77e5);
    let (mut hues, mut pictures, mut energies) = (Vec::new(), Vec::new(), Vec::new());
    for group in sketches.chunks_exact(GROUP) {
        let wanted: f64 = rng.random();
        hues.extend(point_of(wanted));
        for sketch in group {
            let picture = sketch.picture();
            energies.push(energy(&picture, wanted) as f32);
            pictures.extend(picture);
        }
    }
    Dataset::grouped(hues, 2, pictures, DIMS, GROUP)?.with_energies(energies)
}

/// The score and the energy.
pub type Networks = (Trained<ScoreNetwork>, Trained<IntermediateEnergyNetwork>);

/// Trains both networks on the same data.
pub fn train(gpu: &Gpu, arguments: &Arguments) -> Result<Networks> {
    let (preset, data) = (arguments.preset, data(arguments)?);
    let options = |objective: Objective, pictures: usize, steps: u64| {
        TrainOptions::new(objective)
            .with_task("colored shapes")
            .with_batch(pictures / GROUP)
            .with_steps(steps)
            .with_seed(arguments.seed)
    };
    let score = ScoreOptions::new(score(preset))
        .with_prediction(arguments.predict)
        .with_schedule(SCHEDULE)
        .with_action(arguments.normalize)
        .with_optimizer(preset.optimizer(preset.pick(2e-3, 5e-4)).with_max_norm(100.0));
    let steps = arguments.steps.unwrap_or(preset.pick(3000, 60_000));
    let score = options(score.into(), preset.pick(64, 512), steps);
    // No energy is below 0, where the labels are 1.
    let labels = Labels::Unnormalized { reference: 0.0 };
    let energy = IntermediateEnergyOptions::new(hue_energy(preset), arguments.beta)
        .with_loss(IntermediateEnergyLoss::Contrastive { labels })
        .with_group(GROUP)
        .with_schedule(SCHEDULE)
        // Fitted to the same data by the same rule: the units of the score.
        .with_action(arguments.normalize)
        .with_optimizer(preset.optimizer(1e-3).with_max_norm(100.0));
    // It sees each group 16 times: it learns groups by heart when it sees them more often.
    let steps = arguments.energy_steps.unwrap_or(preset.pick(1000, 4000));
    let energy = options(energy.into(), preset.pick(512, 1024), steps);
    // Both before minutes go into the first.
    score.check(&data)?;
    energy.check(&data)?;
    let folder = &arguments.place.out;
    let score = fit(gpu, &data, score, ("score", folder), |trainer| trainer.averaged_score())?;
    let energy =
        fit(gpu, &data, energy, ("energy", folder), |trainer| trainer.averaged_intermediate_energy())?;
    Ok((score, energy))
}
