//! Networks as data, the layout of their parameters, and models: networks with parameters on a
//! device.

pub(crate) mod description;
pub(crate) mod encoding;
pub(crate) mod fusion;
pub(crate) mod graph;
pub mod initialize;
pub(crate) mod input;
pub(crate) mod layer;
pub(crate) mod layout;
pub(crate) mod model;
pub(crate) mod normalizer;
pub mod pytorch;

pub use description::Network;
pub use encoding::{Encoding, Fourier, FourierColumns};
pub use fusion::Fusion;
pub use input::{ACTION, CONTEXT, Input, TIME};
pub use layer::{Activation, Dense, Layer, LayerNorm, Norms};
pub use layout::{Initial, ParameterLayout, ParameterSlice};
pub use model::Model;
pub use normalizer::Normalizer;

use crate::gpu::KernelVariant;

/// The kernels of this room.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![KernelVariant::new(&initialize::KERNEL, &[])]
}
