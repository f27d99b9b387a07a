//! Floor 4: objectives for energy networks.

mod objective;
pub mod ranking_nce;
pub mod ranking_network;

pub use objective::{ContrastiveStep, record_contrastive, record_ranked_gradient};
pub use ranking_nce::{Objective, RankingLoss};
pub use ranking_network::RankedGradient;

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = ranking_network::variants();
    for correction in 0..2 {
        all.push(KernelVariant::new(&ranking_nce::KERNEL, &[("CORRECTION", correction)]));
    }
    all
}
