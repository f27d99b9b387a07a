//! A bandit with a state: one decision, a behavior of four modes and a quadratic value, and the
//! best policy near that behavior in closed form.
//!
//! The state `s` is uniform on `[-1, 1]^2`, the action `a` is a point of the plane. The behavior
//! `mu(a|s)` is a mixture of four round Gaussians, `k = 0 .. 3`, with
//!
//! * weights proportional to `exp(s_0 cos(pi k / 2) + s_1 sin(pi k / 2))`,
//! * means `(2 + (-1)^k s_1 / 2) (cos b_k, sin b_k)`, `b_k = pi k / 2 + pi s_0 / 8`,
//! * deviations `0.8 + 0.2 (-1)^k s_0`.
//!
//! The energy is the negative value, `E(s, a) = -Q(s, a) = (a - c(s))' A (a - c(s)) / 2`, never
//! below 0, with `A = [[0.3, 0.08], [0.08, 0.18]]` and `c(s) = (0.6 + s_1, -1.4 s_0)`. The best
//! policy that stays near the behavior, `pi*(a|s) = mu(a|s) exp(-beta E(s, a)) / Z(s)`, is again a
//! mixture of four Gaussians for each state ([`MixtureOracle`]), and so is everything that a guided
//! diffusion needs at any time. The formulas are this crate's own choice.

mod relative_entropy;

use std::f64::consts::{FRAC_PI_2, FRAC_PI_8};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::toy::{Component, MixtureOracle, Quadratic};
use crate::math::{normal_pair, pick, uniform};
use crate::train::Dataset;
use crate::{Error, Result};

pub use relative_entropy::relative_entropy;

/// The operation named in errors of this module.
const UNIT: &str = "tasks::bandit";

const MATRIX: [[f64; 2]; 2] = [[0.3, 0.08], [0.08, 0.18]];

/// The bandit; see the module for its formulas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandit;

impl Bandit {
    /// Modes of the behavior.
    pub const MODES: usize = 4;

    /// The least energy of any action in any state.
    pub const LOWEST_ENERGY: f64 = 0.0;

    /// Half the side of the square that holds the actions, for pictures: fewer than one in a
    /// thousand lie outside.
    pub const HALF_WIDTH: f64 = 5.0;

    /// The bandit.
    pub fn new() -> Self {
        Self
    }

    /// The behavior `mu(a|s)`; the weights add up to 1.
    pub fn behavior(&self, state: [f64; 2]) -> [Component; Self::MODES] {
        let [first, second] = state;
        let logits: [f64; Self::MODES] = std::array::from_fn(|k| {
            let (sin, cos) = (FRAC_PI_2 * k as f64).sin_cos();
            first * cos + second * sin
        });
        let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
        std::array::from_fn(|k| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            let (sin, cos) = (FRAC_PI_2 * k as f64 + FRAC_PI_8 * first).sin_cos();
            let radius = 2.0 + 0.5 * sign * second;
            let std = 0.8 + 0.2 * sign * first;
            Component {
                weight: logits[k].exp() / total,
                mean: [radius * cos, radius * sin],
                variance: std * std,
            }
        })
    }

    /// The energy of a state as a function of the action.
    pub fn quadratic(&self, state: [f64; 2]) -> Quadratic {
        Quadratic { matrix: MATRIX, center: [0.6 + state[1], -1.4 * state[0]] }
    }

    /// `E(s, a) = -Q(s, a)`, low where wanted, `beta` not included.
    pub fn energy(&self, state: [f64; 2], action: [f64; 2]) -> f64 {
        self.quadratic(state).energy(action)
    }

    /// What is exact in a state: intermediate energies, scores, and with [`MixtureOracle::tilted`]
    /// the best policy. With `beta` 0 that is the behavior.
    ///
    /// # Errors
    /// [`Error::Argument`] if `beta` is negative or not finite, or the state is not finite.
    pub fn oracle(&self, state: [f64; 2], beta: f64) -> Result<MixtureOracle> {
        MixtureOracle::new(self.behavior(state).to_vec(), self.quadratic(state), beta)
    }

    /// States and an action of the behavior for each. Equal seeds give equal draws.
    pub fn draw(&self, count: usize, seed: u64) -> (Vec<[f32; 2]>, Vec<[f32; 2]>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut pair = || {
            let state = draw_state(&mut rng);
            (state, self.action(state, &mut rng))
        };
        (0..count).map(|_| pair()).unzip()
    }

    /// States alone, the first part of what a [`Bandit::support`] is made of.
    pub fn states(&self, count: usize, seed: u64) -> Vec<[f32; 2]> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..count).map(|_| draw_state(&mut rng)).collect()
    }

    /// Labeled data to train on: a state per row with `support` actions of the behavior there, each
    /// with its energy.
    ///
    /// # Errors
    /// As [`Bandit::label`].
    pub fn support(&self, states: &[[f32; 2]], support: usize, seed: u64) -> Result<Dataset> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let each = states.iter().flat_map(|state| std::iter::repeat_n(*state, support));
        let actions: Vec<[f32; 2]> = each.map(|state| self.action(state, &mut rng)).collect();
        self.label(states, &actions)
    }

    /// The same for actions from elsewhere, such as a model's samples: equally many for each state,
    /// in the order of the states.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no states or actions, or not equally many actions for each
    /// state; those of [`Dataset::new`] for numbers that are not finite.
    pub fn label(&self, states: &[[f32; 2]], actions: &[[f32; 2]]) -> Result<Dataset> {
        let support = actions.len() / states.len().max(1);
        if support == 0 || support * states.len() != actions.len() {
            let problem = format!(
                "are {} for {} states; give every state equally many, at least one",
                actions.len(),
                states.len()
            );
            return Err(Error::argument(UNIT, "the actions", problem));
        }
        let energies = states.iter().zip(actions.chunks_exact(support)).flat_map(|(state, actions)| {
            let energy = self.quadratic(state.map(f64::from));
            actions.iter().map(move |action| energy.energy(action.map(f64::from)) as f32)
        });
        let (x, y) = (states.as_flattened().to_vec(), actions.as_flattened().to_vec());
        Dataset::grouped(x, 2, y, 2, support)?.with_energies(energies.collect())
    }

    fn action(&self, state: [f32; 2], rng: &mut impl Rng) -> [f32; 2] {
        let behavior = self.behavior(state.map(f64::from));
        let mode = &behavior[pick(behavior.iter().map(|mode| mode.weight), rng)];
        let noise = normal_pair(rng);
        [0, 1].map(|i| (mode.mean[i] + mode.variance.sqrt() * noise[i]) as f32)
    }
}

fn draw_state(rng: &mut impl Rng) -> [f32; 2] {
    [0; 2].map(|_| (2.0 * uniform(rng) - 1.0) as f32)
}

#[cfg(test)]
mod tests;
