//! Test bodies of all kernels, for `tests/kernels.rs` and the `doctor` example. A file registers
//! its bodies with `every_adapter!`; `#[test]` does nothing here.

use crate::common::suite::Suite;

mod chain_memory;
mod chains;
mod contrastive;
mod dense;
mod diffusion;
mod encoding;
mod energies;
mod energy;
mod finite;
mod fused;
mod gpu;
mod guidance;
mod inputs;
mod layers;
mod network;
mod optimizer;
mod plain_rows;
mod policy;
mod proposal;
mod regression;
mod resampling;
mod rows;
mod sampler;
mod solvers;
mod sums;
mod train;
mod units;
mod whole_chains;

/// Spacing of f32 at 1.
pub const EPS: f64 = f32::EPSILON as f64;

/// Odd row counts and widths round multiples of vec4, workgroup and block sizes.
pub const SHAPES: [(usize, usize); 9] =
    [(1, 1), (1, 257), (7, 7), (63, 1), (64, 64), (65, 63), (257, 65), (257, 2), (1025, 7)];

/// One per file.
pub fn suites() -> Vec<Suite> {
    vec![
        encoding::suite(),
        dense::suite(),
        sums::suite(),
        optimizer::suite(),
        network::suite(),
        inputs::suite(),
        energies::suite(),
        energy::suite(),
        finite::suite(),
        contrastive::suite(),
        regression::suite(),
        guidance::suite(),
        fused::suite(),
        gpu::suite(),
        plain_rows::suite(),
        proposal::suite(),
        sampler::suite(),
        layers::suite(),
        chains::suite(),
        chain_memory::suite(),
        resampling::suite(),
        whole_chains::suite(),
        diffusion::suite(),
        rows::suite(),
        solvers::suite(),
        train::suite(),
        policy::suite(),
        units::suite(),
    ]
}
