//! Backward passes of whole networks.

use super::backward_pass::{BackwardPass, Pending, Steps};
use super::encode::{decode_into, input_ranges};
use super::forward::{Forward, Pass};
use super::forward_node::{NodeOutputs, slice};
use super::sum_candidates::{CandidateRange, Carry};
use super::{reduce_partials, sum_candidates};
use crate::gpu::record::row_range::RowRange;
use crate::gpu::{DType, Recording, Shape, Value};
use crate::nn::dense;
use crate::nn::dense::dense_weight_gradient;
use crate::nn::network::graph::Node;
use crate::nn::{GradientMode, Keep, Network};
use crate::{Error, Result};

impl Network {
    /// The gradient at the outputs in packed rows.
    fn check_output_gradient(
        &self,
        recording: &mut Recording,
        forward: &Forward,
        output_gradient: Value,
    ) -> Result<Value> {
        let expected = Shape::new([forward.rows, self.outputs()]);
        recording.expect_rows("backward", output_gradient, &expected)?;
        match forward.keep {
            Keep::Slopes => recording.packed_rows(output_gradient),
            Keep::Output => {
                Err(Error::argument("backward", "the forward pass", "was recorded without slopes"))
            }
        }
    }

    /// Records the chain of gradients of a pass from the output down to the first layer; entry `i`
    /// is the gradient in front of node `i`'s activation, for nodes with parameters.
    fn record_chain(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        pass: &Pass,
        output_gradient: Value,
    ) -> Result<Vec<Option<Value>>> {
        let output_gradient = pass.range.of(recording, output_gradient)?;
        let layout = self.layout();
        let mut backward = BackwardPass { recording, parameters, layout: &layout };
        Ok(backward.descend(&pass.steps(forward), Pending::at(output_gradient))?.0)
    }

