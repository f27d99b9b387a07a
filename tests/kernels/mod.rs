//! Test bodies of all kernels, for `tests/kernels.rs` and the `doctor` example. A file registers its bodies with
//! `every_adapter!`; `#[test]` does nothing here.

use crate::common::suite::Suite;

mod chains;
mod energies;
mod energy;
mod fused;
mod gpu;
mod inputs;
mod layers;
mod network;
mod nn;
mod proposal;
mod rows;
mod sampler;
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
        fused::suite(),
        gpu::suite(),
        proposal::suite(),
        sampler::suite(),
        layers::suite(),
        chains::suite(),
        rows::suite(),
        train::suite(),
    ]
}
