//! Gradient of a dense layer to its weights and bias, in parts
//! (`shaders/nn/dense/dense_weight_gradient.wgsl`).

use std::ops::Range;

use crate::nn::{DenseShape, Summed, check};

/// Result of [`dense_weight_gradient`], one part per split.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseWeightGradient {
    /// `[splits, inputs, outputs]`
    pub weights: Summed,
    /// `[splits, outputs]`
    pub bias: Summed,
}

/// `dW_s[i, o] = sum_{r in s} h[r, i] dz[r, o]` and `db_s[o] = sum_{r in s} dz[r, o]` for every
/// range of rows `s`.
///
/// * `h`: `[rows, inputs]`, `dz`: `[rows, outputs]`. An empty range gives zeros.
pub fn dense_weight_gradient(
    shape: DenseShape,
    h: &[f64],
    dz: &[f64],
    splits: &[Range<usize>],
) -> DenseWeightGradient {
    let DenseShape { rows, inputs, outputs } = shape;
    check("h", h.len(), rows * inputs);
    check("dz", dz.len(), rows * outputs);
    let zeros = |n: usize| Summed { value: vec![0.0; n], magnitude: vec![0.0; n] };
    let mut weights = zeros(splits.len() * inputs * outputs);
    let mut bias = zeros(splits.len() * outputs);
    for (s, split) in splits.iter().enumerate() {
        for r in split.clone() {
            for o in 0..outputs {
                let output_gradient = dz[r * outputs + o];
                bias.value[s * outputs + o] += output_gradient;
                bias.magnitude[s * outputs + o] += output_gradient.abs();
                for i in 0..inputs {
                    let term = h[r * inputs + i] * output_gradient;
                    weights.value[(s * inputs + i) * outputs + o] += term;
                    weights.magnitude[(s * inputs + i) * outputs + o] += term.abs();
                }
            }
        }
    }
    DenseWeightGradient { weights, bias }
}
