//! Forward and backward passes of whole networks.

use super::dense_forward::{DenseForward, Start};
use super::{
    Network, ParameterLayout, Slice, dense_forward, dense_input_gradient, dense_weight_gradient, pack_inputs,
    reduce_partials, sum_candidates, unpack_gradient,
};
use crate::gpu::{DType, Recording, Shape, Value};
use crate::{Error, Result};

/// Whether a forward pass keeps what a backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only the output.
    Output,
    /// The slopes of all activations too.
    Slopes,
}

/// A recorded forward pass.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Packed `[rows, outputs]`.
    pub output: Value,
    /// For each input: its caller's shape and its packed rows.
    inputs: Vec<(Shape, Value)>,
    /// Outputs of the layers but the last.
    hidden: Vec<Value>,
    slopes: Vec<Option<Value>>,
    rows: usize,
}

/// Bytes of partial gradients that a backward pass may take.
const PARTIAL_BYTES: usize = 64 << 20;
/// Rows per partial sum, about: fewer cost more memory traffic, more leave cores idle.
const ROWS_PER_SPLIT: usize = 256;
/// Most rows of one partial sum: lavapipe ends an invocation's loops after 65535 rounds in all, silently.
const MAX_ROWS_PER_SPLIT: usize = 32_768;
/// Partial sums wanted at most.
const MAX_SPLITS: usize = 32;

fn slice<'a>(layout: &'a ParameterLayout, name: &str) -> Result<&'a Slice> {
    layout.slice(name).ok_or_else(|| {
        Error::argument("network", format!("slice `{name}`"), "is not in the parameter layout")
    })
}

impl Network {
    /// Records the forward pass. Inputs come in any order by name, each `[.., width]` in data units; an input with fewer
    /// rows than the others is shared by equal runs of their rows (a context by its candidates) and multiplied once.
    ///
    /// # Errors
    /// [`Error::Argument`] for a missing or unknown input; [`Error::Shape`] if rows or widths do not fit.
    pub fn record_forward(
        &self,
        recording: &mut Recording,
        parameters: Value,
        inputs: &[(&str, Value)],
        keep: Keep,
    ) -> Result<Forward> {
        self.check()?;
        let layout = self.layout();
        for (name, _) in inputs {
            if !self.inputs.iter().any(|input| input.name == *name) {
                return Err(Error::argument(
                    "forward",
                    format!("input `{name}`"),
                    "is not one of the network's",
                ));
            }
        }
        let mut packed = Vec::new();
        for input in &self.inputs {
            let Some((_, value)) = inputs.iter().find(|(name, _)| *name == input.name) else {
                return Err(Error::argument("forward", format!("input `{}`", input.name), "was not given"));
            };
            let shape = recording.shape(*value)?.clone();
            packed.push((shape, pack_inputs::record(recording, *value, &input.affine)?));
        }
        let rows = packed.iter().map(|(shape, _)| shape.rows()).max().unwrap_or(0);
        for ((shape, _), input) in packed.iter().zip(&self.inputs) {
            if shape.rows() == 0 || rows % shape.rows() != 0 {
                let expected = format!("a divisor of {rows} rows, at least 1");
                let hint = "each shared row serves the same number of rows";
                return Err(Error::shape("forward", &input.name, shape, expected, hint));
            }
        }
        let slopes_wanted = keep == Keep::Slopes;
        // Shared inputs first: each later input starts from the sums of the one before.
        let order = self.input_order(&packed);
        let bias = slice(&layout, "layers.0.bias")?;
        let mut start = Start::Bias(bias);
        let mut last = None;
        for (at, &index) in order.iter().enumerate() {
            let weight = slice(&layout, &format!("layers.0.weight.{}", self.inputs[index].name))?;
            let complete = at + 1 == order.len();
            let activation = match complete {
                true => self.layers[0].activation,
                false => super::Activation::Identity,
            };
            let keep_slope = complete && slopes_wanted && self.layers.len() > 1;
            let layer = DenseForward { parameters, weight, start, activation, keep_slope };
            let written = dense_forward::record(recording, packed[index].1, &layer)?;
            start = Start::Context(written.output);
            last = Some(written);
        }
        let Some(mut current) = last else {
            return Err(Error::argument("forward", "the network", "has no input"));
        };
        let mut hidden = Vec::new();
        let mut slopes = Vec::new();
        for (index, layer) in self.layers.iter().enumerate().skip(1) {
            hidden.push(current.output);
            slopes.push(current.slope);
            let spec = DenseForward {
                parameters,
                weight: slice(&layout, &format!("layers.{index}.weight"))?,
                start: Start::Bias(slice(&layout, &format!("layers.{index}.bias"))?),
                activation: layer.activation,
                keep_slope: slopes_wanted && index + 1 < self.layers.len(),
            };
            current = dense_forward::record(recording, current.output, &spec)?;
        }
        Ok(Forward { output: current.output, inputs: packed, hidden, slopes, rows })
    }

