//! Floor 7: data sets, the training loop of every objective, metrics, checkpoints.

pub(crate) mod alias;
pub(crate) mod checkpoint;
pub(crate) mod dataset;
pub mod draw_batch;
pub(crate) mod energy_options;
pub(crate) mod intermediate_energy;
pub(crate) mod noised;
pub(crate) mod objective;
pub(crate) mod options;
pub(crate) mod progress;
pub(crate) mod ranking_nce;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod stop;
pub(crate) mod trainer;

pub use alias::AliasEntry;
pub use checkpoint::RunDescription;
pub use dataset::{CsvColumns, DataDescription, Dataset, Rows64};
pub use energy_options::{EnergyOptions, NetworkShape};
pub use intermediate_energy::IntermediateEnergyOptions;
pub use options::{Objective, TrainOptions};
pub use ranking_nce::{ProposalOptions, RankingNceOptions};
pub use record::StepRecord;
pub use run::Draw;
pub use score::ScoreOptions;
pub use stop::StopFlag;
pub use trainer::{Observer, Trainer};

use crate::gpu::{KernelVariant, StructLayout};

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    vec![alias::AliasEntry::layout()]
}

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let all = draw_batch::Choice::all_defines();
    all.iter().map(|defines| KernelVariant::new(&draw_batch::KERNEL, defines)).collect()
}
