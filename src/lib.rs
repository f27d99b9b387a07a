//! Train and sample energy-based models on any GPU, with WGSL compute shaders on wgpu.
//!
//! * Energy models `p(y | x) ∝ exp(-E(x, y))`, trained by ranking noise contrastive estimation with a learned
//!   negative sampler and sampled by Langevin dynamics (arXiv 2309.05803).
//! * Energy-guided diffusion `p(x) ∝ q(x) exp(-beta E(x))`: scores by noise prediction, intermediate energies by contrastive
//!   energy prediction, fast solvers, whole guided passes in one plan (arXiv 2304.12824).
//! * One sign convention: energy is LOW where data is likely.
//! * One idea: record once, replay many. A training step, a Langevin chain or a guided sampling pass is a [`gpu::Plan`], a list of dispatches
//!   prepared beforehand; everything that changes between steps is computed on the device.
//!
//! `docs/architecture.md` explains the floors of the crate; each module uses only those below it.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod diffusion;
pub mod energy;
mod error;
pub mod gpu;
pub mod nn;
pub mod proposal;
pub mod sampler;
pub mod tasks;
pub mod testing;
pub mod train;

pub use error::{Error, Result};
pub use gpu::{Gpu, GpuOptions};
pub use wgpu;

/// Every kernel of the crate in every variant that is used, for tests and tools that need no device.
pub fn kernels() -> Vec<gpu::KernelVariant> {
    let mut all = gpu::kernels();
    all.extend(nn::kernels());
    all.extend(proposal::kernels());
    all.extend(energy::kernels());
    all.extend(sampler::kernels());
    all.extend(diffusion::kernels());
    all.extend(train::kernels());
    all
}

/// What can run of each kernel on a device: its variants for that class of devices and the optional paths that are on.
pub fn kernels_for(capabilities: &gpu::Capabilities) -> Vec<gpu::KernelChoice> {
    gpu::choices(kernels(), capabilities)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
