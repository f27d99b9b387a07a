//! Samples and errors of one method.

use std::time::Instant;

use gibbs::diffusion::Guidance;
use gibbs::tasks::bandit::{Bandit, relative_entropy};
use gibbs::tasks::toy::MixtureOracle;
use gibbs::tasks::toy::accuracy::{self, At};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::common::arguments::{Outcome, name_of};
use super::common::progress::Progress;
use super::networks::{Networks, draw_actions};
use super::rows::{Method, Row};

/// States of the measurement: a grid of 4 by 4.
const PLACES: [f32; 4] = [-0.75, -0.25, 0.25, 0.75];
/// Neighbors of the entropy's estimate.
const NEIGHBOURS: usize = 4;
/// Points in each state at each time at which errors are measured.
const POINTS: usize = 64;

/// A finished row with the samples of each state.
pub struct Measured {
    pub row: Row,
    pub samples: Vec<Vec<[f32; 2]>>,
}

/// The states of the measurement.
pub fn states() -> Vec<[f32; 2]> {
    PLACES.iter().flat_map(|second| PLACES.map(|first| [first, *second])).collect()
}

/// Trains what the row needs, samples and measures.
pub fn row(networks: &mut Networks<'_>, mut row: Row) -> Outcome<Measured> {
    let score = networks.score()?;
    row.steps_per_second = score.steps_per_second;
    let energy = match row.method {
        Method::None => None,
        method => {
            let energy = networks.energy(method)?;
            row.steps_per_second = energy.steps_per_second;
            Some(energy.network)
        }
    };
    let guidance = match &energy {
        Some(energy) => Guidance::Intermediate(energy),
        None => Guidance::None,
    };
    let _alive = Progress::busy(&format!("{}: sampling and measuring", name_of(row.method)));
    row.states = states();
    let clock = Instant::now();
    let seed = row.seed ^ 0x5a3d;
    let flat = draw_actions(networks, &score.network, guidance, &row.states, row.samples, seed)?;
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
    let oracles = |beta: f64| -> gibbs::Result<Vec<MixtureOracle>> {
        row.states.iter().map(|state| Bandit.oracle(state.map(f64::from), beta)).collect()
    };
    let (exact, behaviors) = (oracles(row.beta)?, oracles(0.0)?);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(row.seed ^ 0x77);
    (row.score_error, row.energy_gradient_error) = accuracy::errors(
        (networks.gpu, &score.network),
        (&guidance, 1.0),
        &row.states,
        || rng.sample(StandardNormal),
        |level| {
            let each = behaviors.iter().enumerate().flat_map(|(state, behavior)| {
                let index = (level * behaviors.len() + state) as u64;
                behavior.tilted().draw(POINTS, row.seed ^ 0x1234_5678 ^ index << 32)
            });
            each.collect()
        },
        |level| {
            let of_state = exact.iter().map(|oracle| {
                let at = oracle.at(level)?;
                Ok(Box::new(move |x| at.evaluate(x)) as At<'_>)
            });
            of_state.collect()
        },
    )?;
    Ok(Measured { row, samples })
}
