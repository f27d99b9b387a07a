//! Floor 2: networks as data, their parameters, forward and backward passes, optimizers.

pub mod dense;
pub(crate) mod mode;
pub mod network;
pub mod optim;
pub mod passes;

pub use dense::DenseOperation;
pub(crate) use mode::{Mode, Outputs, energy_by_mode};
pub use network::{
    ACTION, Activation, CONTEXT, Dense, Encoding, Fourier, FourierColumns, Fusion, Initial, Input, Layer,
    LayerNorm, Model, Network, Normalizer, Norms, ParameterLayout, ParameterSlice, TIME,
};
pub use optim::{AdamOptions, FlatGradient, Optimizer, OptimizerStep, Schedule, ScheduleRow, WatchedLoss};
pub use passes::{Forward, FusedNetwork, GradientMode, Keep};
pub(crate) use passes::{FusableLayer, FusableMlp, MAX_FUSABLE_DEPTH, PackedLayer};

use crate::gpu::{KernelVariant, SharedConstant, StructLayout};

/// Version of the table that chooses kernel variants by shape: another one may round differently.
pub const VARIANT_TABLE: u32 = 2;

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    let mut all = optim::prepare_step::shared_structs();
    all.extend([PackedLayer::layout(), passes::transpose_weights::TransposedLayer::layout()]);
    all.extend(passes::network_fused::shared_structs());
    all
}

/// The constants that kernels of this room share with the host.
pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    let mut all = optim::prepare_step::shared_constants();
    all.extend(passes::network_fused::shared_constants());
    all.extend(dense::variant::shared_constants());
    all.extend(network::layer::shared_constants());
    all.extend(passes::layer_norm_weight_gradient::shared_constants());
    all
}

/// The kernels of this floor, in every variant that the table can choose.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    [network::kernels(), passes::kernels(), dense::kernels(), optim::kernels()].concat()
}
