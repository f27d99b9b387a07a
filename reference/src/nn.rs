//! References of `shaders/nn/`: dense layers and optimisers.

pub mod adam;
pub mod dense_forward;
pub mod dense_input_gradient;
pub mod dense_weight_gradient;
pub mod fourier_features;
pub mod fourier_gradient;
pub mod gradient_norm;
pub mod initialise;
pub mod pack_inputs;
pub mod reduce_partials;
pub mod sum_candidates;
pub mod unpack_gradient;

pub use adam::adam;
pub use dense_forward::dense_forward;
pub use dense_input_gradient::dense_input_gradient;
pub use dense_weight_gradient::dense_weight_gradient;
pub use fourier_features::fourier_features;
pub use fourier_gradient::fourier_gradient;
pub use gradient_norm::gradient_norm;
pub use initialise::initialise;
pub use pack_inputs::pack_inputs;
pub use reduce_partials::reduce_partials;
pub use sum_candidates::sum_candidates;
pub use unpack_gradient::unpack_gradient;

/// Shape of a dense layer applied to a batch. Weights are `[inputs, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseShape {
    /// Rows of the batch.
    pub rows: usize,
    /// Width of a row that goes in.
    pub inputs: usize,
    /// Width of a row that comes out.
    pub outputs: usize,
}

/// Activation of a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `z`
    Identity,
    /// `max(z, 0)`, slope 0 at 0
    Relu,
    /// `z sigmoid(z)`
    Silu,
    /// `tanh(z)`
    Tanh,
}

impl Activation {
    /// All activations, at the index of their shader code.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Relu, Self::Silu, Self::Tanh];

    /// `act(z)`
    pub fn value(self, z: f64) -> f64 {
        match self {
            Self::Identity => z,
            Self::Relu => z.max(0.0),
            Self::Silu => z * sigmoid(z),
            Self::Tanh => z.tanh(),
        }
    }

    /// `act'(z)`
    pub fn slope(self, z: f64) -> f64 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f64::from(u8::from(z > 0.0)),
            Self::Silu => {
                let s = sigmoid(z);
                s + z * s * sigmoid(-z)
            }
            Self::Tanh => {
                let t = z.tanh();
                (1.0 - t) * (1.0 + t)
            }
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    // exp of a non-positive argument only: finite for every z.
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// A sum per element and the sum of its absolute terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Summed {
    /// The sums.
    pub value: Vec<f64>,
    /// Same shape: the same sums over absolute values, for error bounds.
    pub magnitude: Vec<f64>,
}

pub(crate) fn check(name: &str, found: usize, expected: usize) {
    assert_eq!(found, expected, "`{name}` has {found} elements, its shape needs {expected}");
}
