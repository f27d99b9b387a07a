//! A chain of dense layers and the form that shares its first layer among the candidates of a
//! context.

use crate::nn::dense::dense_forward::{DenseForward, Init};
use crate::nn::dense::{dense_forward, dense_input_gradient, dense_weight_gradient};
use crate::nn::network::initialize;
use crate::nn::passes::sum_candidates;
use crate::nn::{Activation, DenseShape};

/// One dense layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Width in.
    pub inputs: usize,
    /// Width out.
    pub outputs: usize,
    /// `[inputs, outputs]`
    pub weights: Vec<f64>,
    /// `[outputs]`
    pub bias: Vec<f64>,
    /// Applied to the sums.
    pub activation: Activation,
}

/// Gradient of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGradient {
    /// `[inputs, outputs]`
    pub weights: Vec<f64>,
    /// `[outputs]`
    pub bias: Vec<f64>,
}

/// Dense layers one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// First to last.
    pub layers: Vec<Layer>,
}

/// What a forward pass leaves for the backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Rows of the batch.
    pub rows: usize,
    /// `[rows, inputs]`: inputs of the network.
    pub input: Vec<f64>,
    /// One per layer.
    pub layers: Vec<DenseForward>,
}

/// Gradient of a scalar to everything a network depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// One per layer.
    pub layers: Vec<LayerGradient>,
    /// `[rows, inputs]`
    pub inputs: Vec<f64>,
}

/// [`Trace`] of the broadcast form.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateTrace {
    /// Contexts of the batch.
    pub contexts: usize,
    /// Candidates per context.
    pub candidates: usize,
    /// `[contexts, context width]`
    pub x: Vec<f64>,
    /// `[contexts, candidates, action width]`
    pub y: Vec<f64>,
    /// `[contexts, first outputs]`: `bias + Wx x`, computed once per context.
    pub shared: Vec<f64>,
    /// One per layer.
    pub layers: Vec<DenseForward>,
}

/// [`Gradient`] of the broadcast form.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateGradient {
    /// One per layer.
    pub layers: Vec<LayerGradient>,
    /// `[contexts, context width]`
    pub x: Vec<f64>,
    /// `[contexts, candidates, action width]`
    pub y: Vec<f64>,
}

impl Layer {
    fn shape(&self, rows: usize) -> DenseShape {
        DenseShape { rows, inputs: self.inputs, outputs: self.outputs }
    }
}

impl Trace {
    /// `[rows, outputs]` of the last layer.
    pub fn output(&self) -> &[f64] {
        output_of(&self.layers)
    }
}

impl CandidateTrace {
    /// `[contexts, candidates, outputs]` of the last layer.
    pub fn output(&self) -> &[f64] {
        output_of(&self.layers)
    }
}

fn output_of(layers: &[DenseForward]) -> &[f64] {
    layers.last().map_or(&[], |layer| &layer.output)
}

