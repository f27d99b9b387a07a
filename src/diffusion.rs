//! Floor 6: diffusion models: noise schedules, scores, guidance by intermediate energies, solvers.
//!
//! Time runs from 0 (data) to 1 (noise): `x_t = alpha_t x_0 + sigma_t eps`. Score networks output
//! the noise `eps`, or the sample that it follows from ([`Prediction`]); energies are low where
//! samples are wanted, so guidance is `eps_p = eps_q + s sigma_t grad E_t` (arXiv 2304.12824 in
//! this sign).

pub mod add_noise;
pub mod combine;
pub(crate) mod denoising;
pub(crate) mod empirical_energy;
pub(crate) mod energy_score;
pub(crate) mod evaluate_noise;
pub(crate) mod guidance;
pub(crate) mod intermediate_energy;
pub(crate) mod likelihood;
pub(crate) mod mixture_score;
pub(crate) mod noise_schedule;
pub(crate) mod sampler;
pub(crate) mod score;
pub(crate) mod solver;
pub mod solver_step;
pub(crate) mod time_grid;

pub use denoising::record_denoising_gradient;
pub use empirical_energy::{EmpiricalEnergy, EmpiricalScore};
pub use energy_score::EnergyScore;
pub use evaluate_noise::{EnergyAtLevel, evaluate_guided, evaluate_noise};
pub use guidance::{Guidance, GuidedNoise};
pub use intermediate_energy::{IntermediateEnergy, IntermediateEnergyNetwork};
pub use likelihood::{Divergence, FlowMethod, Likelihood, LikelihoodOptions};
pub use mixture_score::MixtureScore;
pub use noise_schedule::{NoiseLevel, NoiseSchedule};
pub use sampler::{DiffusionSampler, SamplingLoop, SamplingOptions};
pub use score::{Cotangents, Prediction, Score, ScoreNetwork};
pub use solver::{LastSteps, Solver, SolverOptions, SolverStep};
pub use time_grid::TimeGrid;

use crate::gpu::{KernelVariant, StructLayout};

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    vec![add_noise::LevelRow::layout()]
}

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = vec![KernelVariant::new(&combine::KERNEL, &[])];
    all.extend((0..3).map(|keep| KernelVariant::new(&add_noise::KERNEL, &[("KEEP", keep)])));
    for on in 0..2 {
        for fresh in 0..2 {
            all.push(KernelVariant::new(&solver_step::KERNEL, &[("GUIDED", on), ("FRESH", fresh)]));
        }
    }
    all.extend(empirical_energy::variants());
    all.extend(mixture_score::variants());
    all
}
