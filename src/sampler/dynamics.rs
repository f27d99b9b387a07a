//! The dynamics a sampler may use.

use serde::{Deserialize, Serialize};

use super::walk::{Walk, Walked};
use super::{Dfo, Hamiltonian, Langevin, Mala};
use crate::Result;
use crate::gpu::Recording;

/// How chains move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Dynamics {
    /// Unadjusted Langevin dynamics.
    Langevin(Langevin),
    /// The Metropolis-adjusted Langevin algorithm.
    Mala(Mala),
    /// Hamiltonian Monte Carlo.
    Hamiltonian(Hamiltonian),
    /// Derivative-free optimisation.
    Dfo(Dfo),
}

impl Default for Dynamics {
    fn default() -> Self {
        Self::Langevin(Langevin::default())
    }
}

impl Dynamics {
    /// Steps after the warm-up.
    pub fn steps(&self) -> usize {
        match self {
            Self::Langevin(langevin) => langevin.steps,
            Self::Mala(mala) => mala.steps,
            Self::Hamiltonian(hamiltonian) => hamiltonian.steps,
            Self::Dfo(dfo) => dfo.iterations,
        }
    }

    /// Records the chains, starting from and ending in `walk.y`.
    ///
    /// # Errors
    /// As the `record` of the dynamics.
    pub fn record(&self, recording: &mut Recording, walk: &Walk<'_>) -> Result<Walked> {
        match self {
            Self::Langevin(langevin) => langevin.record_walk(recording, walk),
            Self::Mala(mala) => mala.record(recording, walk),
            Self::Hamiltonian(hamiltonian) => hamiltonian.record(recording, walk),
            Self::Dfo(dfo) => dfo.record(recording, walk),
        }
    }

    /// The first scheduled step size that a warm-up learns a factor for.
    pub(super) fn first_size(&self) -> Option<f64> {
        match self {
            Self::Mala(mala) => Some(mala.sizes.at(0, mala.steps)),
            Self::Hamiltonian(hamiltonian) => Some(hamiltonian.sizes.at(0, hamiltonian.steps)),
            Self::Langevin(_) | Self::Dfo(_) => None,
        }
    }

    /// The stream its random numbers come from in a sampler.
    pub(super) fn stream(&self) -> &'static str {
        match self {
            Self::Langevin(_) => "sample/langevin",
            Self::Mala(_) | Self::Hamiltonian(_) | Self::Dfo(_) => "sample/chain",
        }
    }
}

impl From<Langevin> for Dynamics {
    fn from(langevin: Langevin) -> Self {
        Self::Langevin(langevin)
    }
}

impl From<Mala> for Dynamics {
    fn from(mala: Mala) -> Self {
        Self::Mala(mala)
    }
}

impl From<Hamiltonian> for Dynamics {
    fn from(hamiltonian: Hamiltonian) -> Self {
        Self::Hamiltonian(hamiltonian)
    }
}

impl From<Dfo> for Dynamics {
    fn from(dfo: Dfo) -> Self {
        Self::Dfo(dfo)
    }
}
