//! Floor 5: diffusion models: noise schedules, scores, guidance by intermediate energies, solvers.
//!
//! Time runs from 0 (data) to 1 (noise): `x_t = alpha_t x_0 + sigma_t eps`. Score networks output the noise `eps`; energies are
//! low where samples are wanted, so guidance is `eps_p = eps_q + s sigma_t grad E_t` (arXiv 2304.12824 in this sign).

pub mod combine;
mod energy_score;
mod finite_energy;
mod intermediate_energy;
mod mixture_score;
mod noise_schedule;
mod score;

pub use energy_score::EnergyScore;
pub use finite_energy::{FiniteEnergy, FiniteScore};
pub use intermediate_energy::{GuidanceNetwork, IntermediateEnergy};
pub use mixture_score::MixtureScore;
pub use noise_schedule::{NoiseLevel, NoiseSchedule};
pub use score::{Cotangents, Score, ScoreNetwork};

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = vec![KernelVariant::new(&combine::KERNEL, &[])];
    all.extend(finite_energy::variants());
    all.extend(mixture_score::variants());
    all
}
