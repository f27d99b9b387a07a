//! Floor 5: diffusion models: noise schedules, scores, guidance by intermediate energies, solvers.
//!
//! Time runs from 0 (data) to 1 (noise): `x_t = alpha_t x_0 + sigma_t eps`. Score networks output the noise `eps`, or the
//! sample that it follows from ([`Prediction`]); energies are
//! low where samples are wanted, so guidance is `eps_p = eps_q + s sigma_t grad E_t` (arXiv 2304.12824 in this sign).

pub mod combine;
pub mod denoising_loss;
mod energy_score;
mod evaluate;
mod finite_energy;
pub mod flow_density;
pub mod flow_probe;
pub mod flow_stage;
pub mod flow_trace;
mod guidance;
mod intermediate_energy;
mod likelihood;
mod mixture_score;
mod noise_schedule;
pub mod perturb;
mod sampler;
mod score;
mod solver;
pub mod solver_step;
mod time_grid;

pub use energy_score::EnergyScore;
pub use evaluate::{EnergyAtLevel, evaluate_guided, evaluate_noise};
pub use finite_energy::{FiniteEnergy, FiniteScore};
pub use flow_probe::Probe;
pub use guidance::{Guidance, GuidedNoise};
pub use intermediate_energy::{GuidanceNetwork, IntermediateEnergy};
pub use likelihood::{FlowMethod, Likelihood, LikelihoodOptions, Trace};
pub use mixture_score::MixtureScore;
pub use noise_schedule::{NoiseLevel, NoiseSchedule};
pub use sampler::{DiffusionSampler, SamplingOptions, Solution};
pub use score::{Cotangents, Prediction, Score, ScoreNetwork};
pub use solver::{Solver, SolverOptions, SolverStep};
pub use time_grid::TimeGrid;

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let plain = [
        combine::KERNEL,
        denoising_loss::KERNEL,
        flow_density::KERNEL,
        flow_stage::KERNEL,
        flow_trace::KERNEL,
    ];
    let mut all: Vec<_> = plain.iter().map(|kernel| KernelVariant::new(kernel, &[])).collect();
    all.extend((0..3).map(|keep| KernelVariant::new(&perturb::KERNEL, &[("KEEP", keep)])));
    for on in 0..2 {
        for fresh in 0..2 {
            all.push(KernelVariant::new(&solver_step::KERNEL, &[("GUIDED", on), ("FRESH", fresh)]));
        }
    }
    all.extend(finite_energy::variants());
    all.extend(flow_probe::variants());
    all.extend(mixture_score::variants());
    all
}
