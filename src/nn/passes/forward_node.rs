//! Nodes of a forward pass, and the layers of an input, which are nodes that each take one tensor.

use super::activate_rows;
use super::keep::Keep;
use super::layer_norm::LayerNormForward;
use super::{add_residual, layer_norm};
use crate::gpu::{Recording, Value};
use crate::nn::dense;
use crate::nn::dense::dense_forward::{DenseForward, DenseOutput, Start};
use crate::nn::dense::dense_input_gradient::Epilogue;
use crate::nn::network::graph::{Node, Op};
use crate::nn::network::{Activation, Input, Network, ParameterLayout, ParameterSlice};
use crate::{Error, Result};

/// What a node leaves for others and for the backward pass.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct NodeOutputs {
    pub output: Value,
    /// Slope of its activation.
    pub slope: Option<Value>,
    /// Moments of a norm.
    pub moments: Option<Value>,
}

pub(in crate::nn) fn slice<'a>(
    layout: &'a ParameterLayout,
    path: &str,
    name: &str,
) -> Result<&'a ParameterSlice> {
    let name = format!("{path}.{name}");
    layout.slice(&name).ok_or_else(|| {
        Error::argument("network", format!("slice `{name}`"), "is not in the parameter layout")
    })
}

impl Network {
    /// Records an input's own layers over its encoded rows.
    pub(in crate::nn) fn record_embedding(
        &self,
        recording: &mut Recording,
        parameters: Value,
        input: &Input,
        encoded: Value,
        keep: Keep,
    ) -> Result<Vec<NodeOutputs>> {
        let mut node_outputs = Vec::new();
        if input.layers.is_empty() {
            return Ok(node_outputs);
        }
        let (layout, mut rows) = (self.layout(), vec![encoded]);
        for node in input.nodes() {
            let h = *rows.last().unwrap_or(&encoded);
            let slope = keep == Keep::Slopes && node.activation != Activation::Identity;
            let io = NodeIo { parameters, h, skip: node.skip.map(|from| rows[from]), slope, into: None };
            let next = record_node(recording, &layout, &node, &io)?;
            rows.push(next.output);
            node_outputs.push(next);
        }
        Ok(node_outputs)
    }
}

/// What a node reads and writes.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct NodeIo {
    pub parameters: Value,
    /// Its rows.
    pub h: Value,
    /// What is added behind it.
    pub skip: Option<Value>,
    /// Whether a backward pass will need the slope of its activation.
    pub slope: bool,
    /// Where a dense layer writes to, if not to memory of its own.
    pub into: Option<Value>,
}

/// Records a node that takes one tensor.
pub(in crate::nn) fn record_node(
    recording: &mut Recording,
    layout: &ParameterLayout,
    node: &Node,
    io: &NodeIo,
) -> Result<NodeOutputs> {
    let &NodeIo { parameters, h, skip, slope, into } = io;
    match node.op {
        Op::Dense => {
            let bias = slice(layout, &node.path, "bias")?;
            let spec = DenseForward {
                parameters,
                weight: slice(layout, &node.path, "weight")?,
                start: skip.map_or(Start::Bias(bias), |skip| Start::Residual(bias, skip)),
                activation: node.activation,
                keep_slope: slope,
            };
            Ok(record_dense(recording, h, &spec, into)?.into())
        }
        Op::Norm { epsilon } => {
            let spec = LayerNormForward {
                parameters,
                gain: slice(layout, &node.path, "gain")?,
                bias: slice(layout, &node.path, "bias")?,
                epsilon,
                activation: node.activation,
                keep_slope: slope,
            };
            let written = layer_norm::record(recording, h, &spec)?;
            Ok(NodeOutputs { output: written.output, slope: written.slope, moments: Some(written.moments) })
        }
        Op::Activate => Ok(activate_rows::record(recording, h, node.activation, slope)?.into()),
        Op::Add => {
            let output = add_residual::record(recording, h, Epilogue { slope: None, skip })?;
            Ok(NodeOutputs { output, slope: None, moments: None })
        }
    }
}

pub(in crate::nn) fn record_dense(
    recording: &mut Recording,
    h: Value,
    layer: &DenseForward<'_>,
    into: Option<Value>,
) -> Result<DenseOutput> {
    match into {
        Some(output) => dense::record_forward_into(recording, h, layer, output),
        None => dense::record_forward(recording, h, layer),
    }
}

impl From<DenseOutput> for NodeOutputs {
    fn from(written: DenseOutput) -> Self {
        NodeOutputs { output: written.output, slope: written.slope, moments: None }
    }
}
