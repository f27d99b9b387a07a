//! Where the parameters of a network lie in its flat buffers.

use super::graph::{Node, Op};
use crate::gpu::pad4;
use crate::nn::{Input, Network};
use crate::{Error, Result};

/// How a slice's values begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Drawn from `U(-b, b)`, `b = 1 / sqrt(fan_in)`.
    Uniform,
    /// All the same.
    Constant(f32),
}

/// One weight matrix or vector within a flat parameter buffer: `rows` x `columns`, rows `stride`
/// elements apart, padded with zeros to whole `vec4`s in both directions (a bias or gain only along
/// its row).
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSlice {
    /// Its name, as in checkpoints: `layers.1.weight`, `layers.2.0.bias`, `layers.3.gain`,
    /// `inputs.time.layers.0.weight`.
    pub name: String,
    /// First element in the flat buffer, a multiple of 4.
    pub offset: usize,
    /// Inputs of a weight matrix; 1 for a bias or gain.
    pub rows: usize,
    /// Outputs of the layer.
    pub columns: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Inputs of the layer, for the scale of initial values.
    pub fan_in: usize,
    /// How its values begin.
    pub initial: Initial,
}

/// Where the parameters of a network lie in its flat buffers: values, gradient, moments and average
/// all share it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    /// The slices in order.
    pub slices: Vec<ParameterSlice>,
    /// Elements of the flat buffer, padding included; a multiple of 4.
    pub len: usize,
}

impl ParameterLayout {
    /// A weight matrix of `fan_in` inputs in all, of which it holds `rows`.
    pub(in crate::nn) fn push_weight(&mut self, name: String, rows: usize, columns: usize, fan_in: usize) {
        self.push(ParameterSlice { name, rows, fan_in, ..self.row(columns, Initial::Uniform) }, pad4(rows));
    }

    /// The bias of a layer of `fan_in` inputs.
    pub(in crate::nn) fn push_bias(&mut self, name: String, columns: usize, fan_in: usize) {
        self.push(ParameterSlice { name, fan_in, ..self.row(columns, Initial::Uniform) }, 1);
    }

    /// A row that begins with one value throughout.
    pub(in crate::nn) fn push_constant(&mut self, name: String, columns: usize, value: f32) {
        self.push(ParameterSlice { name, ..self.row(columns, Initial::Constant(value)) }, 1);
    }

    /// The parameters of a node that takes one tensor.
    fn push_node(&mut self, node: &Node) {
        let path = &node.path;
        match node.op {
            Op::Dense => {
                self.push_weight(format!("{path}.weight"), node.inputs, node.width, node.inputs);
                self.push_bias(format!("{path}.bias"), node.width, node.inputs);
            }
            Op::Norm { .. } => {
                self.push_constant(format!("{path}.gain"), node.width, 1.0);
                self.push_constant(format!("{path}.bias"), node.width, 0.0);
            }
            Op::Activate | Op::Add => {}
        }
    }

    fn row(&self, columns: usize, initial: Initial) -> ParameterSlice {
        let stride = pad4(columns);
        ParameterSlice {
            name: String::new(),
            offset: self.len,
            rows: 1,
            columns,
            stride,
            fan_in: columns,
            initial,
        }
    }

    fn push(&mut self, slice: ParameterSlice, padded_rows: usize) {
        self.len += slice.stride * padded_rows;
        self.slices.push(slice);
    }

    /// The slice of a name.
    pub fn slice(&self, name: &str) -> Option<&ParameterSlice> {
        self.slices.iter().find(|slice| slice.name == name)
    }

    /// Copies a slice's matrix out of a flat buffer, without padding, row by row.
    pub fn extract(&self, slice: &ParameterSlice, flat: &[f32]) -> Vec<f32> {
        (0..slice.rows)
            .flat_map(|row| &flat[slice.offset + row * slice.stride..][..slice.columns])
            .copied()
            .collect()
    }

    /// Copies an unpadded matrix into a flat buffer.
    pub fn insert(&self, slice: &ParameterSlice, matrix: &[f32], flat: &mut [f32]) {
        for (row, values) in matrix.chunks_exact(slice.columns).enumerate() {
            flat[slice.offset + row * slice.stride..][..slice.columns].copy_from_slice(values);
        }
    }
}

impl ParameterLayout {
    /// Checks that a flat buffer has the layout's length and finite values.
    pub(crate) fn check_flat(&self, operation: &str, flat: &[f32]) -> Result<()> {
        if flat.len() != self.len {
            let hint = "give all parameters in the network's layout, padding included";
            return Err(Error::shape(
                operation,
                "parameters",
                format!("[{}]", flat.len()),
                format!("[{}]", self.len),
                hint,
            ));
        }
        match flat.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let problem = format!("hold {} at element {at}", flat[at]);
                Err(Error::argument(operation, "the parameters", problem))
            }
            None => Ok(()),
        }
    }
}

impl Network {
    /// Where each parameter lies: the layers of the inputs in their order, then the network's own;
    /// layer after layer, weights before biases, gains before biases.
    pub fn layout(&self) -> ParameterLayout {
        let mut layout = ParameterLayout { slices: Vec::new(), len: 0 };
        for node in self.inputs.iter().flat_map(Input::nodes) {
            layout.push_node(&node);
        }
        for (index, node) in self.nodes().into_iter().enumerate() {
            let path = &node.path;
            if index > 0 || node.op != Op::Dense {
                layout.push_node(&node);
                continue;
            }
            for input in &self.inputs {
                let name = format!("{path}.weight.{}", input.name);
                layout.push_weight(name, input.embedded_width(), node.width, node.inputs);
            }
            layout.push_bias(format!("{path}.bias"), node.width, node.inputs);
        }
        layout
    }
}
