//! Forward passes of whole networks.

use super::activate_rows;
use super::dense_forward::{DenseForward, Start};
use super::dense_input_gradient::Onward;
use super::graph::{Node, Op};
use super::layer_norm::LayerNormForward;
use super::{
    Activation, Network, ParameterLayout, Slice, add_residual, dense_forward, layer_norm, pack_inputs,
};
use crate::gpu::{Recording, Shape, Value};
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
    pub(super) keep: Keep,
    /// For each input: its caller's shape and its packed rows.
    pub(super) inputs: Vec<(Shape, Value)>,
    /// What each node of the network did.
    pub(super) nodes: Vec<Node>,
    /// What each node left.
    pub(super) left: Vec<Left>,
    pub(super) rows: usize,
}

/// What a node leaves for others and for the backward pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub output: Value,
    /// Slope of its activation.
    pub slope: Option<Value>,
    /// Moments of a norm.
    pub moments: Option<Value>,
}

pub(super) fn slice<'a>(layout: &'a ParameterLayout, path: &str, name: &str) -> Result<&'a Slice> {
    let name = format!("{path}.{name}");
    layout.slice(&name).ok_or_else(|| {
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
        let nodes = self.nodes();
        let mut left: Vec<Left> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let slope = keep == Keep::Slopes && node.activation != Activation::Identity;
            let h = left.last().map(|left| left.output);
            let skip = node.skip.map(|from| left[from].output);
            let next = match (node.op, h) {
                (Op::Dense, None) => self.record_first(recording, parameters, &packed, node, slope)?,
                (Op::Dense, Some(h)) => {
                    let bias = slice(&layout, &node.path, "bias")?;
                    let spec = DenseForward {
                        parameters,
                        weight: slice(&layout, &node.path, "weight")?,
                        start: skip.map_or(Start::Bias(bias), |skip| Start::Residual(bias, skip)),
                        activation: node.activation,
                        keep_slope: slope,
                    };
                    dense_forward::record(recording, h, &spec)?.into()
                }
                (Op::Norm { epsilon }, Some(h)) => {
                    let spec = LayerNormForward {
                        parameters,
                        gain: slice(&layout, &node.path, "gain")?,
                        bias: slice(&layout, &node.path, "bias")?,
                        epsilon,
                        activation: node.activation,
                        keep_slope: slope,
                    };
                    let written = layer_norm::record(recording, h, &spec)?;
                    Left { output: written.output, slope: written.slope, moments: Some(written.moments) }
                }
                (Op::Activate, Some(h)) => {
                    activate_rows::record(recording, h, node.activation, slope)?.into()
                }
                (Op::Add, Some(h)) => {
                    let output = add_residual::record(recording, h, Onward { slope: None, skip })?;
                    Left { output, slope: None, moments: None }
                }
                (_, None) => {
                    return Err(Error::argument("forward", format!("node {index}"), "has no input"));
                }
            };
            left.push(next);
        }
        let Some(last) = left.last() else {
            return Err(Error::argument("forward", "the network", "has no layer"));
        };
        Ok(Forward { output: last.output, keep, inputs: packed, nodes, left, rows })
    }

    /// The first layer: shared inputs come first, and each later input starts from the sums of the one before.
    fn record_first(
        &self,
        recording: &mut Recording,
        parameters: Value,
        packed: &[(Shape, Value)],
        node: &Node,
        slope: bool,
    ) -> Result<Left> {
        let layout = self.layout();
        let order = self.input_order(packed);
        let mut start = Start::Bias(slice(&layout, &node.path, "bias")?);
        let mut last = None;
        for (at, &index) in order.iter().enumerate() {
            let weight = slice(&layout, &node.path, &format!("weight.{}", self.inputs[index].name))?;
            let complete = at + 1 == order.len();
            let activation = match complete {
                true => node.activation,
                false => Activation::Identity,
            };
            let keep_slope = complete && slope;
            let layer = DenseForward { parameters, weight, start, activation, keep_slope };
            let written = dense_forward::record(recording, packed[index].1, &layer)?;
            start = Start::Context(written.output);
            last = Some(written.into());
        }
        last.ok_or_else(|| Error::argument("forward", "the network", "has no input"))
    }

    /// Indices of the inputs, those with the fewest rows first.
    pub(super) fn input_order(&self, packed: &[(Shape, Value)]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..packed.len()).collect();
        order.sort_by_key(|&index| packed[index].0.rows());
        order
    }
}

impl From<dense_forward::DenseOutput> for Left {
    fn from(written: dense_forward::DenseOutput) -> Self {
        Left { output: written.output, slope: written.slope, moments: None }
    }
}
