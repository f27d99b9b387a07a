//! Floor 5: what models learn from: ranking NCE, contrastive energy prediction, regressions,
//! denoising.

pub mod contrastive_energy_prediction;
pub mod denoising_loss;
pub mod energy_regression;
pub(crate) mod energy_targets;
pub(crate) mod intermediate_energy_loss;
pub mod ranking_nce;
pub(crate) mod ranking_nce_step;
pub mod ranking_network;
pub(crate) mod timed_groups;

pub use contrastive_energy_prediction::{ContrastiveLoss, Labels};
pub use energy_regression::{Regression, RegressionLoss};
pub use energy_targets::EnergyTargets;
pub use intermediate_energy_loss::{
    IntermediateEnergyGradient, IntermediateEnergyLoss, record_intermediate_energy_gradient,
};
pub use ranking_nce::{RankingLoss, RankingObjective};
pub use ranking_nce_step::{RankingNceStep, record_ranking_nce, record_ranking_nce_fused};
pub use ranking_network::RankingNceGradient;
pub use timed_groups::TimedGroups;

use crate::gpu::{KernelVariant, SharedConstant, StructLayout};

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    ranking_network::shared_structs()
}

/// The constants that kernels of this room share with the host.
pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    ranking_network::shared_constants()
}

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = ranking_network::variants();
    all.push(KernelVariant::new(&denoising_loss::KERNEL, &[]));
    for correction in 0..2 {
        all.push(KernelVariant::new(&ranking_nce::KERNEL, &[("CORRECTION", correction)]));
    }
    all.extend(contrastive_energy_prediction::variants());
    all.extend(energy_regression::variants());
    all
}
