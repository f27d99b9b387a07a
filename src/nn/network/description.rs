//! Networks as data: named inputs and layers.

use serde::{Deserialize, Serialize};

use super::graph::{Node, Op, nodes_of};
use crate::nn::{Activation, Input, Layer, Norms};
use crate::{Error, Result};

/// Layers over the concatenation of named inputs. Plain data: it serializes, and says by itself how
/// many parameters it has and where they lie.
///
/// The first layer is dense and holds one weight block per input, `W [x; y] = Wx x + Wy y`, so that
/// an input shared by many rows (a context with its candidates) is multiplied once. An input may go
/// through layers of its own before ([`Input::embedded`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The inputs, in the order of the concatenation.
    pub inputs: Vec<Input>,
    /// The layers; the first one is dense, the last one too, and may have an activation.
    pub layers: Vec<Layer>,
}

const MAX_WIDTH: usize = Network::MAX_WIDTH;
/// Largest width of the last layer, such as the parameters of a mixture over many columns.
const MAX_OUTPUTS: usize = 32_768;
/// Largest number of layers, those inside residual blocks and the blocks themselves included.
const MAX_LAYERS: usize = 256;

impl Network {
    /// Largest width of an input, encoded or not, and of a layer that is not the last.
    pub const MAX_WIDTH: usize = 4096;

    /// `hidden` layers of one width with an activation, then an affine output layer.
    pub fn mlp(inputs: Vec<Input>, hidden: &[usize], activation: Activation, outputs: usize) -> Self {
        let mut layers: Vec<_> = hidden.iter().map(|&width| Layer::dense(width, activation)).collect();
        layers.push(Layer::dense(outputs, Activation::Identity));
        Self { inputs, layers }
    }

    /// Residual blocks behind a dense layer with its activation: `h = act(W x + b)`, `blocks` times
    /// `h + W2 act(W1 h + b1) + b2`, then an affine output layer.
    pub fn residual(
        inputs: Vec<Input>,
        width: usize,
        blocks: usize,
        activation: Activation,
        outputs: usize,
    ) -> Self {
        let block = vec![Layer::dense(width, activation), Layer::dense(width, Activation::Identity)];
        Self::of_blocks(inputs, Layer::dense(width, activation), blocks, block, outputs)
    }

    /// Pre-activation blocks behind an affine layer: `h = W x + b`, `blocks` times
    /// `h + W2 act(W1 act(h) + b1) + b2`, then an affine output layer; the network of implicit
    /// behavioral cloning (arXiv 2109.00137).
    pub fn preactivation(
        inputs: Vec<Input>,
        width: usize,
        blocks: usize,
        activation: Activation,
        outputs: usize,
    ) -> Self {
        let normalizer = || Layer::dense(width, Activation::Identity);
        let block =
            vec![Layer::Activate(activation), normalizer(), Layer::Activate(activation), normalizer()];
        Self::of_blocks(inputs, normalizer(), blocks, block, outputs)
    }

    fn of_blocks(inputs: Vec<Input>, first: Layer, blocks: usize, block: Vec<Layer>, outputs: usize) -> Self {
        let mut layers = vec![first];
        layers.extend((0..blocks).map(|_| Layer::Residual(block.clone())));
        layers.push(Layer::dense(outputs, Activation::Identity));
        Self { inputs, layers }
    }

    /// The same network with norms, those in its inputs' layers included: an activation of a dense
    /// layer becomes one behind the norm.
    pub fn with_norms(self, norms: Norms) -> Self {
        let embedded = |input: Input| Input { layers: norms.apply(input.layers), ..input };
        Self { inputs: self.inputs.into_iter().map(embedded).collect(), layers: norms.apply(self.layers) }
    }

    /// Numbers per row that the last layer writes.
    pub fn outputs(&self) -> usize {
        self.nodes().last().map_or(0, |node| node.width)
    }

    /// Width of the concatenated inputs as the first layer takes them, encoded and behind their own
    /// layers.
    pub fn input_width(&self) -> usize {
        self.inputs.iter().map(Input::embedded_width).fold(0, usize::saturating_add)
    }

