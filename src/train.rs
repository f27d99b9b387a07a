//! Floor 7: data sets, training loops, metrics, checkpoints.

mod alias;
mod checkpoint;
mod dataset;
mod diffusion_checkpoint;
mod diffusion_options;
mod diffusion_trainer;
pub mod draw_batch;
mod energy_options;
mod options;
mod progress;
mod stored;
mod trainer;

pub use dataset::{CsvColumns, Dataset, Normalise};
pub use diffusion_options::{DiffusionObjective, DiffusionOptions};
pub use diffusion_trainer::{DiffusionRecord, DiffusionTrainer};
pub use energy_options::{EnergyOptions, NetworkShape};
pub use options::{Draw, ProposalOptions, RnceOptions};
pub use trainer::{Observer, RnceTrainer, StepRecord};

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let all = draw_batch::Choice::all_defines();
    all.iter().map(|defines| KernelVariant::new(&draw_batch::KERNEL, defines)).collect()
}
