//! Floor 4: objectives for energy networks.

pub mod contrastive;
pub mod energy_regression;
mod guidance;
mod labelled;
mod objective;
pub mod ranking_nce;
pub mod ranking_network;
mod timed_groups;

pub use contrastive::{ContrastiveLoss, Labels};
pub use energy_regression::{Regression, RegressionLoss};
pub use guidance::{GuidanceGradient, GuidanceObjective, record_guidance_gradient};
pub use labelled::Labelled;
pub use objective::{ContrastiveStep, record_contrastive, record_ranked_gradient};
pub use ranking_nce::{Objective, RankingLoss};
pub use ranking_network::RankedGradient;
pub use timed_groups::TimedGroups;

use crate::gpu::KernelVariant;

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = ranking_network::variants();
    for correction in 0..2 {
        all.push(KernelVariant::new(&ranking_nce::KERNEL, &[("CORRECTION", correction)]));
    }
    all.extend(contrastive::variants());
    all.extend(energy_regression::variants());
    all
}
