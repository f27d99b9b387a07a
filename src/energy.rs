//! Floor 4: objectives for energy networks.

mod objective;
pub mod ranking_nce;

pub use objective::{ContrastiveStep, record_contrastive};
pub use ranking_nce::{Objective, RankingLoss};

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![
        KernelVariant::new(&ranking_nce::KERNEL, &[("CORRECTION", 0)]),
        KernelVariant::new(&ranking_nce::KERNEL, &[("CORRECTION", 1)]),
    ]
}