    /// Records the backward pass to the parameters: `[parameters]` in the network's layout, fresh
    /// or added to a gradient.
    ///
    /// * `output_gradient`: `[rows, outputs]`, plain or packed, the gradient at the network's
    ///   output; plain rows of a width that is not a multiple of 4 cost a dispatch.
    ///
    /// # Errors
    /// [`Error::Argument`] if the forward pass kept no slopes or the gradient to add to holds
    /// nothing; [`Error::Shape`].
    pub fn record_parameter_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        output_gradient: Value,
        mode: GradientMode,
    ) -> Result<Value> {
        let output_gradient = self.check_output_gradient(recording, forward, output_gradient)?;
        let mut mode = mode;
        let mut gradient = None;
        forward.each(recording, |recording, pass| {
            let own =
                self.record_pass_gradient(recording, parameters, forward, pass, output_gradient, mode)?;
            mode = GradientMode::Accumulate(own);
            gradient = Some(own);
            Ok(())
        })?;
        gradient.ok_or_else(|| Error::argument("backward", "the forward pass", "has no rows"))
    }

    /// The parameter gradient of one pass.
    fn record_pass_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        pass: &Pass,
        output_gradient: Value,
        mode: GradientMode,
    ) -> Result<Value> {
        let layout = self.layout();
        let chain = self.record_chain(recording, parameters, forward, pass, output_gradient)?;
        let splits = dense_weight_gradient::splits(recording.target(), pass.range.count, layout.len);
        let partials = recording.scratch("partials", DType::F32, [splits, layout.len]);
        pass.steps(forward).record_weights(recording, &layout, &chain, partials)?;
        // The input with the fewest rows takes the bias along: its sums over candidates are already
        // there.
        let (first, dz) = first_of(forward, &chain)?;
        let bias = slice(&layout, &first.path, "bias")?;
        for (at, index) in forward.input_order().into_iter().enumerate() {
            let weight = slice(&layout, &first.path, &format!("weight.{}", self.inputs[index].name))?;
            let own = &pass.inputs[index];
            let dz = match forward.candidates(index) {
                1 => dz,
                candidates => {
                    let shape = Shape::packed(own.range.count, first.width);
                    let sums = recording.scratch("context sum", DType::F32, shape);
                    let first_row = pass.range.first_among(own.range, candidates);
                    let range = CandidateRange { candidates, first_row, carry: Carry::Fresh };
                    sum_candidates::record_range(recording, dz, &range, sums)?;
                    sums
                }
            };
            let bias = (at == 0).then_some(bias);
            dense::record_weight_gradient(recording, own.embedded(), dz, weight, bias, partials)?;
            if !own.node_outputs.is_empty() {
                let nodes = self.inputs[index].nodes();
                let steps =
                    Steps { nodes: &nodes, input: Some(own.encoded), node_outputs: &own.node_outputs };
                let mut backward = BackwardPass { recording, parameters, layout: &layout };
                let (chain, _) = backward.descend(&steps, Pending::behind(dz, weight))?;
                steps.record_weights(recording, &layout, &chain, partials)?;
            }
        }
        reduce_partials::record(recording, partials, mode)
    }

    /// Records the backward pass to one input alone: the gradient in 1 / data units, in the shape
    /// the input was given. Layers of other inputs take no part in it.
    ///
    /// * `output_gradient`: `[rows, outputs]`, plain or packed, the gradient at the network's
    ///   output; plain rows of a width that is not a multiple of 4 cost a dispatch.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown input or if the forward pass kept no slopes;
    /// [`Error::Shape`].
    pub fn record_input_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        output_gradient: Value,
        input: &str,
    ) -> Result<Value> {
        let Some(index) = self.inputs.iter().position(|known| known.name == input) else {
            return Err(Error::argument(
                "backward",
                format!("input `{input}`"),
                "is not one of the network's",
            ));
        };
        let output_gradient = self.check_output_gradient(recording, forward, output_gradient)?;
        let (layout, description) = (self.layout(), &self.inputs[index]);
        let weight = slice(&layout, &forward.nodes[0].path, &format!("weight.{input}"))?;
        let (shape, all) = forward.inputs[index].clone();
        let (contexts, candidates) = (shape.rows(), forward.candidates(index));
        let out = recording.scratch("input gradient", DType::F32, shape);
        let nodes = description.nodes();
        let finish = |recording: &mut Recording,
                      range: RowRange,
                      dz: Value,
                      encoded: Value,
                      node_outputs: &[NodeOutputs]| {
            let steps = Steps { nodes: &nodes, input: Some(encoded), node_outputs };
            let mut backward = BackwardPass { recording: &mut *recording, parameters, layout: &layout };
            let (_, mut pending) = backward.descend(&steps, Pending::behind(dz, weight))?;
            let gradient = backward.settle(&mut pending)?;
            let written = range.of(recording, out)?;
            decode_into(recording, gradient, encoded, description, written)
        };
        let Some(packed) = all.filter(|_| candidates > 1) else {
            forward.each(recording, |recording, pass| {
                let chain = self.record_chain(recording, parameters, forward, pass, output_gradient)?;
                let (_, dz) = first_of(forward, &chain)?;
                let own = &pass.inputs[index];
                finish(recording, pass.range, dz, own.encoded, &own.node_outputs)
            })?;
            return Ok(out);
        };
        // Sums of one pass after the other, then the gradient of all contexts.
        let sums = recording.scratch("context sum", DType::F32, Shape::packed(contexts, weight.columns));
        forward.each(recording, |recording, pass| {
            let chain = self.record_chain(recording, parameters, forward, pass, output_gradient)?;
            let (_, dz) = first_of(forward, &chain)?;
            let own = pass.inputs[index].range;
            let first_row = pass.range.first_among(own, candidates);
            let carry = if pass.range.first == 0 { Carry::Fresh } else { Carry::Continue };
            let part = own.of(recording, sums)?;
            sum_candidates::record_range(
                recording,
                dz,
                &CandidateRange { candidates, first_row, carry },
                part,
            )
        })?;
        for range in input_ranges(recording, contexts, description, weight.columns) {
            let (dz, encoded) = (range.of(recording, sums)?, range.of(recording, packed)?);
            let node_outputs = match &forward.passes[..] {
                [pass] if pass.inputs[index].range == range => pass.inputs[index].node_outputs.clone(),
                // Passes may begin and end within what this range takes at once.
                _ => self.record_embedding(recording, parameters, description, encoded, Keep::Slopes)?,
            };
            finish(recording, range, dz, encoded, &node_outputs)?;
        }
        Ok(out)
    }
}

