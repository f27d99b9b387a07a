//! Policies trained on the contextual bandit, against the best policy in closed form (C20), on
//! lavapipe.

use crate::common;
use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergyNetwork, SamplingOptions, ScoreNetwork,
};
use gibbs::loss::{IntermediateEnergyLoss, Labels};
use gibbs::math::Normalize;
use gibbs::nn::{
    ACTION, Activation, AdamOptions, CONTEXT, Fourier, FourierColumns, Input, Network, Schedule, TIME,
};
use gibbs::tasks::bandit::{Bandit, relative_entropy};
use gibbs::train::{
    Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, StepRecord, TrainOptions, Trainer,
};
use gibbs::{Gpu, Result};

const BETA: f64 = 3.0;
const SUPPORT: usize = 16;
const STATES: [[f32; 2]; 8] = [
    [-0.75, -0.75],
    [-0.25, -0.25],
    [0.25, -0.75],
    [0.75, -0.25],
    [-0.75, 0.25],
    [-0.25, 0.75],
    [0.25, 0.25],
    [0.75, 0.75],
];

fn gpu() -> &'static Gpu {
    &common::lavapipe().gpu
}

/// The networks of the example: waves of the action for the score alone.
fn network(outputs: usize) -> Network {
    // The first two waves run along the first coordinate, the others along the second.
    let frequencies = vec![0.125, 0.25, 0.0, 0.0, 0.0, 0.0, 0.125, 0.25];
    let waves = Fourier { frequencies, count: 4, columns: FourierColumns::default() };
    let action = Input::new(ACTION, 2);
    let inputs = vec![
        if outputs == 2 { action.encoded(waves.with_input()) } else { action },
        Input::new(CONTEXT, 2),
        Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 5).with_input()),
    ];
    Network::mlp(inputs, &[128; 3], Activation::Silu, outputs)
}

fn optimizer() -> AdamOptions {
    let schedule = Schedule::Cosine { rate: 1e-2, warmup: 100, floor: 0.0 };
    AdamOptions::default().with_schedule(schedule).with_average_decay(0.995).with_max_norm(10.0)
}

fn train(data: &Dataset, objective: Objective, batch: usize, steps: u64) -> Result<Trainer> {
    let options = TrainOptions::new(objective).with_batch(batch).with_steps(steps);
    let mut trainer = Trainer::new(gpu(), data, options)?;
    let mut last = f32::NAN;
    let mut observer = |records: &[StepRecord]| {
        last = records.last().and_then(|record| record.value("loss")).unwrap_or(last);
    };
    trainer.train(steps, u64::MAX, &mut observer)?;
    println!("{:?}: loss {last}", trainer.models().collect::<Vec<_>>());
    Ok(trainer)
}

fn score(steps: u64) -> Result<ScoreNetwork> {
    let (states, actions) = Bandit.draw(200_000, 1);
    let data = Dataset::new(states.into_flattened(), 2, actions.into_flattened(), 2)?;
    // In data units, as the figures of C20 are known.
    let options = ScoreOptions::new(network(2)).with_optimizer(optimizer()).with_action(Normalize::Identity);
    train(&data, options.into(), 1024, steps)?.averaged_score()
}

fn energy(name: &str, loss: IntermediateEnergyLoss, steps: u64) -> Result<IntermediateEnergyNetwork> {
    let data = Bandit.support(&Bandit.states(16_384, 2), SUPPORT, 3)?;
    let options = IntermediateEnergyOptions::new(network(1), BETA)
        .with_name(name)
        .with_loss(loss)
        .with_group(SUPPORT)
        .with_action(Normalize::Identity)
        .with_optimizer(optimizer());
    train(&data, options.into(), 64, steps)?.averaged_intermediate_energy()
}

/// The relative entropy to the best policy of samples at scale `s`, for each state.
fn entropies(
    (score, energy): (&ScoreNetwork, &IntermediateEnergyNetwork),
    s: f64,
    (states, samples): (&[[f32; 2]], usize),
) -> Result<Vec<f64>> {
    let options = SamplingOptions::default()
        .with_contexts(states.len())
        .with_context_width(2)
        .with_samples(samples)
        .with_guidance_scale(s)
        .with_seed(11);
    let mut sampler = DiffusionSampler::new(gpu(), score, Guidance::Intermediate(energy), &options)?;
    let flat = sampler.sample(states.as_flattened())?;
    let actions: Vec<[f32; 2]> = flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    let each = states.iter().zip(actions.chunks_exact(samples));
    each.map(|(state, actions)| {
        let best = Bandit.oracle(state.map(f64::from), BETA)?.tilted();
        relative_entropy(actions, 4, |action| best.log_density(action))
    })
    .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A few steps are far from the optimum, but already lead the right way.
#[test]
fn guidance_brings_a_policy_nearer_to_the_best() {
    let score = score(80).unwrap();
    let labels = Labels::Unnormalized { reference: Bandit::LOWEST_ENERGY };
    let energy = energy("cep", IntermediateEnergyLoss::Contrastive { labels }, 80).unwrap();
    let [plain, guided] = [0.0, 1.0].map(|s| entropies((&score, &energy), s, (&STATES[3..6], 400)).unwrap());
    println!("without guidance {plain:.3?}, with it {guided:.3?}");
    assert!(mean(&guided) < 0.6 * mean(&plain), "{plain:?} {guided:?}");
}

#[test]
#[ignore = "minutes"]
fn c20_contrast_finds_the_best_policy_of_every_state() {
    let steps = 5000;
    let score = score(steps).unwrap();
    let labels = Labels::Unnormalized { reference: Bandit::LOWEST_ENERGY };
    let cep = energy("cep", IntermediateEnergyLoss::Contrastive { labels }, steps).unwrap();
    let mse = energy("mse", IntermediateEnergyLoss::Mse, steps).unwrap();
    let [cep, mse] = [&cep, &mse].map(|energy| entropies((&score, energy), 1.0, (&STATES, 4000)).unwrap());
    println!("relative entropy to the best policy: contrast {cep:.3?}, regression {mse:.3?}");
    assert!(mean(&cep) < 0.05, "{cep:?}");
    assert!(mean(&mse) > 3.0 * mean(&cep), "{mse:?} {cep:?}");
    assert!(cep.iter().zip(&mse).all(|(cep, mse)| cep < mse), "{mse:?} {cep:?}");
}