    /// The nodes of the inputs' layers, then those of the network's own.
    fn all_nodes(&self) -> impl Iterator<Item = Node> {
        self.inputs.iter().flat_map(Input::nodes).chain(self.nodes())
    }

    /// Weights, biases and gains, padding not counted; frequencies of an encoding are no
    /// parameters.
    pub fn parameter_count(&self) -> usize {
        let of = |node: Node| match node.op {
            Op::Dense => (node.inputs + 1) * node.width,
            Op::Norm { .. } => 2 * node.width,
            Op::Activate | Op::Add => 0,
        };
        self.all_nodes().map(of).sum()
    }

    /// Multiply-adds of one row in the matrix products, nominal: no discount for shared inputs.
    /// Norms, activations and sums, of the order of a layer's width, are not counted.
    pub fn multiply_adds(&self) -> usize {
        let dense = |node: &Node| matches!(node.op, Op::Dense);
        self.all_nodes().filter(dense).map(|node| node.inputs * node.width).sum()
    }

    /// Checks the description: at least one input and one layer, widths of 1 to 4096 (encoded ones
    /// too), outputs of the last layer up to 32768, at most 256 layers, those of inputs included,
    /// with blocks at most [`Layer::MAX_DEPTH`] deep, distinct names, finite normalizers and
    /// frequencies, a dense first layer, a dense last layer, with an activation behind it or
    /// without, residual blocks that keep their width.
    ///
    /// # Errors
    /// [`Error::Argument`] naming what is wrong, a layer by its path: `layers.3.1` is the second of
    /// the fourth, a block, and `inputs.time.layers.0` the first of an input.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("network", what, problem));
        let all = self.inputs.iter().flat_map(|input| &input.layers).chain(&self.layers);
        let layers = all.fold(0, |count, layer| match count > MAX_LAYERS {
            true => count,
            false => count + layer.count(MAX_LAYERS + 1),
        });
        if self.inputs.is_empty() || self.layers.is_empty() || layers > MAX_LAYERS {
            let problem = format!(
                "has {} inputs and {} layers; it needs at least one of each and at most {MAX_LAYERS} layers",
                self.inputs.len(),
                if layers > MAX_LAYERS { format!("more than {MAX_LAYERS}") } else { layers.to_string() }
            );
            return fail("the description", problem);
        }
        for (at, input) in self.inputs.iter().enumerate() {
            check_width(&format!("input `{}`", input.name), input.width, MAX_WIDTH)?;
            if self.inputs[..at].iter().any(|other| other.name == input.name) {
                return fail(&format!("input `{}`", input.name), "appears twice".into());
            }
            let owner = format!("input `{}`", input.name);
            input.normalizer.check(&owner, input.width)?;
            input.encoding.check(&owner, input.width)?;
            if input.encoded_width() > MAX_WIDTH {
                let width = input.encoded_width();
                return fail(&owner, format!("has {width} encoded columns, allowed are 1 to {MAX_WIDTH}"));
            }
            check_layers(&input.layers, &input.path(), 0, input.encoded_width(), MAX_WIDTH)?;
        }
        if !matches!(self.layers[0], Layer::Dense(_)) {
            return fail("`layers.0`", "must be dense: it multiplies the inputs".into());
        }
        check_layers(&self.layers, "layers", 0, self.input_width(), MAX_OUTPUTS)?;
        match self.nodes().last() {
            Some(Node { op: Op::Dense, skip: None, .. }) => Ok(()),
            _ => {
                let what = format!("the last layer, `layers.{}`,", self.layers.len() - 1);
                fail(&what, "must be dense, or an activation behind a dense one; add an affine layer".into())
            }
        }
    }
}

fn check_width(what: &str, width: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&width) {
        return Ok(());
    }
    Err(Error::argument("network", what, format!("has width {width}, allowed are 1 to {max}")))
}

