//! References of `shaders/nn/`: dense layers, optimizers, analytic and user-written energies.

pub mod dense;
pub mod network;
pub mod optim;
pub mod passes;

pub use dense::{dense_forward, dense_input_gradient, dense_weight_gradient};
pub use network::initialize;
pub use optim::{adam, prepare_step};
pub use passes::{
    Fused, FusedLayer, activate_rows, add_residual, fourier_features, fourier_gradient, layer_norm,
    layer_norm_gradient, layer_norm_weight_gradient, network_fused, pack_inputs, reduce_partials,
    sum_candidates, transpose_weights, unpack_gradient,
};

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
    /// `z Phi(z)`, `Phi` the distribution function of the standard normal
    Gelu,
    /// `log(1 + exp(z))`
    Softplus,
    /// `z (1 + tanh(u)) / 2`, `u = sqrt(2 / pi) (z + 0.044715 z^3)`
    GeluTanh,
    /// `z tanh(log(1 + exp(z)))`
    Mish,
    /// `z` above 0, `exp(z) - 1` elsewhere
    Elu,
    /// `z` above 0, `0.01 z` elsewhere
    LeakyRelu,
}

/// `2 sqrt(2 / pi)`
const GELU_RATE: f64 = 2.0 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;

impl Activation {
    /// All activations, at the index of their shader code.
    pub const ALL: [Self; 10] = [
        Self::Identity,
        Self::Relu,
        Self::Silu,
        Self::Tanh,
        Self::Gelu,
        Self::Softplus,
        Self::GeluTanh,
        Self::Mish,
        Self::Elu,
        Self::LeakyRelu,
    ];

    /// `act(z)`
    pub fn value(self, z: f64) -> f64 {
        match self {
            Self::Identity => z,
            Self::Relu => z.max(0.0),
            Self::Silu => z * sigmoid(z),
            Self::Tanh => z.tanh(),
            Self::Gelu => z * normal_below(z),
            Self::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
            Self::GeluTanh => z * sigmoid(GELU_RATE * (z + 0.044715 * z.powi(3))),
            Self::Mish => z * Self::Softplus.value(z).tanh(),
            Self::Elu => z.max(0.0) + z.min(0.0).exp_m1(),
            Self::LeakyRelu => z.max(0.01 * z),
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
            Self::Gelu => {
                // The bell is 0 long before its square would overflow.
                let a = z.abs().min(40.0);
                let bell = (-0.5 * a * a).exp() / (2.0 * std::f64::consts::PI).sqrt();
                normal_below(z) + a.copysign(z) * bell
            }
            Self::Softplus => sigmoid(z),
            Self::GeluTanh => {
                let u = GELU_RATE * (z + 0.044715 * z.powi(3));
                let s = sigmoid(u);
                s + z * GELU_RATE * (1.0 + 3.0 * 0.044715 * z * z) * s * sigmoid(-u)
            }
            Self::Mish => {
                // 1 - tanh(w)^2 = 4 q / (1 + q)^2, q = exp(-2 w): no difference.
                let w = Self::Softplus.value(z);
                let q = (-2.0 * w).exp();
                w.tanh() + z * 4.0 * q / (1.0 + q).powi(2) * sigmoid(z)
            }
            Self::Elu => z.min(0.0).exp(),
            Self::LeakyRelu => {
                if z > 0.0 {
                    1.0
                } else {
                    0.01
                }
            }
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    // exp of a non-positive argument only: finite for every z.
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Distribution function of the standard normal, to about 1e-15 absolute and 1e-13 relative.
pub fn normal_below(z: f64) -> f64 {
    let a = z.abs().min(40.0);
    let bell = (-0.5 * a * a).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let above = if a < 3.0 {
        // 1/2 - bell (a + a^3 / 3 + a^5 / (3 5) + ..)
        let (mut term, mut sum, mut odd) = (a, a, 1.0);
        while term > 1e-18 * sum {
            odd += 2.0;
            term *= a * a / odd;
            sum += term;
        }
        0.5 - bell * sum
    } else {
        // Continued fraction a + 1 / (a + 2 / (a + 3 / ..))
        bell / (1..=200).rev().fold(a, |fraction, k| a + f64::from(k) / fraction)
    };
    if z >= 0.0 { 1.0 - above } else { above }
}

/// A sum per element and the sum of its absolute terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Summed {
    /// The sums.
    pub value: Vec<f64>,
    /// Same shape: the same sums over absolute values, for error bounds.
    pub magnitude: Vec<f64>,
}

/// Energies of rows and their gradients, each with the size of its terms for error bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnergyAndGradient {
    /// `[rows]`
    pub energy: Vec<f64>,
    /// `[rows]`
    pub energy_magnitude: Vec<f64>,
    /// `[rows, dims]`: `dE/dy`
    pub gradient: Vec<f64>,
    /// `[rows, dims]`
    pub gradient_magnitude: Vec<f64>,
}

pub(crate) fn check(name: &str, found: usize, expected: usize) {
    assert_eq!(found, expected, "`{name}` has {found} elements, its shape needs {expected}");
}
