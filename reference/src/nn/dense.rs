//! References of `shaders/nn/dense/`: the three products of dense layers.

pub mod dense_forward;
pub mod dense_input_gradient;
pub mod dense_weight_gradient;

pub use dense_forward::dense_forward;
pub use dense_input_gradient::dense_input_gradient;
pub use dense_weight_gradient::dense_weight_gradient;
