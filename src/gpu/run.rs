//! Running plans: chunks of submits, readback, metrics, and the numbers that change from step to
//! step.

pub mod advance;
pub mod copy_rows;
pub mod finish_step;
pub mod metrics;
pub(crate) mod points;
pub mod random;
pub mod random_words;
pub(crate) mod readback;
pub(crate) mod throttle;

pub use advance::RunState;
pub use finish_step::{Column, StepReport};
pub use metrics::{MetricsRing, MetricsRow};
pub use points::Points;
pub use readback::Readback;

use super::record::KernelVariant;

/// The kernels of this room.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![
        KernelVariant::new(&advance::KERNEL, &[]),
        KernelVariant::new(&copy_rows::KERNEL, &[]),
        KernelVariant::new(&finish_step::KERNEL, &[]),
        KernelVariant::new(&metrics::KERNEL, &[]),
        KernelVariant::new(&random::KERNEL, &[("NORMAL", 0)]),
        KernelVariant::new(&random::KERNEL, &[("NORMAL", 1)]),
        KernelVariant::new(&random_words::KERNEL, &[]),
    ]
}
