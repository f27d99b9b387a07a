//! Layers flattened into a chain with skips: one node per dispatch of a forward pass.

use super::input::Input;
use super::layer::{Activation, Layer};

/// What a node does to the output of the node in front of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::nn) enum Op {
    /// Normalizer map, activation; of a network's first node over all inputs.
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
pub(in crate::nn) struct Node {
    pub op: Op,
    pub activation: Activation,
    /// Path of its layer, the first part of its parameters' names: `layers.2.0`.
    pub path: String,
    /// Width of the rows that go in.
    pub inputs: usize,
    /// Width of the rows that come out.
    pub width: usize,
    /// What is added: the rows that went into the node of this index, or came out of the last one.
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
    /// Nodes up to where a residual block begins: what follows cannot join them.
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
                Layer::Residual(inner) if depth < Layer::MAX_DEPTH => {
                    let from = self.nodes.len();
                    self.fixed = from;
                    self.append(inner, &path, depth + 1);
                    match self.open() {
                        Some(node) if node.op == Op::Dense => node.skip = Some(from),
                        _ => self.push(Op::Add, Activation::Identity, path, self.width, Some(from)),
                    }
                }
                // Too deep: `Network::check` refuses it.
                Layer::Residual(_) => {}
            }
        }
    }
}

pub(super) fn nodes_of(layers: &[Layer], path: &str, width: usize) -> Vec<Node> {
    let mut builder = Builder { nodes: Vec::new(), width, fixed: 0 };
    builder.append(layers, path, 0);
    builder.nodes
}

impl Input {
    /// The nodes of its own layers, in order.
    pub(in crate::nn) fn nodes(&self) -> Vec<Node> {
        nodes_of(&self.layers, &self.path(), self.encoded_width())
    }
}