impl Mlp {
    /// Layers of the given widths, `hidden` between them and no activation at the end; weights by
    /// [`initialize()`] with gain 1 from `uniforms`, taken in the order of [`Mlp::parameters`]; the
    /// same bound for the biases.
    pub fn new(widths: &[usize], hidden: Activation, uniforms: &[f64]) -> Self {
        let last = widths.len() - 2;
        let mut rest = uniforms;
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n);
            rest = tail;
            head
        };
        let layers = (0..=last)
            .map(|l| {
                let (inputs, outputs) = (widths[l], widths[l + 1]);
                Layer {
                    inputs,
                    outputs,
                    weights: initialize(take(inputs * outputs), inputs, 1.0),
                    bias: initialize(take(outputs), inputs, 1.0),
                    activation: if l == last { Activation::Identity } else { hidden },
                }
            })
            .collect();
        Self { layers }
    }

    /// Number of weights and biases of a network of these widths.
    pub fn parameter_count(widths: &[usize]) -> usize {
        widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// All parameters: per layer the weights, then the bias.
    pub fn parameters(&self) -> Vec<f64> {
        self.layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).copied().collect()
    }

    /// The same network with other parameters, in the order of [`Mlp::parameters`].
    pub fn with_parameters(&self, parameters: &[f64]) -> Self {
        let mut values = parameters.iter().copied();
        let mut network = self.clone();
        for layer in &mut network.layers {
            for slot in layer.weights.iter_mut().chain(&mut layer.bias) {
                *slot = values.next().expect("fewer parameters than the network holds");
            }
        }
        assert!(values.next().is_none(), "more parameters than the network holds");
        network
    }

    /// Outputs and slopes of every layer for `input: [rows, inputs]`.
    pub fn forward(&self, input: &[f64]) -> Trace {
        let rows = input.len() / self.layers[0].inputs;
        let mut layers: Vec<DenseForward> = Vec::new();
        for layer in &self.layers {
            let h = layers.last().map_or(input, |below| &below.output);
            let init = Init::Bias(&layer.bias);
            let next = dense_forward(layer.shape(rows), h, &layer.weights, init, layer.activation);
            layers.push(next);
        }
        Trace { rows, input: input.to_vec(), layers }
    }

    /// Gradient to parameters and inputs; `output_gradient: [rows, outputs]` is the gradient to the
    /// network's output.
    pub fn backward(&self, trace: &Trace, output_gradient: &[f64]) -> Gradient {
        let (mut layers, dz) = self.backward_above_first(&trace.layers, output_gradient, trace.rows);
        let first = &self.layers[0];
        layers.insert(0, whole_batch(first.shape(trace.rows), &trace.input, &dz));
        let inputs = dense_input_gradient(first.shape(trace.rows), &dz, &first.weights, None).value;
        Gradient { layers, inputs }
    }

    /// Gradient to the parameters.
    pub fn backward_parameters(&self, trace: &Trace, output_gradient: &[f64]) -> Vec<LayerGradient> {
        self.backward(trace, output_gradient).layers
    }

    /// Gradient to the inputs, `[rows, inputs]`.
    pub fn backward_inputs(&self, trace: &Trace, output_gradient: &[f64]) -> Vec<f64> {
        self.backward(trace, output_gradient).inputs
    }

    /// `E(x_b, y_bk)` for all candidates: the first layer's weights are `[Wx; Wy]`, rows of the
    /// context first, and `bias + Wx x` is computed once per context.
    ///
    /// * `x`: `[contexts, context width]`, `y`: `[contexts, candidates, action width]`.
    pub fn forward_candidates(
        &self,
        x: &[f64],
        y: &[f64],
        contexts: usize,
        candidates: usize,
    ) -> CandidateTrace {
        let first = &self.layers[0];
        let rows = contexts * candidates;
        let (context, action) = first_halves(first, x.len() / contexts, contexts, rows);
        let (context_weights, action_weights) = first.weights.split_at(context.inputs * first.outputs);
        let bias = Init::Bias(&first.bias);
        let shared = dense_forward(context, x, context_weights, bias, Activation::Identity).output;
        let init = Init::Context { values: &shared, candidates };
        let mut layers = vec![dense_forward(action, y, action_weights, init, first.activation)];
        for layer in &self.layers[1..] {
            let h = output_of(&layers);
            let init = Init::Bias(&layer.bias);
            let next = dense_forward(layer.shape(rows), h, &layer.weights, init, layer.activation);
            layers.push(next);
        }
        CandidateTrace { contexts, candidates, x: x.to_vec(), y: y.to_vec(), shared, layers }
    }

    /// Gradient of the broadcast form; `output_gradient: [contexts, candidates, outputs]`.
    pub fn backward_candidates(&self, trace: &CandidateTrace, output_gradient: &[f64]) -> CandidateGradient {
        let CandidateTrace { contexts, candidates, .. } = *trace;
        let first = &self.layers[0];
        let rows = contexts * candidates;
        let (mut layers, dz) = self.backward_above_first(&trace.layers, output_gradient, rows);
        let (context, action) = first_halves(first, trace.x.len() / contexts, contexts, rows);
        let (context_weights, action_weights) = first.weights.split_at(context.inputs * first.outputs);
        let shared = sum_candidates(&dz, contexts, candidates, first.outputs).value;
        let mut gradient = whole_batch(context, &trace.x, &shared);
        gradient.weights.extend(whole_batch(action, &trace.y, &dz).weights);
        layers.insert(0, gradient);
        CandidateGradient {
            layers,
            x: dense_input_gradient(context, &shared, context_weights, None).value,
            y: dense_input_gradient(action, &dz, action_weights, None).value,
        }
    }

    /// Gradients of all layers but the first, and the gradient of the first layer's sums.
    fn backward_above_first(
        &self,
        trace: &[DenseForward],
        output_gradient: &[f64],
        rows: usize,
    ) -> (Vec<LayerGradient>, Vec<f64>) {
        let top = &trace[trace.len() - 1];
        assert_eq!(
            output_gradient.len(),
            top.output.len(),
            "`output_gradient` has the shape of the network's output"
        );
        let mut dz: Vec<f64> = output_gradient
            .iter()
            .zip(&top.slope)
            .map(|(output_gradient, slope)| output_gradient * slope)
            .collect();
        let mut gradients = Vec::new();
        for (layer, below) in self.layers[1..].iter().zip(trace).rev() {
            gradients.push(whole_batch(layer.shape(rows), &below.output, &dz));
            dz = dense_input_gradient(layer.shape(rows), &dz, &layer.weights, Some(&below.slope)).value;
        }
        gradients.reverse();
        (gradients, dz)
    }
}

/// Gradients in the order of [`Mlp::parameters`].
pub fn flatten(layers: &[LayerGradient]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).copied().collect()
}

fn first_halves(first: &Layer, context: usize, contexts: usize, rows: usize) -> (DenseShape, DenseShape) {
    assert!(
        context <= first.inputs,
        "a context of {context} numbers, the first layer takes {}",
        first.inputs
    );
    let outputs = first.outputs;
    (
        DenseShape { rows: contexts, inputs: context, outputs },
        DenseShape { rows, inputs: first.inputs - context, outputs },
    )
}

fn whole_batch(shape: DenseShape, h: &[f64], dz: &[f64]) -> LayerGradient {
    let everything = 0..shape.rows;
    let parts = dense_weight_gradient(shape, h, dz, std::slice::from_ref(&everything));
    LayerGradient { weights: parts.weights.value, bias: parts.bias.value }
}
