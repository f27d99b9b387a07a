//! Test bodies of all kernels, for `tests/kernels.rs` and the `doctor` example. A file registers its bodies with
//! `every_adapter!`; `#[test]` does nothing here.

use crate::common::suite::Suite;

mod chains;
mod contrastive;
mod diffusion;
mod energies;
mod energy;
mod fused;
mod gpu;
mod guidance;
mod inputs;
mod layers;
mod network;
mod nn;
mod proposal;
mod regression;
mod rows;
mod sampler;
mod solvers;
mod train;

/// Spacing of f32 at 1.
pub const EPS: f64 = f32::EPSILON as f64;

/// One per file.
pub fn suites() -> Vec<Suite> {
    vec![
        nn::suite(),
        network::suite(),
        inputs::suite(),
        energies::suite(),
        energy::suite(),
        contrastive::suite(),
        regression::suite(),
        guidance::suite(),
        fused::suite(),
        gpu::suite(),
        proposal::suite(),
        sampler::suite(),
        layers::suite(),
        chains::suite(),
        diffusion::suite(),
        rows::suite(),
        solvers::suite(),
        train::suite(),
    ]
}
