//! Hamiltonian Monte Carlo.

use serde::{Deserialize, Serialize};

use super::StepSchedule;
use super::begin_leapfrog::SizeOf;
use super::chain_inputs::{ChainInputs, ChainOutputs};
use super::trajectories::Trajectories;
use crate::Result;
use crate::gpu::Recording;
use crate::math::{Bounds, Scales};

/// Hamiltonian Monte Carlo: momenta from `N(0, T)`, `leapfrogs` steps of size `eps`, the end
/// accepted with probability `min(1, exp((H - H') / T))`, `H = E + |p|^2 / 2` (Neal 2011). Samples
/// `exp(-E / T)`. Masses are `1 / s^2` with `s` the scale of each dimension, 1 unless given, and
/// `p` is in units of `1 / s`.
///
/// A trajectory whose END is outside the box is rejected (on the way it may leave the box, where
/// the energy must be defined too), and so is one that ends with an energy or gradient that is not
/// finite; starts are clipped to the box. A start without a finite energy and gradient never moves
/// and comes back as not finite. Energies beyond 1e30 and slopes times scale or momenta beyond 1e15
/// count as not finite in a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Hamiltonian {
    /// Trajectories of each chain after the warm-up; 65535 at most with it.
    pub steps: usize,
    /// Leapfrog steps of a trajectory.
    pub leapfrogs: usize,
    /// Leapfrog step sizes `eps`, in scales, by trajectory.
    pub step_sizes: StepSchedule,
    /// Temperatures `T`, by trajectory.
    pub temperatures: StepSchedule,
    /// Trajectories before those, at the first size and temperature, that learn one factor on all
    /// step_sizes; 0 keeps them as they are, 1 is refused, 20 is few.
    pub warmup: usize,
    /// Mean acceptance probability that the factor is learned for.
    pub target_acceptance: f64,
    /// The density is that on this box.
    pub bounds: Option<Bounds>,
    /// Scale `s` of each dimension, in data units; 1 for all without.
    pub scales: Option<Scales>,
}

crate::error::setters!(Hamiltonian {
    with_steps => steps: usize,
    with_leapfrogs => leapfrogs: usize,
    with_step_sizes => step_sizes: StepSchedule,
    with_temperatures => temperatures: StepSchedule,
    with_warmup => warmup: usize,
    with_target_acceptance => target_acceptance: f64,
    with_bounds => bounds: into Option<Bounds>,
    with_scales => scales: into Option<Scales>,
});

impl Default for Hamiltonian {
    /// 200 trajectories of 10 steps after a warm-up of 200 to an acceptance of 0.8: above the 0.651
    /// that is best in many dimensions (Beskos et al. 2013), since too long a step costs more than
    /// too short a one (Hoffman & Gelman 2014).
    fn default() -> Self {
        Self {
            steps: 200,
            leapfrogs: 10,
            step_sizes: StepSchedule::Constant { value: 0.1 },
            temperatures: StepSchedule::Constant { value: 1.0 },
            warmup: 200,
            target_acceptance: 0.8,
            bounds: None,
            scales: None,
        }
    }
}

impl Hamiltonian {
    /// Records the chains, starting from and ending in `inputs.y`.
    ///
    /// * streams `<stream>/momentum` and `<stream>/accept`.
    /// * per trajectory: `leapfrogs - 1` gradients, a value with gradient and `leapfrogs + 1`
    ///   dispatches, one more in the warm-up.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for no steps, bad step_sizes, temperatures or targets,
    /// [`crate::Error::Shape`] if dimensions disagree.
    pub fn record(&self, recording: &mut Recording, inputs: &ChainInputs<'_>) -> Result<ChainOutputs> {
        let trajectories = Trajectories {
            operation: "hamiltonian",
            steps: self.steps,
            leapfrogs: self.leapfrogs,
            step_sizes: self.step_sizes,
            size_of: SizeOf::Leapfrog,
            temperatures: self.temperatures,
            warmup: self.warmup,
            target_acceptance: self.target_acceptance,
            bounds: self.bounds.as_ref(),
            scales: self.scales.as_ref(),
        };
        trajectories.record(recording, inputs)
    }
}
