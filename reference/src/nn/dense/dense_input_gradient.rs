//! Gradient of a dense layer to its inputs (`shaders/nn/dense/dense_input_gradient.wgsl`).

use crate::nn::{DenseShape, Summed, check};

/// `dh[r, i] = slope[r, i] * sum_o dz[r, o] W[i, o]`, `[rows, inputs]`; without `slope` the factor
/// is 1.
///
/// * `dz`: `[rows, outputs]`, gradient of the sums. `weights`: `[inputs, outputs]`.
/// * `slope`: `[rows, inputs]`, `act'` of the layer below: the result is then the gradient of that
///   layer's sums.
pub fn dense_input_gradient(shape: DenseShape, dz: &[f64], weights: &[f64], slope: Option<&[f64]>) -> Summed {
    let DenseShape { rows, inputs, outputs } = shape;
    check("dz", dz.len(), rows * outputs);
    check("weights", weights.len(), inputs * outputs);
    if let Some(slope) = slope {
        check("slope", slope.len(), rows * inputs);
    }
    let mut value = Vec::with_capacity(rows * inputs);
    let mut magnitude = Vec::with_capacity(rows * inputs);
    for r in 0..rows {
        for i in 0..inputs {
            let mut sum = 0.0;
            let mut size = 0.0;
            for o in 0..outputs {
                let term = dz[r * outputs + o] * weights[i * outputs + o];
                sum += term;
                size += term.abs();
            }
            let factor = slope.map_or(1.0, |slope| slope[r * inputs + i]);
            value.push(factor * sum);
            magnitude.push(factor.abs() * size);
        }
    }
    Summed { value, magnitude }
}
