//! Floor 4: Markov chains on energies.

pub mod adapt_step;
pub mod begin_chains;
pub mod begin_leapfrog;
pub(crate) mod chain_inputs;
pub(crate) mod chains;
pub mod count_lost;
pub mod cumulative_weights;
pub(crate) mod derivative_free;
pub mod diagnostics;
pub(crate) mod dynamics;
pub(crate) mod findings;
pub(crate) mod hamiltonian;
pub mod keep_sample;
pub mod langevin;
pub mod leapfrog;
pub(crate) mod mala;
pub mod mark_lost;
pub mod metropolis;
pub mod resample;
pub(crate) mod rounding;
pub mod select_chain;
pub mod settle_move;
pub(crate) mod step_schedule;
pub(crate) mod trajectories;
pub mod usable_energy;

pub use chain_inputs::{ChainInputs, ChainOutputs, SampleTrace};
pub(crate) use chains::USUAL_CHAINS;
pub use chains::{ChainOptions, ChainSampler, Return};
pub use derivative_free::DerivativeFreeOptimizer;
pub use dynamics::Dynamics;
pub use findings::SamplerStats;
pub use hamiltonian::Hamiltonian;
pub use langevin::Langevin;
pub use mala::Mala;
pub use rounding::RoundedDecisions;
pub use select_chain::Best;
pub use step_schedule::StepSchedule;

use crate::gpu::{KernelVariant, SharedConstant, StructLayout};
use begin_leapfrog::SizeOf;

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    let mut all = begin_chains::shared_structs();
    all.push(langevin::LangevinStep::layout());
    all.extend(settle_move::shared_structs());
    all
}

/// The constants that kernels of this room share with the host.
pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    let mut all = begin_chains::shared_constants();
    all.extend(settle_move::shared_constants());
    all
}

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let plain = [
        adapt_step::KERNEL,
        begin_chains::KERNEL,
        count_lost::KERNEL,
        cumulative_weights::KERNEL,
        keep_sample::KERNEL,
        langevin::KERNEL,
        leapfrog::KERNEL,
        mark_lost::KERNEL,
        metropolis::KERNEL,
        resample::KERNEL,
        select_chain::KERNEL,
        settle_move::KERNEL,
        usable_energy::KERNEL,
    ];
    let launches = [SizeOf::Leapfrog, SizeOf::Langevin];
    let plain = plain.iter().map(|source| KernelVariant::new(source, &[]));
    plain
        .chain(launches.iter().map(|size| KernelVariant::new(&begin_leapfrog::KERNEL, &size.defines())))
        .chain(langevin::fused_variants())
        .collect()
}
