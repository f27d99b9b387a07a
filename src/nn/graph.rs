//! The layers of a network flattened into a chain with skips: one node per dispatch of a forward pass.

use super::{Activation, Layer, Network};

/// What a node does to the output of the node in front of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    /// Affine map, activation; of the first node over all inputs.
    Dense,
    /// Layer norm, activation.
    Norm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Activation alone.
    Activate,
    /// Nothing but the sum with the skip.
    Add,
}

/// One node. Its output is `act(op(h)) + skip`, where one with a skip has no activation.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub op: Op,
    pub activation: Activation,
    /// Path of its layer, the first part of its parameters' names: `layers.2.0`.
    pub path: String,
    /// Width of the rows that go in.
    pub inputs: usize,
    /// Width of the rows that come out.
    pub width: usize,
    /// The node whose output is added.
    pub skip: Option<usize>,
}

impl Node {
    fn is_open(&self) -> bool {
        self.activation == Activation::Identity && self.skip.is_none()
    }
}

struct Builder {
    nodes: Vec<Node>,
    width: usize,
    /// Nodes whose output a residual block takes: what follows cannot join them.
    fixed: usize,
}

impl Builder {
    fn push(&mut self, op: Op, activation: Activation, path: String, width: usize, skip: Option<usize>) {
        self.nodes.push(Node { op, activation, path, inputs: self.width, width, skip });
        self.width = width;
    }

    /// The last node, if its output is still to be had.
    fn open(&mut self) -> Option<&mut Node> {
        let free = self.nodes.len() > self.fixed;
        self.nodes.last_mut().filter(|node| free && node.is_open())
    }

    fn append(&mut self, layers: &[Layer], path: &str, depth: usize) {
        for (index, layer) in layers.iter().enumerate() {
            let path = format!("{path}.{index}");
            match layer {
                Layer::Dense(dense) => self.push(Op::Dense, dense.activation, path, dense.outputs, None),
                Layer::Norm(norm) => {
                    let op = Op::Norm { epsilon: norm.epsilon };
                    self.push(op, Activation::Identity, path, self.width, None);
                }
                Layer::Activate(Activation::Identity) => {}
                Layer::Activate(activation) => match self.open() {
                    Some(node) => node.activation = *activation,
                    None => self.push(Op::Activate, *activation, path, self.width, None),
                },
                Layer::Residual(inner) if depth < Layer::MAX_DEPTH && !self.nodes.is_empty() => {
                    let from = self.nodes.len() - 1;
                    self.fixed = self.nodes.len();
                    self.append(inner, &path, depth + 1);
                    match self.open() {
                        Some(node) if node.op == Op::Dense => node.skip = Some(from),
                        _ => self.push(Op::Add, Activation::Identity, path, self.width, Some(from)),
                    }
                }
                // Too deep, or the first layer: `Network::check` refuses it.
                Layer::Residual(_) => {}
            }
        }
    }
}

impl Network {
    /// The nodes in order; the first is the first layer.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let mut builder = Builder { nodes: Vec::new(), width: self.input_width(), fixed: 0 };
        builder.append(&self.layers, "layers", 0);
        builder.nodes
    }
}