/// Checks layers below `path` that take rows of `width`, the last of which may leave rows of up to
/// `widest`; returns the width they leave.
fn check_layers(
    layers: &[Layer],
    path: &str,
    depth: usize,
    mut width: usize,
    widest: usize,
) -> Result<usize> {
    for (index, layer) in layers.iter().enumerate() {
        let what = format!("`{path}.{index}`");
        let fail = |problem: String| Err(Error::argument("network", &what, problem));
        match layer {
            Layer::Dense(dense) => {
                let max = if index + 1 == layers.len() { widest } else { MAX_WIDTH };
                check_width(&what, dense.outputs, max)?;
                width = dense.outputs;
            }
            Layer::Activate(_) => {}
            Layer::Norm(norm) if !(1e-12..=1.0).contains(&norm.epsilon) => {
                return fail(format!("has epsilon {}, allowed are 1e-12 to 1", norm.epsilon));
            }
            Layer::Norm(_) => {}
            Layer::Residual(inner) => {
                if depth >= Layer::MAX_DEPTH {
                    return fail(format!("nests residual blocks more than {} deep", Layer::MAX_DEPTH));
                }
                if inner.is_empty() {
                    return fail("is a residual block without layers".into());
                }
                let path = format!("{path}.{index}");
                let left = check_layers(inner, &path, depth + 1, width, MAX_WIDTH)?;
                if left != width {
                    return fail(format!(
                        "is a residual block that takes rows of {width} and leaves rows of {left}; end it with a dense \
                         layer of {width} outputs"
                    ));
                }
            }
        }
    }
    Ok(width)
}

impl Network {
    /// The nodes in order; the first is the first layer.
    pub(in crate::nn) fn nodes(&self) -> Vec<Node> {
        nodes_of(&self.layers, "layers", self.input_width())
    }

    /// The nodes of a network of dense layers alone, one behind the other and at most `widest`
    /// wide, whose inputs have no layers of their own: what kernels for whole networks take.
    pub(in crate::nn) fn plain_nodes(&self, widest: usize) -> Option<Vec<Node>> {
        let plain = |node: &Node| node.op == Op::Dense && node.skip.is_none() && node.width <= widest;
        let direct = self.inputs.iter().all(|input| input.layers.is_empty());
        Some(self.nodes()).filter(|nodes| direct && nodes.iter().all(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Encoding, Fourier, LayerNorm};

    #[test]
    fn r18_parameter_count_of_the_push_t_energy() {
        let inputs = vec![Input::new("context", 40), Input::new("action", 32)];
        let network = Network::mlp(inputs, &[1024; 4], Activation::Relu, 1);
        assert_eq!(network.parameter_count(), 3_224_577);
    }

    #[test]
    fn slices_are_disjoint_and_aligned() {
        let inputs = vec![Input::new("x", 3), Input::new("y", 5)];
        let network = Network::mlp(inputs, &[7, 9], Activation::Silu, 1);
        let layout = network.layout();
        let mut counted = 0;
        for pair in layout.slices.windows(2) {
            assert_eq!(pair[0].offset % 4, 0);
            assert!(pair[0].offset + pair[0].rows * pair[0].stride <= pair[1].offset);
        }
        for slice in &layout.slices {
            counted += slice.rows * slice.columns;
        }
        assert_eq!(counted, network.parameter_count());
        assert_eq!(layout.len % 4, 0);
    }

    #[test]
    fn the_layout_of_a_plain_network_is_that_of_old_checkpoints() {
        let inputs = vec![Input::new("x", 3), Input::new("y", 5)];
        let layout = Network::mlp(inputs, &[7, 9], Activation::Silu, 1).layout();
        let found: Vec<_> = layout
            .slices
            .iter()
            .map(|slice| (slice.name.as_str(), slice.offset, slice.rows, slice.columns, slice.fan_in))
            .collect();
        let expected = [
            ("layers.0.weight.x", 0, 3, 7, 8),
            ("layers.0.weight.y", 32, 5, 7, 8),
            ("layers.0.bias", 96, 1, 7, 8),
            ("layers.1.weight", 104, 7, 9, 7),
            ("layers.1.bias", 200, 1, 9, 7),
            ("layers.2.weight", 212, 9, 1, 9),
            ("layers.2.bias", 260, 1, 1, 9),
        ];
        assert_eq!(found, expected);
        assert_eq!(layout.len, 264);
    }

    #[test]
    fn deep_networks_count_their_parameters_and_products() {
        let inputs = || vec![Input::new("x", 3), Input::new("y", 5)];
        let (block, ends) = (2 * (7 * 7 + 7), 8 * 7 + 7 + 7 + 1);
        let plain = Network::preactivation(inputs(), 7, 3, Activation::Relu, 1);
        assert_eq!(plain.parameter_count(), ends + 3 * block);
        assert_eq!(plain.multiply_adds(), 8 * 7 + 6 * 49 + 7);
        assert_eq!(plain.outputs(), 1);
        let norms = Norms::BeforeActivations(LayerNorm::default());
        let normed = plain.clone().with_norms(norms);
        assert_eq!(normed.parameter_count(), ends + 3 * (block + 2 * 14));
        assert_eq!(normed.multiply_adds(), plain.multiply_adds());
        let post = Network::residual(inputs(), 7, 2, Activation::Relu, 3).with_norms(norms);
        assert_eq!(post.parameter_count(), 63 + 14 + 2 * (block + 14) + 24);
        for network in [&plain, &normed, &post] {
            network.check().unwrap();
            let layout = network.layout();
            let stored: usize = layout.slices.iter().map(|slice| slice.rows * slice.columns).sum();
            assert_eq!(stored, network.parameter_count());
            for pair in layout.slices.windows(2) {
                assert_eq!(pair[1].offset % 4, 0);
                assert!(pair[0].offset + pair[0].rows * pair[0].stride <= pair[1].offset);
            }
            let text = serde_json::to_string(network).unwrap();
            assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), *network);
        }
        assert_eq!(plain.clone().with_norms(Norms::None), plain);
    }

