//! Gradients on their way back through a chain of nodes, those of a network or those of an input.

use super::forward::{Forward, Pass};
use super::forward_node::{NodeOutputs, slice};
use super::layer_norm_gradient::Normalized;
use super::{add_residual, layer_norm_gradient, layer_norm_weight_gradient};
use crate::Result;
use crate::gpu::{Recording, Value};
use crate::nn::dense;
use crate::nn::dense::dense_input_gradient::Epilogue;
use crate::nn::network::graph::{Node, Op};
use crate::nn::{ParameterLayout, ParameterSlice};

/// A gradient on its way down, recorded when its value is needed: slopes and skips that it meets
/// until then join the kernel that computes it.
pub(in crate::nn) struct Pending<'a> {
    source: Source<'a>,
    epilogue: Epilogue,
}

enum Source<'a> {
    /// It is there.
    Ready(Value),
    /// Behind a dense layer of this weight with this gradient at its sums.
    Dense(Value, &'a ParameterSlice),
    /// Behind a norm of this gain with this gradient at its affine output.
    Norm(Value, &'a ParameterSlice, Normalized),
}

impl<'a> Pending<'a> {
    /// A gradient that is there.
    pub(in crate::nn) fn at(gradient: Value) -> Self {
        Self { source: Source::Ready(gradient), epilogue: Epilogue::default() }
    }

    /// The one at what a dense layer of this weight took, from that at its sums.
    pub(in crate::nn) fn behind(dz: Value, weight: &'a ParameterSlice) -> Self {
        Self { source: Source::Dense(dz, weight), epilogue: Epilogue::default() }
    }
}

/// Layers that a gradient goes back through, with what they read and left.
pub(in crate::nn) struct Steps<'a> {
    pub nodes: &'a [Node],
    /// What goes into the first node, if that is one tensor.
    pub input: Option<Value>,
    pub node_outputs: &'a [NodeOutputs],
}

impl Steps<'_> {
    /// What went into a node.
    fn h(&self, index: usize) -> Option<Value> {
        match index.checked_sub(1) {
            Some(below) => Some(self.node_outputs[below].output),
            None => self.input,
        }
    }

    /// What a norm's gradients need; nothing for other nodes.
    fn normalized(&self, index: usize) -> Option<Normalized> {
        let moments = self.node_outputs[index].moments?;
        Some(Normalized { h: self.h(index)?, moments })
    }

    /// Records the gradients of the parameters of all nodes that take one tensor, from those in
    /// front of their activations.
    pub(in crate::nn) fn record_weights(
        &self,
        recording: &mut Recording,
        layout: &ParameterLayout,
        chain: &[Option<Value>],
        partials: Value,
    ) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let (Some(dz), Some(h)) = (chain[index], self.h(index)) else { continue };
            let bias = slice(layout, &node.path, "bias")?;
            match self.normalized(index) {
                Some(normalized) => {
                    let gain = slice(layout, &node.path, "gain")?;
                    let slices = (gain, bias);
                    layer_norm_weight_gradient::record(recording, dz, normalized, slices, partials)?;
                }
                None => {
                    let weight = slice(layout, &node.path, "weight")?;
                    dense::record_weight_gradient(recording, h, dz, weight, Some(bias), partials)?;
                }
            }
        }
        Ok(())
    }
}

/// What recording a pending gradient takes.
pub(in crate::nn) struct BackwardPass<'a> {
    pub recording: &'a mut Recording,
    pub parameters: Value,
    pub layout: &'a ParameterLayout,
}

impl<'a> BackwardPass<'a> {
    /// The value of a gradient, which it then stands for.
    pub(in crate::nn) fn settle(&mut self, pending: &mut Pending<'a>) -> Result<Value> {
        let epilogue = std::mem::take(&mut pending.epilogue);
        let value = match pending.source {
            Source::Ready(value) if epilogue.slope.is_none() && epilogue.skip.is_none() => value,
            Source::Ready(value) => add_residual::record(self.recording, value, epilogue)?,
            Source::Dense(dz, weight) => {
                dense::record_input_gradient(self.recording, dz, self.parameters, weight, epilogue)?
            }
            Source::Norm(dz, gain, normalized) => {
                layer_norm_gradient::record(self.recording, dz, normalized, self.parameters, gain, epilogue)?
            }
        };
        pending.source = Source::Ready(value);
        Ok(value)
    }

    fn multiply(&mut self, pending: &mut Pending<'a>, slope: Value) -> Result<()> {
        if pending.epilogue.slope.is_some() || pending.epilogue.skip.is_some() {
            self.settle(pending)?;
        }
        pending.epilogue.slope = Some(slope);
        Ok(())
    }

    fn add(&mut self, pending: &mut Pending<'a>, skip: Value) -> Result<()> {
        if pending.epilogue.skip.is_some() {
            self.settle(pending)?;
        }
        pending.epilogue.skip = Some(skip);
        Ok(())
    }

    /// Records the chain of gradients down to what went into the first node, where it is pending,
    /// unless that takes several tensors. Entry `i` of the list is the gradient in front of node
    /// `i`'s activation, for nodes with parameters.
    pub(in crate::nn) fn descend(
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
            if let Some(slope) = steps.node_outputs[index].slope {
                self.multiply(&mut pending, slope)?;
            }
            if let Op::Dense | Op::Norm { .. } = node.op {
                let dz = self.settle(&mut pending)?;
                chain[index] = Some(dz);
                pending.source = match steps.normalized(index) {
                    _ if steps.h(index).is_none() => Source::Ready(dz),
                    Some(normalized) => Source::Norm(dz, slice(self.layout, &node.path, "gain")?, normalized),
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
    pub(in crate::nn) fn steps<'a>(&'a self, forward: &'a Forward) -> Steps<'a> {
        Steps { nodes: &forward.nodes, input: None, node_outputs: &self.node_outputs }
    }
}
