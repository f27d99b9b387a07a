//! The Metropolis-adjusted Langevin algorithm.

use serde::{Deserialize, Serialize};

use super::StepSchedule;
use super::begin_leapfrog::SizeOf;
use super::chain_inputs::{ChainInputs, ChainOutputs};
use super::trajectories::Trajectories;
use crate::Result;
use crate::gpu::Recording;
use crate::math::{Bounds, Scales};

/// Langevin steps that are accepted or rejected, so that `exp(-E / T)` is sampled without the bias
/// of the step size.
///
/// ```text
/// y' = y - eta s^2 g(y) + sqrt(2 eta T) s n
/// T log a = E(y) - E(y') + (|y' - y + eta s^2 g(y)|^2 - |y - y' + eta s^2 g(y')|^2) / (4 eta)
/// ```
///
/// with `s` the scale of each dimension, 1 unless given, and `|v|` the length of `v / s`
/// (Roberts & Tweedie 1996.) It is computed as Hamiltonian Monte Carlo with one leapfrog step of
/// `eps = sqrt(2 eta)`, which makes the same proposal and the same decision. A proposed outside the
/// box, or with an energy or gradient that is not finite, is rejected; starts are clipped to the
/// box. A start without a finite energy and gradient never moves and comes back as not finite.
/// Energies beyond 1e30 and slopes times scale or momenta beyond 1e15 count as not finite in a
/// proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Mala {
    /// Steps of each chain after the warm-up; 65535 at most with it.
    pub steps: usize,
    /// Step sizes `eta`, in squared scales.
    pub step_sizes: StepSchedule,
    /// Temperatures `T`.
    pub temperatures: StepSchedule,
    /// Steps before those, at the first size and temperature, that learn one factor on all
    /// step_sizes; 0 keeps them as they are, 1 is refused, 20 is few.
    pub warmup: usize,
    /// Mean acceptance probability that the factor is learned for.
    pub target_acceptance: f64,
    /// The density is that on this box.
    pub bounds: Option<Bounds>,
    /// Scale `s` of each dimension, in data units; 1 for all without.
    pub scales: Option<Scales>,
}

crate::error::setters!(Mala {
    with_steps => steps: usize,
    with_step_sizes => step_sizes: StepSchedule,
    with_temperatures => temperatures: StepSchedule,
    with_warmup => warmup: usize,
    with_target_acceptance => target_acceptance: f64,
    with_bounds => bounds: into Option<Bounds>,
    with_scales => scales: into Option<Scales>,
});

impl Default for Mala {
    /// 500 steps after a warm-up of 200 to an acceptance of 0.574, the best in many dimensions
    /// (Roberts & Rosenthal 1998).
    fn default() -> Self {
        Self {
            steps: 500,
            step_sizes: StepSchedule::Constant { value: 0.1 },
            temperatures: StepSchedule::Constant { value: 1.0 },
            warmup: 200,
            target_acceptance: 0.574,
            bounds: None,
            scales: None,
        }
    }
}

impl Mala {
    /// Records the chains, starting from and ending in `inputs.y`.
    ///
    /// * streams `<stream>/momentum` and `<stream>/accept`.
    /// * per step: the energy's value and gradient and two dispatches, three in the warm-up.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for no steps, bad step_sizes, temperatures or targets,
    /// [`crate::Error::Shape`] if dimensions disagree.
    pub fn record(&self, recording: &mut Recording, inputs: &ChainInputs<'_>) -> Result<ChainOutputs> {
        let trajectories = Trajectories {
            operation: "mala",
            steps: self.steps,
            leapfrogs: 1,
            step_sizes: self.step_sizes,
            size_of: SizeOf::Langevin,
            temperatures: self.temperatures,
            warmup: self.warmup,
            target_acceptance: self.target_acceptance,
            bounds: self.bounds.as_ref(),
            scales: self.scales.as_ref(),
        };
        trajectories.record(recording, inputs)
    }
}
