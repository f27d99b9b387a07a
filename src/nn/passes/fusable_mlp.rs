//! Plain narrow networks, as the kernels that hold a whole network in one dispatch take them.

use crate::gpu::{pad4, shared_struct};
use crate::nn::{Activation, Encoding, Input, Network};

shared_struct! {
    /// A dense layer of a narrow network as kernels that hold the whole network find it. All but
    /// `outputs` in `vec4`s.
    pub(crate) struct PackedLayer in "lib/packed_layer.wgsl" {
        /// Offset of the weight in the flat parameters.
        weight: u32,
        /// Offset of the bias.
        bias: u32,
        inputs4: u32,
        outputs4: u32,
        outputs: u32,
    }
}

/// A dense layer of a narrow network. Offsets are in `vec4`s of the flat parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FusableLayer {
    pub weight4: usize,
    pub bias4: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl FusableLayer {
    /// The layer as kernels find it.
    pub fn packed(&self) -> PackedLayer {
        PackedLayer {
            weight: self.weight4 as u32,
            bias: self.bias4 as u32,
            inputs4: (pad4(self.inputs) / 4) as u32,
            outputs4: (pad4(self.outputs) / 4) as u32,
            outputs: self.outputs as u32,
        }
    }
}

/// A plain network: dense layers with one activation between them, raw inputs without layers of
/// their own.
#[derive(Clone, Debug)]
pub(crate) struct FusableMlp<'a> {
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// For each input the first layer as it alone has it: its weight block, the shared bias.
    pub inputs: Vec<(&'a Input, FusableLayer)>,
    /// The layers behind the first.
    pub rest: Vec<FusableLayer>,
}

/// Most hidden layers of a narrow network.
pub(crate) const MAX_FUSABLE_DEPTH: usize = 8;

impl Network {
    /// The network as narrow kernels take it, if it is plain and no input, hidden layer or output
    /// is wider than `widest`.
    pub(crate) fn fusable_mlp(&self, widest: usize) -> Option<FusableMlp<'_>> {
        let nodes = self.plain_nodes(widest)?;
        let (last, hidden) = nodes.split_last()?;
        let activation = hidden.first().map_or(Activation::Identity, |node| node.activation);
        let alike = hidden.iter().all(|node| node.activation == activation);
        let slim = |input: &Input| input.width <= widest && input.encoding == Encoding::Raw;
        let output = last.activation == Activation::Identity;
        if !(alike && output && self.inputs.iter().all(slim)) || hidden.len() > MAX_FUSABLE_DEPTH {
            return None;
        }
        let layout = self.layout();
        let offset = |name: String| layout.slice(&name).map(|slice| slice.offset / 4);
        let first = nodes.first()?;
        let bias4 = offset(format!("{}.bias", first.path))?;
        let mut inputs = Vec::new();
        for input in &self.inputs {
            let weight4 = offset(format!("{}.weight.{}", first.path, input.name))?;
            let layer = FusableLayer { weight4, bias4, inputs: input.width, outputs: first.width };
            inputs.push((input, layer));
        }
        let mut rest = Vec::new();
        for node in &nodes[1..] {
            rest.push(FusableLayer {
                weight4: offset(format!("{}.weight", node.path))?,
                bias4: offset(format!("{}.bias", node.path))?,
                inputs: node.inputs,
                outputs: node.width,
            });
        }
        Some(FusableMlp { activation, inputs, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Fourier, Layer, LayerNorm, Norms};

    fn plain(hidden: &[usize]) -> Network {
        Network::mlp(vec![Input::new("x", 3), Input::new("y", 2)], hidden, Activation::Silu, 1)
    }

    #[test]
    fn plain_networks_are_narrow_up_to_the_width() {
        let network = plain(&[7, 9]);
        let fusable = network.fusable_mlp(9).unwrap();
        assert_eq!(fusable.activation, Activation::Silu);
        let weights: Vec<usize> = fusable.inputs.iter().map(|(_, layer)| layer.weight4).collect();
        assert_eq!(weights, [0, 8]);
        assert!(fusable.inputs.iter().all(|(_, layer)| layer.bias4 == 16 && layer.outputs == 7));
        assert_eq!(fusable.rest[0], FusableLayer { weight4: 18, bias4: 42, inputs: 7, outputs: 9 });
        assert_eq!(fusable.rest[1], FusableLayer { weight4: 45, bias4: 57, inputs: 9, outputs: 1 });
        assert!(network.fusable_mlp(8).is_none());
        assert!(plain(&[4; 8]).fusable_mlp(4).is_some() && plain(&[4; 9]).fusable_mlp(4).is_none());
        assert!(plain(&[]).fusable_mlp(4).unwrap().rest.is_empty());
        // An activation of its own joins the layer in front of it.
        let layers = vec![
            Layer::dense(4, Activation::Identity),
            Layer::Activate(Activation::Tanh),
            Layer::dense(1, Activation::Identity),
        ];
        let split = Network { layers, ..plain(&[]) };
        assert_eq!(split.fusable_mlp(4).unwrap().activation, Activation::Tanh);
    }

    #[test]
    fn other_networks_are_not() {
        let inputs = || vec![Input::new("x", 3)];
        assert!(Network::residual(inputs(), 4, 1, Activation::Relu, 1).fusable_mlp(64).is_none());
        let normed = plain(&[4]).with_norms(Norms::BeforeActivations(LayerNorm::default()));
        assert!(normed.fusable_mlp(64).is_none());
        let mut mixed = plain(&[4, 4]);
        mixed.layers[1] = Layer::dense(4, Activation::Relu);
        assert!(mixed.fusable_mlp(64).is_none());
        let mut bounded = plain(&[4]);
        bounded.layers.push(Layer::Activate(Activation::Tanh));
        assert!(bounded.check().is_ok() && bounded.fusable_mlp(64).is_none());
        let time = Input::new("t", 1).encoded(Fourier::new(vec![1.0]));
        assert!(Network::mlp(vec![time], &[4], Activation::Relu, 1).fusable_mlp(64).is_none());
        let embedded = Input::new("t", 1).embedded(vec![Layer::Activate(Activation::Relu)]);
        assert!(Network::mlp(vec![embedded], &[4], Activation::Relu, 1).fusable_mlp(64).is_none());
    }
}
