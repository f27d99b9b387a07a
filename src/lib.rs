//! Train and sample energy-based models on any GPU, with WGSL compute shaders on wgpu.
//!
//! * Energy models `p(y | x) ∝ exp(-E(x, y))`, trained by ranking noise contrastive estimation with
//!   a learned negative sampler and sampled by Langevin dynamics (arXiv 2309.05803).
//! * Energy-guided diffusion `p(x) ∝ q(x) exp(-beta E(x))`: scores by noise prediction,
//!   intermediate energies by contrastive energy prediction, fast solvers, whole guided passes in
//!   one plan (arXiv 2304.12824).
//! * One sign convention: energy is LOW where data is likely.
//! * One idea: record once, replay many. A training step, a Langevin chain or a guided sampling
//!   pass is a [`gpu::Plan`], a list of dispatches prepared beforehand; everything that changes
//!   between steps is computed on the device.
//!
//! `docs/architecture.md` explains the floors of the crate; each module uses only those below it.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod diffusion;
pub mod energy;
mod error;
pub mod gpu;
pub mod loss;
pub mod math;
pub mod mcmc;
pub mod nn;
pub mod ode;
pub mod policy;
pub mod proposal;
pub mod store;
pub mod tasks;
pub mod testing;
pub mod train;

pub use error::{Error, Result};
pub use gpu::{Gpu, GpuOptions};
pub use wgpu;

/// Every kernel of the crate in every variant that is used, for tests and tools that need no
/// device.
pub fn kernels() -> Vec<gpu::KernelVariant> {
    [
        gpu::kernels(),
        nn::kernels(),
        math::kernels(),
        ode::kernels(),
        energy::kernels(),
        proposal::kernels(),
        loss::kernels(),
        mcmc::kernels(),
        diffusion::kernels(),
        train::kernels(),
        policy::kernels(),
    ]
    .concat()
}

/// Every struct that kernels and host share, as the host has it, for tests that need no device.
pub fn shared_structs() -> Vec<gpu::StructLayout> {
    let mut all = gpu::shared_structs();
    all.extend(nn::shared_structs());
    all.extend(loss::shared_structs());
    all.extend(mcmc::shared_structs());
    all.extend(diffusion::shared_structs());
    all.extend(train::shared_structs());
    all.extend(policy::shared_structs());
    all
}

/// Every constant that kernels and host share, as the host has it.
pub fn shared_constants() -> Vec<gpu::SharedConstant> {
    let mut all = gpu::shared_constants();
    all.extend(nn::shared_constants());
    all.extend(proposal::shared_constants());
    all.extend(loss::shared_constants());
    all.extend(mcmc::shared_constants());
    all
}

/// What can run of each kernel on a device: its variants for that class of devices and the optional
/// paths that are on.
pub fn kernels_for(capabilities: &gpu::Capabilities) -> Vec<gpu::KernelChoice> {
    gpu::choices(kernels(), capabilities)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
