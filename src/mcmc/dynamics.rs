//! The dynamics a sampler may use.

use serde::{Deserialize, Serialize};

use super::chain_inputs::{ChainInputs, ChainOutputs};
use super::{DerivativeFreeOptimizer, Hamiltonian, Langevin, Mala};
use crate::Result;
use crate::gpu::Recording;
use crate::math::{Bounds, Scales};

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
    /// Derivative-free optimization.
    DerivativeFreeOptimizer(DerivativeFreeOptimizer),
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
            Self::DerivativeFreeOptimizer(dfo) => dfo.steps,
        }
    }

    /// Steps before those that learn the step size.
    pub fn warmup(&self) -> usize {
        match self {
            Self::Mala(mala) => mala.warmup,
            Self::Hamiltonian(hamiltonian) => hamiltonian.warmup,
            Self::Langevin(_) | Self::DerivativeFreeOptimizer(_) => 0,
        }
    }

    /// Records the chains, starting from and ending in `inputs.y`.
    ///
    /// # Errors
    /// As the `record` of the dynamics.
    pub fn record(&self, recording: &mut Recording, inputs: &ChainInputs<'_>) -> Result<ChainOutputs> {
        match self {
            Self::Langevin(langevin) => langevin.record_walk(recording, inputs),
            Self::Mala(mala) => mala.record(recording, inputs),
            Self::Hamiltonian(hamiltonian) => hamiltonian.record(recording, inputs),
            Self::DerivativeFreeOptimizer(dfo) => dfo.record(recording, inputs),
        }
    }

    /// The first scheduled step size that a warm-up learns a factor for.
    pub(super) fn first_size(&self) -> Option<f64> {
        match self {
            Self::Mala(mala) => Some(mala.step_sizes.at(0, mala.steps)),
            Self::Hamiltonian(hamiltonian) => Some(hamiltonian.step_sizes.at(0, hamiltonian.steps)),
            Self::Langevin(_) | Self::DerivativeFreeOptimizer(_) => None,
        }
    }

    /// The temperature of the last step, which a choice by energy is made at.
    pub(super) fn last_temperature(&self) -> f64 {
        let (temperatures, steps) = match self {
            Self::Langevin(langevin) => (langevin.temperatures, langevin.steps),
            Self::Mala(mala) => (mala.temperatures, mala.steps),
            Self::Hamiltonian(hamiltonian) => (hamiltonian.temperatures, hamiltonian.steps),
            Self::DerivativeFreeOptimizer(_) => return 1.0,
        };
        temperatures.at(steps.saturating_sub(1), steps)
    }

    /// The box that chains stay in.
    pub fn bounds(&self) -> Option<&Bounds> {
        match self {
            Self::Langevin(langevin) => langevin.bounds.as_ref(),
            Self::Mala(mala) => mala.bounds.as_ref(),
            Self::Hamiltonian(hamiltonian) => hamiltonian.bounds.as_ref(),
            Self::DerivativeFreeOptimizer(dfo) => Some(&dfo.bounds),
        }
    }

    /// The scale of each dimension that its steps are measured in, if there are any. The
    /// derivative-free optimizer measures its noise in the sides of its box.
    pub fn scales(&self) -> Option<&Scales> {
        match self {
            Self::Langevin(langevin) => langevin.scales.as_ref(),
            Self::Mala(mala) => mala.scales.as_ref(),
            Self::Hamiltonian(hamiltonian) => hamiltonian.scales.as_ref(),
            Self::DerivativeFreeOptimizer(_) => None,
        }
    }

    /// The same dynamics in another box.
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        match &mut self {
            Self::Langevin(langevin) => langevin.bounds = Some(bounds),
            Self::Mala(mala) => mala.bounds = Some(bounds),
            Self::Hamiltonian(hamiltonian) => hamiltonian.bounds = Some(bounds),
            Self::DerivativeFreeOptimizer(dfo) => dfo.bounds = bounds,
        }
        self
    }

    /// The stream its random numbers come from in a sampler.
    pub(crate) fn stream(&self) -> &'static str {
        match self {
            Self::Langevin(_) => "sample/langevin",
            Self::Mala(_) | Self::Hamiltonian(_) | Self::DerivativeFreeOptimizer(_) => "sample/chain",
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

impl From<DerivativeFreeOptimizer> for Dynamics {
    fn from(dfo: DerivativeFreeOptimizer) -> Self {
        Self::DerivativeFreeOptimizer(dfo)
    }
}