    #[test]
    fn encoded_inputs_count_by_their_features() {
        let fourier = Fourier::geometric(1.0, 100.0, 8).with_input();
        let time = Input::new("time", 1).encoded(fourier.clone());
        assert_eq!(time.encoded_width(), 17);
        let network = Network::mlp(vec![Input::new("x", 3), time], &[5], Activation::Silu, 2);
        network.check().unwrap();
        assert_eq!(network.parameter_count(), (3 + 17 + 1) * 5 + (5 + 1) * 2);
        assert_eq!(network.multiply_adds(), (3 + 17) * 5 + 5 * 2);
        assert_eq!(network.layout().slice("layers.0.weight.time").unwrap().rows, 17);
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
        // A description without an encoding takes its inputs raw.
        let plain = r#"{"name": "x", "width": 1, "normalizer": {"shift": [0.0], "scale": [1.0]}}"#;
        assert_eq!(serde_json::from_str::<Input>(plain).unwrap(), Input::new("x", 1));
        for bad in [
            Fourier { count: 7, ..fourier.clone() },
            Fourier::new(vec![1.0; 2049]),
            Fourier::new(vec![f32::INFINITY]),
            Fourier::new(Vec::new()),
        ] {
            let mut network = network.clone();
            network.inputs[1].encoding = Encoding::Fourier(bad);
            assert!(network.check().is_err());
        }
    }

