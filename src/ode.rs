//! Floor 3: integrators of ordinary differential equations with their divergence.

pub mod flow_density;
pub mod flow_divergence;
pub mod flow_probe;
pub mod flow_stage;

pub use flow_probe::Probe;

use crate::gpu::KernelVariant;

/// The kernels of this floor.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let plain = [flow_density::KERNEL, flow_divergence::KERNEL, flow_stage::KERNEL];
    let mut all: Vec<_> = plain.iter().map(|kernel| KernelVariant::new(kernel, &[])).collect();
    all.extend(flow_probe::variants());
    all
}
