//! The Metropolis-adjusted Langevin algorithm.

use serde::{Deserialize, Serialize};

use super::Anneal;
use super::launch::SizeOf;
use super::trajectories::Trajectories;
use super::walk::{Walk, Walked};
use crate::Result;
use crate::gpu::Recording;
use crate::proposal::UniformBox;

/// Langevin steps that are accepted or rejected, so that `exp(-E / T)` is sampled without the bias of the step size.
///
/// ```text
/// y' = y - eta g(y) + sqrt(2 eta T) n
/// T log a = E(y) - E(y') + (|y' - y + eta g(y)|^2 - |y - y' + eta g(y')|^2) / (4 eta)
/// ```
///
/// (Roberts & Tweedie 1996.) It is computed as Hamiltonian Monte Carlo with one leapfrog step of `eps = sqrt(2 eta)`, which
/// makes the same proposal and the same decision. A draft outside the box, or with an energy or gradient that is not finite, is
/// rejected; starts are clipped to the box. A start without a finite energy and gradient never moves and comes back as not
/// finite. Energies beyond 1e30 and slopes or momenta beyond 1e15 count as not finite in a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mala {
    /// Steps of each chain after the warm-up; 65535 at most with it.
    pub steps: usize,
    /// Step sizes `eta`, in squared data units.
    pub sizes: Anneal,
    /// Temperatures `T`.
    pub temperatures: Anneal,
    /// Steps before those, at the first size and temperature, that learn one factor on all sizes.
    pub warm_up: usize,
    /// Mean acceptance probability that the factor is learned for.
    pub target: f64,
    /// The density is that on this box.
    pub bounds: Option<UniformBox>,
}

impl Default for Mala {
    /// 500 steps after a warm-up of 200 to an acceptance of 0.574, the best in many dimensions (Roberts & Rosenthal 1998).
    fn default() -> Self {
        Self {
            steps: 500,
            sizes: Anneal::Constant { value: 0.1 },
            temperatures: Anneal::Constant { value: 1.0 },
            warm_up: 200,
            target: 0.574,
            bounds: None,
        }
    }
}

impl Mala {
    /// Records the chains, starting from and ending in `walk.y`.
    ///
    /// * streams `<stream>/momentum` and `<stream>/accept`.
    /// * per step: the energy's value and gradient and two dispatches, three in the warm-up.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for no steps, bad sizes, temperatures or targets, [`crate::Error::Shape`] if dimensions
    /// disagree.
    pub fn record(&self, recording: &mut Recording, walk: &Walk<'_>) -> Result<Walked> {
        let trajectories = Trajectories {
            operation: "mala",
            steps: self.steps,
            leapfrogs: 1,
            sizes: self.sizes,
            size_of: SizeOf::Langevin,
            temperatures: self.temperatures,
            warm_up: self.warm_up,
            target: self.target,
            bounds: self.bounds.as_ref(),
        };
        trajectories.record(recording, walk)
    }
}
