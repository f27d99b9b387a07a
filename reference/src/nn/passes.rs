//! References of `shaders/nn/passes/`: layers, encodings, whole networks.

pub mod activate_rows;
pub mod add_residual;
pub mod fourier_features;
pub mod fourier_gradient;
pub mod layer_norm;
pub mod layer_norm_gradient;
pub mod layer_norm_weight_gradient;
pub mod network_fused;
pub mod pack_inputs;
pub mod reduce_partials;
pub mod sum_candidates;
pub mod transpose_weights;
pub mod unpack_gradient;

pub use activate_rows::activate_rows;
pub use add_residual::add_residual;
pub use fourier_features::fourier_features;
pub use fourier_gradient::fourier_gradient;
pub use layer_norm::layer_norm;
pub use layer_norm_gradient::layer_norm_gradient;
pub use layer_norm_weight_gradient::layer_norm_weight_gradient;
pub use network_fused::{Fused, FusedLayer, network_fused};
pub use pack_inputs::pack_inputs;
pub use reduce_partials::reduce_partials;
pub use sum_candidates::sum_candidates;
pub use transpose_weights::transpose_weights;
pub use unpack_gradient::unpack_gradient;
