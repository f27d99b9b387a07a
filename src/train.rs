//! Floor 7: data sets, training loops, metrics, checkpoints.

mod checkpoint;
mod dataset;
pub mod draw_batch;
mod options;
mod trainer;

pub use dataset::{Dataset, Normalise};
pub use options::{EnergyOptions, ProposalOptions, RnceOptions};
pub use trainer::{Observer, RnceTrainer, StepRecord};

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![KernelVariant::new(&draw_batch::KERNEL, &[])]
}
