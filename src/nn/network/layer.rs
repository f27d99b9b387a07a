//! Layers of a network as data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::gpu::{SharedConstant, shared_constant};

/// The function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// None.
    Identity,
    /// `max(x, 0)`, with slope 0 at 0.
    Relu,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x Phi(x)` with the distribution function `Phi` of the standard normal, exact: what
    /// `torch.nn.GELU()` is.
    Gelu,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, which differs from [`Activation::Gelu`]
    /// by up to 5e-4: `torch.nn.GELU(approximate="tanh")`, and what JAX takes by default.
    #[serde(rename = "gelu_tanh")]
    GeluTanh,
    /// `x tanh(log(1 + exp(x)))`.
    Mish,
    /// `x` from 0 up, `exp(x) - 1` below: `torch.nn.ELU()`, whose `alpha` is 1.
    Elu,
    /// `x` above 0, `0.01 x` elsewhere: `torch.nn.LeakyReLU()` with its default slope.
    #[serde(rename = "leaky_relu")]
    LeakyRelu,
}

crate::error::named!("activation", Activation {
    Identity => "identity",
    Relu => "relu",
    Silu => "silu",
    Tanh => "tanh",
    Gelu => "gelu",
    Softplus => "softplus",
    GeluTanh => "gelu_tanh",
    Mish => "mish",
    Elu => "elu",
    LeakyRelu => "leaky_relu",
});

impl Activation {
    /// Number of codes.
    pub(crate) const COUNT: u32 = 10;

    /// The code in `shaders/lib/activation.wgsl`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Activation::Identity => 0,
            Activation::Relu => 1,
            Activation::Silu => 2,
            Activation::Tanh => 3,
            Activation::Gelu => 4,
            Activation::Softplus => 5,
            Activation::GeluTanh => 6,
            Activation::Mish => 7,
            Activation::Elu => 8,
            Activation::LeakyRelu => 9,
        }
    }
}

pub(in crate::nn) fn shared_constants() -> Vec<SharedConstant> {
    let constant =
        |name, activation: Activation| shared_constant("lib/activation.wgsl", name, activation.code().into());
    vec![
        constant("ACTIVATION_IDENTITY", Activation::Identity),
        constant("ACTIVATION_RELU", Activation::Relu),
        constant("ACTIVATION_SILU", Activation::Silu),
        constant("ACTIVATION_TANH", Activation::Tanh),
        constant("ACTIVATION_GELU", Activation::Gelu),
        constant("ACTIVATION_SOFTPLUS", Activation::Softplus),
        constant("ACTIVATION_GELU_TANH", Activation::GeluTanh),
        constant("ACTIVATION_MISH", Activation::Mish),
        constant("ACTIVATION_ELU", Activation::Elu),
        constant("ACTIVATION_LEAKY_RELU", Activation::LeakyRelu),
    ]
}

/// A dense layer: `act(h W + b)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense {
    /// Numbers per row that it writes.
    pub outputs: usize,
    /// What comes after the affine map.
    pub activation: Activation,
}

/// Layer norm over the features of a row, with a learned gain (1 at first) and bias (0 at first):
/// `gain (h - mean) / sqrt(variance + epsilon) + bias`, arXiv 1607.06450.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerNorm {
    /// Added to the variance, in [1e-12, 1].
    pub epsilon: f32,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5 }
    }
}

/// A layer of a network. In JSON: `{"dense": {"outputs": 64, "activation": "relu"}}`,
/// `{"activate": "relu"}`, `{"norm": {"epsilon": 1e-5}}`, `{"residual": [..]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "Nested<Nested<Nested<Nested<Nested<TooDeep>>>>>")]
pub enum Layer {
    /// An affine map with an activation.
    Dense(Dense),
    /// An activation on its own. Directly behind a dense layer or a norm it costs nothing more.
    Activate(Activation),
    /// Layer norm.
    Norm(LayerNorm),
    /// `h + f(h)` with these layers, which keep the width, as `f`. Blocks nest at most
    /// [`Layer::MAX_DEPTH`] deep.
    Residual(Vec<Layer>),
}

impl Layer {
    /// How deep residual blocks may nest.
    pub const MAX_DEPTH: usize = 4;

    /// A dense layer.
    pub fn dense(outputs: usize, activation: Activation) -> Self {
        Layer::Dense(Dense { outputs, activation })
    }

    /// This layer and those inside it, counted up to `most`.
    pub(in crate::nn) fn count(&self, max: usize) -> usize {
        // With a list of its own: a description may nest deeper than the stack goes.
        let (mut open, mut count) = (vec![self], 0);
        while let Some(layer) = open.pop() {
            count += 1;
            if count >= max {
                break;
            }
            if let Layer::Residual(inner) = layer {
                open.extend(inner);
            }
        }
        count
    }
}