/// The first node and the gradient in front of its activation.
fn first_of<'a>(forward: &'a Forward, chain: &[Option<Value>]) -> Result<(&'a Node, Value)> {
    match (forward.nodes.first(), chain.first()) {
        (Some(node), Some(&Some(dz))) => Ok((node, dz)),
        _ => Err(Error::argument("backward", "the forward pass", "has no first layer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Activation, Input, Layer, LayerNorm, Norms};

    /// A recorded forward pass over 3 rows of the first input and 12 of the others, the parameters
    /// and a output_gradient.
    fn forward(network: &Network) -> (Recording, Value, Forward, Value) {
        network.check().unwrap();
        let mut recording = Recording::new("test");
        let parameters = recording.slot("parameters", DType::F32, [network.layout().len]).unwrap();
        let inputs: Vec<(&str, Value)> = network
            .inputs
            .iter()
            .enumerate()
            .map(|(at, input)| {
                let rows = if at == 0 { 3 } else { 12 };
                (input.name.as_str(), recording.slot(&input.name, DType::F32, [rows, input.width]).unwrap())
            })
            .collect();
        let forward = network.record_forward(&mut recording, parameters, &inputs, Keep::Slopes).unwrap();
        let output_gradient = recording
            .slot("output_gradient", DType::F32, recording.shape(forward.packed_output).unwrap().clone())
            .unwrap();
        (recording, parameters, forward, output_gradient)
    }

    /// Kernels of a recording, with the defines that say what is fused.
    fn names(recording: &Recording) -> Vec<String> {
        let name = |variant: &crate::gpu::KernelVariant| {
            let chosen = |define: &&crate::gpu::Define| {
                ["ACTIVATION", "SKIP", "INIT"].contains(&define.name) && define.value != 0
            };
            let short = |define: &crate::gpu::Define| format!(" {}{}", &define.name[..1], define.value);
            let defines: String = variant.defines.iter().filter(chosen).map(short).collect();
            format!("{}{defines}", variant.source.stem())
        };
        recording.kernels().iter().map(name).collect()
    }

    /// Kernels of a forward pass and a backward pass to the parameters.
    fn kernels(network: &Network) -> Vec<String> {
        let (mut recording, parameters, forward, output_gradient) = forward(network);
        let mode = GradientMode::Overwrite;
        network
            .record_parameter_gradient(&mut recording, parameters, &forward, output_gradient, mode)
            .unwrap();
        names(&recording)
    }

    fn two_inputs() -> Vec<Input> {
        vec![Input::new("context", 5), Input::new("action", 2)]
    }

    #[test]
    fn a_plain_network_takes_one_kernel_per_layer_and_direction() {
        let found = kernels(&Network::mlp(two_inputs(), &[8, 8], Activation::Silu, 1));
        let expected = [
            "pack_inputs",
            "pack_inputs",
            "dense_forward I1",
            "dense_forward A2 I2",
            "dense_forward A2 I1",
            "dense_forward I1",
            "dense_input_gradient",
            "dense_input_gradient",
            "dense_weight_gradient",
            "dense_weight_gradient",
            "sum_candidates",
            "dense_weight_gradient",
            "dense_weight_gradient",
            "reduce_partials",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_sums_of_a_residual_network_join_their_neighbors() {
        let inputs = || vec![Input::new("x", 5)];
        let found = kernels(&Network::preactivation(inputs(), 8, 2, Activation::Gelu, 1));
        let block = ["activate_rows A4", "dense_forward A4 I1", "dense_forward I3"];
        let back = ["dense_input_gradient", "dense_input_gradient S1"];
        let expected = [
            &["pack_inputs", "dense_forward I1"][..],
            &block,
            &block,
            &["dense_forward I1", "dense_input_gradient"],
            &back,
            &back,
            &["dense_weight_gradient"; 6],
            &["reduce_partials"],
        ];
        assert_eq!(found, expected.concat());
        // Behind an activation the sum comes before its slope: one kernel more at the first block
        // alone.
        let found = kernels(&Network::residual(inputs(), 8, 2, Activation::Relu, 1));
        let block = ["dense_forward A1 I1", "dense_forward I3"];
        let expected = [
            &["pack_inputs", "dense_forward A1 I1"][..],
            &block,
            &block,
            &["dense_forward I1", "dense_input_gradient"],
            &back,
            &back,
            &["add_residual"],
            &["dense_weight_gradient"; 6],
            &["reduce_partials"],
        ];
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn norms_take_the_activation_behind_them_and_the_sum_in_front() {
        let norms = Norms::BeforeActivations(LayerNorm::default());
        let network = Network::preactivation(vec![Input::new("x", 5)], 8, 1, Activation::Gelu, 1);
        let found = kernels(&network.with_norms(norms));
        let expected = [
            "pack_inputs",
            "dense_forward I1",
            "layer_norm A4",
            "dense_forward I1",
            "layer_norm A4",
            "dense_forward I3",
            "dense_forward I1",
            "dense_input_gradient",
            "dense_input_gradient",
            "layer_norm_gradient",
            "dense_input_gradient",
            "layer_norm_gradient S1",
            "dense_weight_gradient",
            "dense_weight_gradient",
            "layer_norm_weight_gradient",
            "dense_weight_gradient",
            "layer_norm_weight_gradient",
            "dense_weight_gradient",
            "reduce_partials",
        ];
        assert_eq!(found, expected);
    }

    /// Three rows of a context with layers of its own, twelve of an action: no sum over candidates
    /// but where it is wanted, and no work for the layers of an input that nobody asks for.
    #[test]
    fn a_gradient_goes_through_the_layers_of_its_own_input_alone() {
        let own = vec![Layer::dense(6, Activation::Silu), Layer::dense(4, Activation::Identity)];
        let inputs = vec![Input::new("context", 5).embedded(own), Input::new("action", 2)];
        let network = Network::mlp(inputs, &[8], Activation::Silu, 1);
        let layers = [
            "pack_inputs",
            "pack_inputs",
            "dense_forward A2 I1",
            "dense_forward I1",
            "dense_forward I1",
            "dense_forward A2 I2",
            "dense_forward I1",
        ];
        let back = |input: &str| {
            let (mut recording, parameters, forward, output_gradient) = forward(&network);
            let before = recording.len();
            network
                .record_input_gradient(&mut recording, parameters, &forward, output_gradient, input)
                .unwrap();
            let mut names = names(&recording);
            assert_eq!(names[..before], layers);
            names.split_off(before)
        };
        assert_eq!(back("action"), ["dense_input_gradient", "dense_input_gradient", "unpack_gradient"]);
        let expected = [
            "dense_input_gradient",
            "sum_candidates",
            "dense_input_gradient",
            "dense_input_gradient",
            "dense_input_gradient",
            "unpack_gradient",
        ];
        assert_eq!(back("context"), expected);
        let weights = [
            "dense_input_gradient",
            "dense_weight_gradient",
            "sum_candidates",
            "dense_weight_gradient",
            "dense_input_gradient",
            "dense_input_gradient",
            "dense_weight_gradient",
            "dense_weight_gradient",
            "dense_weight_gradient",
            "reduce_partials",
        ];
        assert_eq!(kernels(&network), [&layers[..], &weights].concat());
    }
}