    #[test]
    fn layers_of_inputs_come_first_and_count() {
        let norm = LayerNorm::default();
        let own = vec![
            Layer::dense(5, Activation::Relu),
            Layer::Residual(vec![Layer::dense(5, Activation::Identity)]),
            Layer::Norm(norm),
        ];
        let inputs = vec![Input::new("x", 3), Input::new("odd.gain", 2).embedded(own)];
        let network = Network::mlp(inputs, &[7], Activation::Relu, 1);
        network.check().unwrap();
        assert_eq!(network.inputs[1].embedded_width(), 5);
        assert_eq!(network.parameter_count(), (2 + 1) * 5 + (5 + 1) * 5 + 2 * 5 + (3 + 5 + 1) * 7 + 8);
        assert_eq!(network.multiply_adds(), 2 * 5 + 5 * 5 + (3 + 5) * 7 + 7);
        let layout = network.layout();
        let found: Vec<_> = layout
            .slices
            .iter()
            .map(|slice| (slice.name.as_str(), slice.offset, slice.rows, slice.columns, slice.fan_in))
            .collect();
        let expected = [
            ("inputs.odd.gain.layers.0.weight", 0, 2, 5, 2),
            ("inputs.odd.gain.layers.0.bias", 32, 1, 5, 2),
            ("inputs.odd.gain.layers.1.0.weight", 40, 5, 5, 5),
            ("inputs.odd.gain.layers.1.0.bias", 104, 1, 5, 5),
            ("inputs.odd.gain.layers.2.gain", 112, 1, 5, 5),
            ("inputs.odd.gain.layers.2.bias", 120, 1, 5, 5),
            ("layers.0.weight.x", 128, 3, 7, 8),
            ("layers.0.weight.odd.gain", 160, 5, 7, 8),
            ("layers.0.bias", 224, 1, 7, 8),
            ("layers.1.weight", 232, 7, 1, 7),
            ("layers.1.bias", 264, 1, 1, 7),
        ];
        assert_eq!(found, expected);
        assert_eq!(layout.len, 268);
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
        let normed = network.clone().with_norms(Norms::BeforeActivations(norm));
        assert_eq!(normed.parameter_count(), network.parameter_count() + 2 * 5 + 2 * 7);
        // A description without layers of inputs reads and writes as it did before there were any.
        let plain = r#"{"name":"x","width":1,"normalizer":{"shift":[0.0],"scale":[1.0]},"encoding":"raw"}"#;
        assert_eq!(serde_json::from_str::<Input>(plain).unwrap(), Input::new("x", 1));
        assert_eq!(serde_json::to_string(&Input::new("x", 1)).unwrap(), plain);
        // As deep as a file may nest, and deeper.
        let deep = |levels: usize| {
            let (open, close) = (r#"{"residual":["#.repeat(levels), "]}".repeat(levels));
            let layers = format!(r#"{open}{{"activate":"gelu"}}{close}"#);
            plain.replace(r#""raw"}"#, &format!(r#""raw","layers":[{layers}]}}"#))
        };
        assert!(serde_json::from_str::<Input>(&deep(Layer::MAX_DEPTH)).is_ok());
        for levels in [Layer::MAX_DEPTH + 1, 100_000] {
            assert!(serde_json::from_str::<Input>(&deep(levels)).is_err());
        }
    }

    #[test]
    fn bad_descriptions_are_refused() {
        let good = Network::mlp(vec![Input::new("x", 2)], &[4], Activation::Tanh, 1);
        assert!(good.check().is_ok());
        let mut none = good.clone();
        none.layers.clear();
        let mut wide = good.clone();
        wide.layers[0] = Layer::dense(5000, Activation::Tanh);
        let mut twice = good.clone();
        twice.inputs.push(Input::new("x", 1));
        let mut bounded = good.clone();
        bounded.layers[1] = Layer::dense(1, Activation::Tanh);
        assert!(bounded.check().is_ok());
        bounded.layers.push(Layer::Activate(Activation::Relu));
        let mut many = good.clone();
        many.layers[1] = Layer::dense(MAX_OUTPUTS, Activation::Identity);
        assert!(many.check().is_ok());
        many.layers[1] = Layer::dense(MAX_OUTPUTS + 1, Activation::Identity);
        let twice_active = bounded;
        let mut flat = good.clone();
        flat.inputs[0].normalizer.scale[1] = 0.0;
        let own = |layers: Vec<Layer>| {
            let inputs = vec![Input::new("x", 2).embedded(layers)];
            Network { inputs, ..good.clone() }
        };
        let dense = |outputs| Layer::dense(outputs, Activation::Tanh);
        assert!(own(vec![dense(3); 254]).check().is_ok());
        let deep = (0..=Layer::MAX_DEPTH).fold(dense(2), |inner, _| Layer::Residual(vec![inner]));
        let embedded = [
            own(vec![dense(0)]),
            own(vec![dense(4097)]),
            own(vec![dense(3); 255]),
            own(vec![deep]),
            own(vec![Layer::Residual(vec![dense(3)])]),
            own(vec![Layer::Norm(LayerNorm { epsilon: f32::NAN })]),
        ];
        for bad in [none, wide, many, twice, twice_active, flat].into_iter().chain(embedded) {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
