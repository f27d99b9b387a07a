//! Samples and errors of one method.

use std::time::Instant;

use gibbs::diffusion::{
    EnergyAtLevel, Guidance, IntermediateEnergy, NoiseLevel, NoiseSchedule, ScoreNetwork, evaluate_noise,
};
use gibbs::nn::{Points, evaluate_gradient};
use gibbs::tasks::bandit::{Bandit, relative_entropy};
use gibbs::tasks::toy::MixtureOracle;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::networks::{Trained, draw_actions};
use super::rows::{Method, Row};

/// States of the measurement: a grid of 4 by 4.
const PLACES: [f32; 4] = [-0.75, -0.25, 0.25, 0.75];
/// Neighbours of the entropy's estimate.
const NEIGHBOURS: usize = 4;
/// Times at which errors are measured, the middles of equal parts of 0.001 to 1, and points in each state.
const LEVELS: usize = 16;
const POINTS: usize = 64;

/// A finished row with the samples of each state.
pub struct Measured {
    pub row: Row,
    pub samples: Vec<Vec<[f32; 2]>>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The states of the measurement.
pub fn states() -> Vec<[f32; 2]> {
    PLACES.iter().flat_map(|second| PLACES.map(|first| [first, *second])).collect()
}

/// Trains what the row needs, samples and measures.
pub fn row(trained: &mut Trained<'_>, mut row: Row) -> Outcome<Measured> {
    let score = trained.score()?;
    row.steps_per_second = score.steps_per_second;
    let energy = match row.method {
        Method::None => None,
        method => {
            let energy = trained.energy(method)?;
            row.steps_per_second = energy.steps_per_second;
            Some(energy.network)
        }
    };
    let guidance = match &energy {
        Some(energy) => Guidance::Intermediate(energy),
        None => Guidance::None,
    };
    row.states = states();
    let clock = Instant::now();
    let seed = row.seed ^ 0x5a3d;
    let flat = draw_actions(trained, &score.network, guidance, &row.states, row.samples, seed)?;
    row.samples_per_second = flat.len() as f64 / clock.elapsed().as_secs_f64();
    let samples: Vec<Vec<[f32; 2]>> = flat.chunks_exact(row.samples).map(<[_]>::to_vec).collect();

    let mut floor = 0.0;
    for (index, (state, sample)) in row.states.iter().zip(&samples).enumerate() {
        let best = Bandit.oracle(state.map(f64::from), row.beta)?.tilted();
        let to_best =
            |sample: &[[f32; 2]]| relative_entropy(sample, NEIGHBOURS, |action| best.log_density(action));
        row.kl_states.push(to_best(sample)?);
        let exact = best.draw(row.samples, row.seed.wrapping_mul(1000).wrapping_add(index as u64));
        floor += to_best(&exact)? / row.states.len() as f64;
    }
    row.kl_exact_samples = floor;
    row.kl_mean = row.kl_states.iter().sum::<f64>() / row.states.len() as f64;
    row.kl_worst = row.kl_states.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let learned = energy.as_ref().map(|energy| energy as &dyn IntermediateEnergy);
    (row.score_error, row.energy_gradient_error) = errors(trained, &row, &score.network, learned)?;
    Ok(Measured { row, samples })
}

/// Relative root mean squares of the predicted noise and of the energy's gradient, over noised actions of the behaviour.
fn errors(
    trained: &Trained<'_>,
    row: &Row,
    score: &ScoreNetwork,
    energy: Option<&dyn IntermediateEnergy>,
) -> Outcome<(f64, Option<f64>)> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(row.seed ^ 0x77);
    let oracles = |beta: f64| -> gibbs::Result<Vec<MixtureOracle>> {
        row.states.iter().map(|state| Bandit.oracle(state.map(f64::from), beta)).collect()
    };
    let (exact, behaviours) = (oracles(row.beta)?, oracles(0.0)?);
    // Sums of squares: of the noise's error and size, of the gradient's error and size.
    let mut sums = [0.0; 4];
    let levels: Vec<NoiseLevel> = NoiseSchedule::default().levels(1e-3, 1.0, LEVELS).collect();
    for (index, level) in levels.into_iter().enumerate() {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let mut x = Vec::new();
        for (state, behaviour) in behaviours.iter().enumerate() {
            let seed = row.seed ^ 0x1234_5678 ^ ((index * behaviours.len() + state) as u64) << 32;
            for action in behaviour.tilted().draw(POINTS, seed) {
                x.extend(action.map(|place| {
                    let noise: f64 = rng.sample(StandardNormal);
                    (alpha * f64::from(place) + sigma * noise) as f32
                }));
            }
        }
        let context = row.states.as_flattened();
        let points = Points { context, contexts: row.states.len(), y: &x, dims: 2 };
        let noise = evaluate_noise(trained.gpu, score, &points, &level)?;
        let gradient = match energy {
            Some(energy) => {
                Some(evaluate_gradient(trained.gpu, &EnergyAtLevel::new(energy, level), &points)?)
            }
            None => None,
        };
        for (state, oracle) in exact.iter().enumerate() {
            let at = oracle.at(level)?;
            for point in state * POINTS..(state + 1) * POINTS {
                let exact = at.evaluate([0, 1].map(|j| f64::from(x[2 * point + j])));
                for j in 0..2 {
                    let eps = -sigma * exact.score[j];
                    sums[0] += (f64::from(noise[2 * point + j]) - eps).powi(2);
                    sums[1] += eps * eps;
                    if let Some(gradient) = &gradient {
                        sums[2] += (f64::from(gradient[2 * point + j]) - exact.gradient[j]).powi(2);
                        sums[3] += exact.gradient[j].powi(2);
                    }
                }
            }
        }
    }
    Ok(((sums[0] / sums[1]).sqrt(), energy.map(|_| (sums[2] / sums[3]).sqrt())))
}
