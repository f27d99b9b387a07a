//! Networks of every kind of layer, with the backward pass written out.

use crate::nn::dense::dense_forward::{DenseForward, Init};
use crate::nn::dense::{dense_forward, dense_input_gradient, dense_weight_gradient};
use crate::nn::passes::layer_norm::{LayerNorm, NormShape};
use crate::nn::passes::{activate_rows, layer_norm, layer_norm_gradient, layer_norm_weight_gradient};
use crate::nn::{Activation, DenseShape};

/// A layer with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// `act(h W + b)`
    Dense {
        /// `[inputs, outputs]`
        weights: Vec<f64>,
        /// `[outputs]`
        bias: Vec<f64>,
        /// Applied to the sums.
        activation: Activation,
    },
    /// `act(h)`
    Activate(Activation),
    /// Layer norm over the features of a row.
    Norm {
        /// `[width]`
        gain: Vec<f64>,
        /// `[width]`
        bias: Vec<f64>,
        /// Added to the variance.
        epsilon: f64,
    },
    /// `h + f(h)`
    Residual(Vec<Block>),
}

/// What a layer's forward pass leaves for its backward pass.
#[derive(Clone, Debug)]
enum Trace {
    Dense { h: Vec<f64>, forward: DenseForward },
    Activate { slope: Vec<f64> },
    Norm { h: Vec<f64>, forward: LayerNorm },
    Residual(Vec<Trace>),
}

/// Layers one after the other, applied to a batch of concatenated inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// First to last.
    pub layers: Vec<Block>,
}

/// A forward pass.
#[derive(Clone, Debug)]
pub struct NetworkTrace {
    /// `[rows, outputs]`
    pub output: Vec<f64>,
    rows: usize,
    layers: Vec<Trace>,
}

/// Gradient of a scalar to everything a network depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkGradient {
    /// In the order of [`Network::parameters`].
    pub parameters: Vec<f64>,
    /// `[rows, inputs]`
    pub inputs: Vec<f64>,
}

fn slots(layers: &mut [Block]) -> Vec<&mut f64> {
    layers
        .iter_mut()
        .flat_map(|layer| match layer {
            Block::Dense { weights: first, bias, .. } | Block::Norm { gain: first, bias, .. } => {
                first.iter_mut().chain(bias).collect()
            }
            Block::Activate(_) => Vec::new(),
            Block::Residual(inner) => slots(inner),
        })
        .collect()
}

fn forward(layers: &[Block], input: &[f64], rows: usize) -> (Vec<f64>, Vec<Trace>) {
    let mut h = input.to_vec();
    let mut traces = Vec::new();
    for layer in layers {
        let trace = match layer {
            Block::Dense { weights, bias, activation } => {
                let shape = DenseShape { rows, inputs: h.len() / rows, outputs: bias.len() };
                let forward = dense_forward(shape, &h, weights, Init::Bias(bias), *activation);
                let output = forward.output.clone();
                Trace::Dense { h: std::mem::replace(&mut h, output), forward }
            }
            Block::Activate(activation) => {
                let activated = activate_rows(&h, *activation);
                h = activated.output;
                Trace::Activate { slope: activated.slope }
            }
            Block::Norm { gain, bias, epsilon } => {
                let shape = NormShape { rows, width: gain.len(), epsilon: *epsilon };
                let forward = layer_norm(shape, &h, gain, bias);
                let output = forward.output.clone();
                Trace::Norm { h: std::mem::replace(&mut h, output), forward }
            }
            Block::Residual(inner) => {
                let (output, traces) = self::forward(inner, &h, rows);
                assert_eq!(output.len(), h.len(), "a residual block keeps the width");
                h.iter_mut().zip(output).for_each(|(h, f)| *h += f);
                Trace::Residual(traces)
            }
        };
        traces.push(trace);
    }
    (h, traces)
}

/// Gradients of the parameters, in order, and of the input.
fn backward(
    layers: &[Block],
    traces: &[Trace],
    output_gradient: &[f64],
    rows: usize,
) -> (Vec<f64>, Vec<f64>) {
    let whole = std::slice::from_ref(&(0..rows)).to_vec();
    let mut parts: Vec<Vec<f64>> = Vec::new();
    let mut g = output_gradient.to_vec();
    let times = |g: &[f64], slope: &[f64]| g.iter().zip(slope).map(|(g, s)| g * s).collect::<Vec<f64>>();
    for (layer, trace) in layers.iter().zip(traces).rev() {
        match (layer, trace) {
            (Block::Dense { weights, bias, .. }, Trace::Dense { h, forward }) => {
                let shape = DenseShape { rows, inputs: h.len() / rows, outputs: bias.len() };
                let dz = times(&g, &forward.slope);
                let gradient = dense_weight_gradient(shape, h, &dz, &whole);
                parts.push([gradient.weights.value, gradient.bias.value].concat());
                g = dense_input_gradient(shape, &dz, weights, None).value;
            }
            (Block::Activate(_), Trace::Activate { slope }) => g = times(&g, slope),
            (Block::Norm { gain, epsilon, .. }, Trace::Norm { h, forward }) => {
                let shape = NormShape { rows, width: gain.len(), epsilon: *epsilon };
                let gradient = layer_norm_weight_gradient(shape, h, forward, &g, &whole);
                parts.push([gradient.gain.value, gradient.bias.value].concat());
                g = layer_norm_gradient(shape, h, gain, forward, &g).value;
            }
            (Block::Residual(inner), Trace::Residual(traces)) => {
                let (parameters, inside) = backward(inner, traces, &g, rows);
                parts.push(parameters);
                g.iter_mut().zip(inside).for_each(|(g, inside)| *g += inside);
            }
            _ => unreachable!("a trace of another network"),
        }
    }
    parts.reverse();
    (parts.concat(), g)
}

impl Network {
    /// All parameters: layer after layer weights or gain, then the bias.
    pub fn parameters(&self) -> Vec<f64> {
        slots(&mut self.layers.clone()).into_iter().map(|slot| *slot).collect()
    }

    /// The same network with other parameters, in the order of [`Network::parameters`].
    pub fn with_parameters(&self, parameters: &[f64]) -> Self {
        let mut network = self.clone();
        let slots = slots(&mut network.layers);
        assert_eq!(slots.len(), parameters.len(), "parameters of the network");
        slots.into_iter().zip(parameters).for_each(|(slot, value)| *slot = *value);
        network
    }

    /// Output for `input: [rows, inputs]` with what the backward pass needs.
    pub fn forward(&self, input: &[f64], rows: usize) -> NetworkTrace {
        let (output, layers) = forward(&self.layers, input, rows);
        NetworkTrace { output, rows, layers }
    }

    /// Gradient to parameters and inputs; `output_gradient: [rows, outputs]` is the gradient at the
    /// output.
    pub fn backward(&self, trace: &NetworkTrace, output_gradient: &[f64]) -> NetworkGradient {
        assert_eq!(
            output_gradient.len(),
            trace.output.len(),
            "`output_gradient` has the shape of the network's output"
        );
        let (parameters, inputs) = backward(&self.layers, &trace.layers, output_gradient, trace.rows);
        NetworkGradient { parameters, inputs }
    }
}
