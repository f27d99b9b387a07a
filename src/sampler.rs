//! Floor 4: Markov chains on energies.

mod chains;
pub mod langevin;
pub mod select_chain;

pub use chains::{ChainOptions, ChainSampler, Return};
pub use langevin::{Langevin, StepSizes};
pub use select_chain::Best;

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![KernelVariant::new(&langevin::KERNEL, &[]), KernelVariant::new(&select_chain::KERNEL, &[])]
}