    /// Indices of the inputs, those with the fewest rows first.
    fn input_order(&self, packed: &[(Shape, Value)]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..packed.len()).collect();
        order.sort_by_key(|&index| packed[index].0.rows());
        order
    }

    /// Records the chain of input gradients from the output down to the pre-activations of the first layer; entry `l` is
    /// the gradient at layer `l`'s pre-activations.
    fn record_chain(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        seed: Value,
    ) -> Result<Vec<Value>> {
        recording.expect_shape("backward", seed, Shape::packed(forward.rows, self.outputs()))?;
        let layout = self.layout();
        let mut chain = vec![seed];
        let mut dz = seed;
        for index in (1..self.layers.len()).rev() {
            let weight = slice(&layout, &format!("layers.{index}.weight"))?;
            let Some(slope) = forward.slopes[index - 1] else {
                return Err(Error::argument("backward", "the forward pass", "was recorded without slopes"));
            };
            dz = dense_input_gradient::record(recording, dz, parameters, weight, Some(slope))?;
            chain.push(dz);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Records the backward pass to the parameters: `[parameters]` in the network's layout, overwritten.
    ///
    /// * `seed`: packed `[rows, outputs]`, the gradient at the network's output.
    ///
    /// # Errors
    /// [`Error::Argument`] if the forward pass kept no slopes; [`Error::Shape`].
    pub fn record_parameter_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        seed: Value,
    ) -> Result<Value> {
        let layout = self.layout();
        let chain = self.record_chain(recording, parameters, forward, seed)?;
        let by_memory = (PARTIAL_BYTES / (4 * layout.len)).max(1);
        let wanted = forward.rows.div_ceil(ROWS_PER_SPLIT).min(MAX_SPLITS);
        let splits = wanted.min(by_memory).max(forward.rows.div_ceil(MAX_ROWS_PER_SPLIT));
        let partials = recording.scratch("partials", DType::F32, [splits, layout.len]);
        for index in (1..self.layers.len()).rev() {
            let weight = slice(&layout, &format!("layers.{index}.weight"))?;
            let bias = slice(&layout, &format!("layers.{index}.bias"))?;
            let h = forward.hidden[index - 1];
            dense_weight_gradient::record(recording, h, chain[index], weight, Some(bias), partials)?;
        }
        // The input with the fewest rows takes the bias along: its sums over candidates are already there.
        let bias = slice(&layout, "layers.0.bias")?;
        for (at, index) in self.input_order(&forward.inputs).into_iter().enumerate() {
            let weight = slice(&layout, &format!("layers.0.weight.{}", self.inputs[index].name))?;
            let (shape, packed) = &forward.inputs[index];
            let dz = match shape.rows() == forward.rows {
                true => chain[0],
                false => sum_candidates::record(recording, chain[0], shape.rows())?,
            };
            let bias = (at == 0).then_some(bias);
            dense_weight_gradient::record(recording, *packed, dz, weight, bias, partials)?;
        }
        reduce_partials::record(recording, partials)
    }

    /// Records the backward pass to one input alone: the gradient in 1 / data units, in the shape the input was given.
    ///
    /// * `seed`: packed `[rows, outputs]`, the gradient at the network's output.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown input or if the forward pass kept no slopes; [`Error::Shape`].
    pub fn record_input_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        seed: Value,
        input: &str,
    ) -> Result<Value> {
        let Some(index) = self.inputs.iter().position(|known| known.name == input) else {
            return Err(Error::argument(
                "backward",
                format!("input `{input}`"),
                "is not one of the network's",
            ));
        };
        let layout = self.layout();
        let chain = self.record_chain(recording, parameters, forward, seed)?;
        let (shape, _) = &forward.inputs[index];
        let dz = match shape.rows() == forward.rows {
            true => chain[0],
            false => sum_candidates::record(recording, chain[0], shape.rows())?,
        };
        let weight = slice(&layout, &format!("layers.0.weight.{input}"))?;
        let gradient = dense_input_gradient::record(recording, dz, parameters, weight, None)?;
        unpack_gradient::record(recording, gradient, &self.inputs[index].affine, shape.clone())
    }
}
