//! Policies trained on the contextual bandit, against the best policy in closed form (C20), on lavapipe.

mod common;

use gibbs::diffusion::{DiffusionSampler, Guidance, GuidanceNetwork, SamplingOptions, ScoreNetwork};
use gibbs::energy::{GuidanceObjective, Labels};
use gibbs::nn::{
    ACTION, Activation, AdamOptions, CONTEXT, Fourier, FourierColumns, Input, Network, Schedule, TIME,
};
use gibbs::tasks::bandit::{Bandit, relative_entropy};
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer};
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

fn train(
    name: &str,
    data: &Dataset,
    objective: DiffusionObjective,
    support: usize,
    steps: u64,
) -> Result<DiffusionTrainer> {
    let schedule = Schedule::Cosine { rate: 1e-2, warmup: 100, floor: 0.0 };
    let optimiser = AdamOptions { schedule, average_decay: 0.995, max_norm: 10.0, ..AdamOptions::default() };
    let outputs = if objective == DiffusionObjective::Noise { 2 } else { 1 };
    let batch = if support == 1 { 1024 } else { 64 * support };
    let options =
        DiffusionOptions { objective, batch, support, steps, optimiser, ..DiffusionOptions::default() };
    let mut trainer = DiffusionTrainer::new(gpu(), name, network(outputs), data, options)?;
    let mut last = f32::NAN;
    trainer.train(steps, &mut |records| last = records.last().map_or(last, |record| record.loss))?;
    println!("{name}: loss {last}");
    Ok(trainer)
}

fn score(steps: u64) -> Result<ScoreNetwork> {
    let (states, actions) = Bandit.draw(200_000, 1);
    let data = Dataset::new(states.into_flattened(), 2, actions.into_flattened(), 2)?;
    train("score", &data, DiffusionObjective::Noise, 1, steps)?.score()
}

fn energy(name: &str, objective: GuidanceObjective, steps: u64) -> Result<GuidanceNetwork> {
    let data = Bandit.support(&Bandit.states(16_384, 2), SUPPORT, 3)?;
    let objective = DiffusionObjective::Energy { objective, beta: BETA, group: SUPPORT };
    train(name, &data, objective, SUPPORT, steps)?.energy()
}

/// The relative entropy to the best policy of samples at scale `s`, for each state.
fn entropies(
    (score, energy): (&ScoreNetwork, &GuidanceNetwork),
    s: f64,
    (states, samples): (&[[f32; 2]], usize),
) -> Result<Vec<f64>> {
    let options = SamplingOptions {
        contexts: states.len(),
        context_width: 2,
        samples,
        guidance_scale: s,
        seed: 11,
        ..SamplingOptions::default()
    };
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
    let labels = Labels::Unnormalised { reference: Bandit::LOWEST_ENERGY };
    let energy = energy("cep", GuidanceObjective::Contrastive { labels }, 80).unwrap();
    let [plain, guided] = [0.0, 1.0].map(|s| entropies((&score, &energy), s, (&STATES[3..6], 400)).unwrap());
    println!("without guidance {plain:.3?}, with it {guided:.3?}");
    assert!(mean(&guided) < 0.6 * mean(&plain), "{plain:?} {guided:?}");
}

#[test]
#[ignore = "minutes"]
fn c20_contrast_finds_the_best_policy_of_every_state() {
    let steps = 5000;
    let score = score(steps).unwrap();
    let labels = Labels::Unnormalised { reference: Bandit::LOWEST_ENERGY };
    let cep = energy("cep", GuidanceObjective::Contrastive { labels }, steps).unwrap();
    let mse = energy("mse", GuidanceObjective::Mse, steps).unwrap();
    let [cep, mse] = [&cep, &mse].map(|energy| entropies((&score, energy), 1.0, (&STATES, 4000)).unwrap());
    println!("relative entropy to the best policy: contrast {cep:.3?}, regression {mse:.3?}");
    assert!(mean(&cep) < 0.05, "{cep:?}");
    assert!(mean(&mse) > 3.0 * mean(&cep), "{mse:?} {cep:?}");
    assert!(cep.iter().zip(&mse).all(|(cep, mse)| cep < mse), "{mse:?} {cep:?}");
}
