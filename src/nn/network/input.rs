//! Named inputs of networks.

use serde::{Deserialize, Serialize};

use crate::nn::{Encoding, Layer, Normalizer};

/// Name of the input that a conditional network is conditioned on.
pub const CONTEXT: &str = "context";
/// Name of the input that is sampled.
pub const ACTION: &str = "action";
/// Name of the input that tells networks over noised samples how noisy they are.
pub const TIME: &str = "time";

/// A named input of a network: rows are normalized, encoded, go through layers of their own if
/// there are any, and then meet the other inputs in the network's first layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Numbers per row.
    pub width: usize,
    /// How rows are normalized.
    pub normalizer: Normalizer,
    /// How normalized rows go on.
    #[serde(default)]
    pub encoding: Encoding,
    /// What encoded rows go through before they meet the other inputs: any layers, those of a row
    /// that serves many rows once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

impl Input {
    /// An input that is taken as it is.
    pub fn new(name: &str, width: usize) -> Self {
        Self::normalized(name, Normalizer::identity(width))
    }

    /// An input with a normalizer.
    pub fn normalized(name: &str, normalizer: Normalizer) -> Self {
        let (name, width) = (name.into(), normalizer.width());
        Self { name, width, normalizer, encoding: Encoding::Raw, layers: Vec::new() }
    }

    /// The same input with another encoding, such as
    /// `Fourier::geometric(0.5, 8.0, 8).with_input()`.
    pub fn encoded(self, encoding: impl Into<Encoding>) -> Self {
        Self { encoding: encoding.into(), ..self }
    }

    /// The same input with other layers of its own, an embedding:
    /// `Input::new("x", 2).embedded(vec![Layer::dense(224,
    /// Activation::Identity)])` enters the network's first layer as 224 numbers. Parameters are
    /// named `inputs.<name>.layers.0.weight` and so on.
    pub fn embedded(self, layers: Vec<Layer>) -> Self {
        Self { layers, ..self }
    }

    /// Numbers per row after the encoding.
    pub fn encoded_width(&self) -> usize {
        self.encoding.encoded_width(self.width)
    }

    /// Numbers per row behind the encoding and the input's layers: rows of its weight block in the
    /// network's first layer.
    pub fn embedded_width(&self) -> usize {
        let dense = |layer: &Layer| match layer {
            Layer::Dense(dense) => Some(dense.outputs),
            // These keep the width.
            Layer::Activate(_) | Layer::Norm(_) | Layer::Residual(_) => None,
        };
        self.layers.iter().rev().find_map(dense).unwrap_or_else(|| self.encoded_width())
    }

    /// Path of its layers, the first part of their parameters' names.
    pub(in crate::nn) fn path(&self) -> String {
        format!("inputs.{}.layers", self.name)
    }
}
