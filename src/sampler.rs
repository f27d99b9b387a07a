//! Floor 4: Markov chains on energies.

pub mod adapt_step;
mod anneal;
pub mod begin_chains;
mod chains;
pub mod clip_chains;
pub mod cumulate;
mod dfo;
pub mod diagnostics;
mod dynamics;
mod hamiltonian;
pub mod keep_sample;
pub mod langevin;
pub mod launch;
pub mod leapfrog;
mod mala;
pub mod metropolis;
pub mod resample;
pub mod select_chain;
mod trajectories;
mod walk;

pub use anneal::Anneal;
pub use chains::{ChainOptions, ChainSampler, Return};
pub use dfo::Dfo;
pub use dynamics::Dynamics;
pub use hamiltonian::Hamiltonian;
pub use langevin::Langevin;
pub use mala::Mala;
pub use select_chain::Best;
pub use walk::{Trace, Walk, Walked};

use crate::gpu::KernelVariant;
use launch::SizeOf;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let plain = [
        adapt_step::KERNEL,
        begin_chains::KERNEL,
        clip_chains::KERNEL,
        cumulate::KERNEL,
        keep_sample::KERNEL,
        langevin::KERNEL,
        leapfrog::KERNEL,
        metropolis::KERNEL,
        resample::KERNEL,
        select_chain::KERNEL,
    ];
    let launches = [SizeOf::Leapfrog, SizeOf::Langevin];
    let plain = plain.iter().map(|source| KernelVariant::new(source, &[]));
    plain
        .chain(launches.iter().map(|size| KernelVariant::new(&launch::KERNEL, &size.defines())))
        .chain(langevin::fused_variants())
        .collect()
}