/// A layer of a file. The type bounds the depth, whatever the format: a hostile file is an error
/// before it takes stack.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Nested<T> {
    Dense(Dense),
    Activate(Activation),
    Norm(LayerNorm),
    Residual(Vec<T>),
}

impl<T: Into<Layer>> From<Nested<T>> for Layer {
    fn from(nested: Nested<T>) -> Self {
        match nested {
            Nested::Dense(dense) => Layer::Dense(dense),
            Nested::Activate(activation) => Layer::Activate(activation),
            Nested::Norm(norm) => Layer::Norm(norm),
            Nested::Residual(inner) => Layer::Residual(inner.into_iter().map(Into::into).collect()),
        }
    }
}

/// What stands below the deepest layers: never a value.
enum TooDeep {}

impl<'de> Deserialize<'de> for TooDeep {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let depth = Layer::MAX_DEPTH;
        Err(serde::de::Error::custom(format!("residual blocks nest more than {depth} deep")))
    }
}

impl From<TooDeep> for Layer {
    fn from(never: TooDeep) -> Self {
        match never {}
    }
}

/// Where a network has norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norms {
    /// Nowhere.
    #[default]
    None,
    /// In front of every activation.
    BeforeActivations(LayerNorm),
}

impl Norms {
    /// The names of the kinds.
    pub const KINDS: &'static [&'static str] = &["none", "before_activations"];

    /// The name of its kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Norms::None => Self::KINDS[0],
            Norms::BeforeActivations(_) => Self::KINDS[1],
        }
    }
}

impl fmt::Display for Norms {
    /// `none`, or `before_activations:1e-5` with epsilon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Norms::None => f.pad(self.kind()),
            Norms::BeforeActivations(norm) => f.pad(&format!("{}:{:e}", self.kind(), norm.epsilon)),
        }
    }
}

impl FromStr for Norms {
    type Err = crate::Error;

    /// Takes what `Display` writes; without a number, the default epsilon.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] that lists the forms.
    fn from_str(text: &str) -> crate::Result<Self> {
        let epsilon = text.strip_prefix("before_activations:").and_then(|number| number.parse().ok());
        match (text, epsilon) {
            ("none", _) => Ok(Norms::None),
            ("before_activations", _) => Ok(Norms::BeforeActivations(LayerNorm::default())),
            (_, Some(epsilon)) => Ok(Norms::BeforeActivations(LayerNorm { epsilon })),
            (_, None) => {
                let forms = ["none", "before_activations", "before_activations:EPSILON"];
                Err(crate::Error::unknown_name("norms", text, &forms))
            }
        }
    }
}

impl Norms {
    /// The layers with norms put in.
    pub(in crate::nn) fn apply(self, layers: Vec<Layer>) -> Vec<Layer> {
        let Norms::BeforeActivations(norm) = self else { return layers };
        let with_norm = |layer| match layer {
            Layer::Dense(Dense { outputs, activation }) if activation != Activation::Identity => {
                let normalizer = Layer::dense(outputs, Activation::Identity);
                vec![normalizer, Layer::Norm(norm), Layer::Activate(activation)]
            }
            Layer::Activate(activation) => vec![Layer::Norm(norm), Layer::Activate(activation)],
            Layer::Residual(inner) => vec![Layer::Residual(self.apply(inner))],
            other => vec![other],
        };
        layers.into_iter().flat_map(with_norm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        let inner = r#"{"activate":"gelu"}"#;
        format!("{}{inner}{}", r#"{"residual":["#.repeat(depth), "]}".repeat(depth))
    }

    #[test]
    fn layers_read_what_they_write() {
        let layers = vec![
            Layer::dense(64, Activation::Softplus),
            Layer::Residual(vec![
                Layer::Norm(LayerNorm { epsilon: 1e-3 }),
                Layer::Residual(vec![Layer::Activate(Activation::Gelu)]),
            ]),
        ];
        let text = serde_json::to_string(&layers).unwrap();
        let expected = concat!(
            r#"[{"dense":{"outputs":64,"activation":"softplus"}},"#,
            r#"{"residual":[{"norm":{"epsilon":0.001}},{"residual":[{"activate":"gelu"}]}]}]"#
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Vec<Layer>>(&text).unwrap(), layers);
    }

    #[test]
    fn a_file_nests_as_deep_as_is_allowed_and_no_deeper() {
        assert!(serde_json::from_str::<Layer>(&nested(Layer::MAX_DEPTH)).is_ok());
        for depth in [Layer::MAX_DEPTH + 1, 60, 100_000] {
            let error = serde_json::from_str::<Layer>(&nested(depth)).unwrap_err().to_string();
            assert!(error.contains("nest more than 4 deep"), "{error}");
        }
    }
}
