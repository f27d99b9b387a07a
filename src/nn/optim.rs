//! Optimizers: schedules, the norm of the gradient, Adam, averaged weights.

pub mod adam;
pub(crate) mod optimizer;
pub mod prepare_step;
pub(crate) mod schedule;

pub use optimizer::{AdamOptions, Optimizer};
pub use prepare_step::{FlatGradient, OptimizerStep, ScheduleRow, WatchedLoss};
pub use schedule::Schedule;

use crate::gpu::KernelVariant;

/// The kernels of this room.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = vec![KernelVariant::new(&adam::KERNEL, &[])];
    all.extend((0..2).map(|reduce| KernelVariant::new(&prepare_step::KERNEL, &[("REDUCE", reduce)])));
    all
}
