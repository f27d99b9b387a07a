//! Gradients on their way back through a chain of nodes, those of a network or those of an input.

use super::dense_input_gradient::Onward;
use super::forward::{Forward, Pass};
use super::forward_node::{Left, slice};
use super::graph::{Node, Op};
use super::layer_norm_gradient::Normalised;
use super::{
    ParameterLayout, Slice, add_residual, dense_input_gradient, dense_weight_gradient, layer_norm_gradient,
    layer_norm_weight_gradient,
};
use crate::Result;
use crate::gpu::{Recording, Value};

/// A gradient on its way down, recorded when its value is needed: slopes and skips that it meets until then join the kernel
/// that computes it.
pub(super) struct Pending<'a> {
    source: Source<'a>,
    onward: Onward,
}

enum Source<'a> {
    /// It is there.
    Ready(Value),
    /// Behind a dense layer of this weight with this gradient at its sums.
    Dense(Value, &'a Slice),
    /// Behind a norm of this gain with this gradient at its affine output.
    Norm(Value, &'a Slice, Normalised),
}

impl<'a> Pending<'a> {
    /// A gradient that is there.
    pub(super) fn at(gradient: Value) -> Self {
        Self { source: Source::Ready(gradient), onward: Onward::default() }
    }

    /// The one at what a dense layer of this weight took, from that at its sums.
    pub(super) fn behind(dz: Value, weight: &'a Slice) -> Self {
        Self { source: Source::Dense(dz, weight), onward: Onward::default() }
    }
}

/// Layers that a gradient goes back through, with what they read and left.
pub(super) struct Steps<'a> {
    pub nodes: &'a [Node],
    /// What goes into the first node, if that is one tensor.
    pub input: Option<Value>,
    pub left: &'a [Left],
}

impl Steps<'_> {
    /// What went into a node.
    fn h(&self, index: usize) -> Option<Value> {
        match index.checked_sub(1) {
            Some(below) => Some(self.left[below].output),
            None => self.input,
        }
    }

    /// What a norm's gradients need; nothing for other nodes.
    fn normalised(&self, index: usize) -> Option<Normalised> {
        let moments = self.left[index].moments?;
        Some(Normalised { h: self.h(index)?, moments })
    }

    /// Records the gradients of the parameters of all nodes that take one tensor, from those in front of their activations.
    pub(super) fn record_weights(
        &self,
        recording: &mut Recording,
        layout: &ParameterLayout,
        chain: &[Option<Value>],
        partials: Value,
    ) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let (Some(dz), Some(h)) = (chain[index], self.h(index)) else { continue };
            let bias = slice(layout, &node.path, "bias")?;
            match self.normalised(index) {
                Some(normalised) => {
                    let gain = slice(layout, &node.path, "gain")?;
                    let slices = (gain, bias);
                    layer_norm_weight_gradient::record(recording, dz, normalised, slices, partials)?;
                }
                None => {
                    let weight = slice(layout, &node.path, "weight")?;
                    dense_weight_gradient::record(recording, h, dz, weight, Some(bias), partials)?;
                }
            }
        }
        Ok(())
    }
}

/// What recording a pending gradient takes.
pub(super) struct Walk<'a> {
    pub recording: &'a mut Recording,
    pub parameters: Value,
    pub layout: &'a ParameterLayout,
}

impl<'a> Walk<'a> {
    /// The value of a gradient, which it then stands for.
    pub(super) fn settle(&mut self, pending: &mut Pending<'a>) -> Result<Value> {
        let onward = std::mem::take(&mut pending.onward);
        let value = match pending.source {
            Source::Ready(value) if onward.slope.is_none() && onward.skip.is_none() => value,
            Source::Ready(value) => add_residual::record(self.recording, value, onward)?,
            Source::Dense(dz, weight) => {
                dense_input_gradient::record(self.recording, dz, self.parameters, weight, onward)?
            }
            Source::Norm(dz, gain, normalised) => {
                layer_norm_gradient::record(self.recording, dz, normalised, self.parameters, gain, onward)?
            }
        };
        pending.source = Source::Ready(value);
        Ok(value)
    }

    fn multiply(&mut self, pending: &mut Pending<'a>, slope: Value) -> Result<()> {
        if pending.onward.slope.is_some() || pending.onward.skip.is_some() {
            self.settle(pending)?;
        }
        pending.onward.slope = Some(slope);
        Ok(())
    }

    fn add(&mut self, pending: &mut Pending<'a>, skip: Value) -> Result<()> {
        if pending.onward.skip.is_some() {
            self.settle(pending)?;
        }
        pending.onward.skip = Some(skip);
        Ok(())
    }

    /// Records the chain of gradients down to what went into the first node, where it is pending, unless that takes several
    /// tensors. Entry `i` of the list is the gradient in front of node `i`'s activation, for nodes with parameters.
    pub(super) fn descend(
        &mut self,
        steps: &Steps<'_>,
        mut pending: Pending<'a>,
    ) -> Result<(Vec<Option<Value>>, Pending<'a>)> {
        let mut chain = vec![None; steps.nodes.len()];
        // Gradients that residual blocks pass on, by the node whose input takes them.
        let mut skips: Vec<Vec<Value>> = vec![Vec::new(); steps.nodes.len()];
        for (index, node) in steps.nodes.iter().enumerate().rev() {
            if let Some(from) = node.skip {
                let value = self.settle(&mut pending)?;
                skips[from].push(value);
            }
            if let Some(slope) = steps.left[index].slope {
                self.multiply(&mut pending, slope)?;
            }
            if let Op::Dense | Op::Norm { .. } = node.op {
                let dz = self.settle(&mut pending)?;
                chain[index] = Some(dz);
                pending.source = match steps.normalised(index) {
                    _ if steps.h(index).is_none() => Source::Ready(dz),
                    Some(normalised) => Source::Norm(dz, slice(self.layout, &node.path, "gain")?, normalised),
                    None => Source::Dense(dz, slice(self.layout, &node.path, "weight")?),
                };
            }
            for skip in std::mem::take(&mut skips[index]) {
                self.add(&mut pending, skip)?;
            }
        }
        Ok((chain, pending))
    }
}

impl Pass {
    /// The network's own layers over these rows.
    pub(super) fn steps<'a>(&'a self, forward: &'a Forward) -> Steps<'a> {
        Steps { nodes: &forward.nodes, input: None, left: &self.left }
    }
}
