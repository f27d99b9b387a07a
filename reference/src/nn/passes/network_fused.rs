//! A whole narrow network and its gradient at one input (`shaders/nn/passes/network_fused.wgsl`).

use super::{pack_inputs, unpack_gradient};
use crate::nn::dense::dense_forward::Init;
use crate::nn::dense::{dense_forward, dense_input_gradient};
use crate::nn::{Activation, DenseShape, check};

/// A dense layer of the network; of the first one, the part of the input that is differentiated.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedLayer {
    /// `[inputs, outputs]`
    pub weights: Vec<f64>,
    /// `[outputs]`; of the first layer `[contexts, outputs]`, its bias and what other inputs add.
    pub start: Vec<f64>,
    /// Applied to the sums.
    pub activation: Activation,
}

/// What the network gives for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// `[rows, outputs]`
    pub value: Vec<f64>,
    /// `[rows, dims]`: gradient of the sum of a row's outputs, in 1 / data units.
    pub gradient: Vec<f64>,
}

/// `value[r] = f(start[r / candidates], (y[r] - shift) scale)` and its gradient at `y`.
///
/// * `y`: `[rows, dims]`, `shift`, `scale`: `[dims]`; `outputs`: columns of each layer.
pub fn network_fused(
    y: &[f64],
    (shift, scale): (&[f64], &[f64]),
    layers: &[FusedLayer],
    outputs: &[usize],
) -> Fused {
    check("outputs", outputs.len(), layers.len());
    let rows = y.len() / shift.len();
    let mut h = pack_inputs(y, shift, scale);
    let mut passed = Vec::new();
    for (index, (layer, &outputs)) in layers.iter().zip(outputs).enumerate() {
        let shape = DenseShape { rows, inputs: h.len() / rows, outputs };
        let init = match index {
            0 => Init::Context { values: &layer.start, candidates: rows * outputs / layer.start.len() },
            _ => Init::Bias(&layer.start),
        };
        let forward = dense_forward(shape, &h, &layer.weights, init, layer.activation);
        h = forward.output;
        passed.push((shape, forward.slope));
    }
    let mut gradient = vec![1.0; h.len()];
    for (layer, (shape, slope)) in layers.iter().zip(&passed).rev() {
        let dz: Vec<f64> = gradient.iter().zip(slope).map(|(g, s)| g * s).collect();
        gradient = dense_input_gradient(*shape, &dz, &layer.weights, None).value;
    }
    Fused { value: h, gradient: unpack_gradient(&gradient, scale) }
}
