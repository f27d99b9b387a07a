//! Floor 3: data and formulas that several rooms share: boxes, units, Gaussian mixtures, sums of
//! exponentials, normalizers and offsets.

pub(crate) mod bounds;
pub mod change_units;
pub mod clip_chains;
pub(crate) mod draw;
pub(crate) mod gaussian_mixture;
pub(crate) mod log_space;
pub(crate) mod normalize;
pub(crate) mod offsets;
pub(crate) mod scales;

pub use bounds::Bounds;
pub(crate) use draw::{normal_pair, pick, uniform};
pub use gaussian_mixture::{GaussianMixture, Spread};
pub(crate) use gaussian_mixture::{log_diagonal, whitening};
pub use log_space::{HALF_LOG_TAU, log_sum_exp};
pub use normalize::Normalize;
pub use offsets::Offsets;
pub use scales::Scales;

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    [&change_units::KERNEL, &clip_chains::KERNEL].map(|kernel| KernelVariant::new(kernel, &[])).into()
}
