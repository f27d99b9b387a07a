//! One dense layer (`shaders/nn/dense/dense_forward.wgsl`).

use crate::nn::{Activation, DenseShape, check};

/// What the sums of a layer start from.
#[derive(Clone, Copy, Debug)]
pub enum Init<'a> {
    /// 0
    Zero,
    /// `bias[o]`, `[outputs]`
    Bias(&'a [f64]),
    /// `values[r / candidates, o]`, `[rows / candidates, outputs]`: the half of a first layer
    /// common to all candidates of a context.
    Context {
        /// One row per context.
        values: &'a [f64],
        /// Rows per context.
        candidates: usize,
    },
}

/// Result of [`dense_forward`], each `[rows, outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseForward {
    /// `act(z)`
    pub output: Vec<f64>,
    /// `act'(z)`
    pub slope: Vec<f64>,
    /// `z`
    pub sum: Vec<f64>,
    /// `|init| + sum_i |h[r, i]| |W[i, o]|`
    pub magnitude: Vec<f64>,
}

/// `z[r, o] = init + sum_i h[r, i] W[i, o]`; gives `act(z)` and `act'(z)`.
///
/// * `h`: `[rows, inputs]`, `weights`: `[inputs, outputs]`.
pub fn dense_forward(
    shape: DenseShape,
    h: &[f64],
    weights: &[f64],
    init: Init<'_>,
    activation: Activation,
) -> DenseForward {
    let DenseShape { rows, inputs, outputs } = shape;
    check("h", h.len(), rows * inputs);
    check("weights", weights.len(), inputs * outputs);
    match init {
        Init::Zero => {}
        Init::Bias(bias) => check("bias", bias.len(), outputs),
        Init::Context { values, candidates } => check("context", values.len() * candidates, rows * outputs),
    }
    let mut sum = Vec::with_capacity(rows * outputs);
    let mut magnitude = Vec::with_capacity(rows * outputs);
    for r in 0..rows {
        for o in 0..outputs {
            let start = match init {
                Init::Zero => 0.0,
                Init::Bias(bias) => bias[o],
                Init::Context { values, candidates } => values[r / candidates * outputs + o],
            };
            let mut z = start;
            let mut size = start.abs();
            for i in 0..inputs {
                let term = h[r * inputs + i] * weights[i * outputs + o];
                z += term;
                size += term.abs();
            }
            sum.push(z);
            magnitude.push(size);
        }
    }
    DenseForward {
        output: sum.iter().map(|&z| activation.value(z)).collect(),
        slope: sum.iter().map(|&z| activation.slope(z)).collect(),
        sum,
        magnitude,
    }
}
