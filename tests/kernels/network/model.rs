//! A network with its batch, what the device and the reference make of it, and how near they are.

use gibbs::gpu::Gpu;
use gibbs::nn::{
    Activation, Encoding, GradientMode, Initial, Input, Keep, Network, Normalizer, ParameterLayout,
};
use gibbs_reference::compose;
use gibbs_reference::compose::{Block, InputNetwork, InputTrace, Layer, Mlp};
use gibbs_reference::nn as reference;

use crate::common::{Adapter, Case, Results, data, wide};

pub const CONTEXT: usize = 3;
pub const ACTION: usize = 2;

/// A network with two normalized inputs, its parameters, and a batch.
pub struct Model {
    pub network: Network,
    pub layout: ParameterLayout,
    pub flat: Vec<f32>,
    pub contexts: usize,
    pub candidates: usize,
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    /// `[rows, outputs]`: coefficients of a weighted sum of the outputs, none of them 1.
    pub seed: Vec<f32>,
}

fn activation_of(activation: Activation) -> reference::Activation {
    match activation {
        Activation::Identity => reference::Activation::Identity,
        Activation::Relu => reference::Activation::Relu,
        Activation::Silu => reference::Activation::Silu,
        Activation::Tanh => reference::Activation::Tanh,
        Activation::Gelu => reference::Activation::Gelu,
        Activation::Softplus => reference::Activation::Softplus,
        Activation::GeluTanh => reference::Activation::GeluTanh,
        Activation::Mish => reference::Activation::Mish,
        Activation::Elu => reference::Activation::Elu,
        Activation::LeakyRelu => reference::Activation::LeakyRelu,
    }
}

/// The reference's layers, their parameters still 0. `width`: of the rows that go in, then of those
/// that come out.
fn blocks(layers: &[gibbs::nn::Layer], width: &mut usize) -> Vec<Block> {
    use gibbs::nn::Layer;
    let mut block = |layer: &Layer| match layer {
        Layer::Dense(dense) => {
            let weights = vec![0.0; *width * dense.outputs];
            *width = dense.outputs;
            Block::Dense { weights, bias: vec![0.0; *width], activation: activation_of(dense.activation) }
        }
        Layer::Activate(activation) => Block::Activate(activation_of(*activation)),
        Layer::Norm(norm) => {
            let epsilon = f64::from(norm.epsilon);
            Block::Norm { gain: vec![0.0; *width], bias: vec![0.0; *width], epsilon }
        }
        Layer::Residual(inner) => Block::Residual(blocks(inner, width)),
    };
    layers.iter().map(&mut block).collect()
}

/// The reference of a network, its parameters still 0; they come in the order of the layout's
/// slices.
pub fn twin(network: &Network) -> InputNetwork {
    let inputs = network.inputs.iter().map(|input| {
        let layers = blocks(&input.layers, &mut input.encoded_width());
        compose::Network { layers }
    });
    let joined = compose::Network { layers: blocks(&network.layers, &mut network.input_width()) };
    InputNetwork { inputs: inputs.collect(), joined }
}

pub fn normalizer(seed: u32, width: usize) -> Normalizer {
    Normalizer { shift: data(seed, width), scale: data(seed + 1, width).iter().map(|v| 1.5 + v).collect() }
}

/// Parameters of either sign in equal parts, so that sums neither grow nor die from layer to layer.
pub fn parameters(layout: &ParameterLayout) -> Vec<f32> {
    let mut flat = vec![0.0; layout.len];
    for (index, slice) in layout.slices.iter().enumerate() {
        let limit = 1.2 / (slice.fan_in as f32).sqrt();
        let values: Vec<f32> = data(100 + index as u32, slice.rows * slice.columns)
            .iter()
            .enumerate()
            .map(|(at, v)| match slice.initial {
                Initial::Constant(value) => value + 0.5 * v,
                Initial::Uniform if (at / 3) % 2 == 0 => limit * v,
                Initial::Uniform => -limit * v,
            })
            .collect();
        layout.insert(slice, &values, &mut flat);
    }
    flat
}

/// Of the weighted sum of the outputs, in network units.
pub struct Expected {
    pub output: Vec<f64>,
    pub parameters: Vec<f64>,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

impl Model {
    pub fn new(
        contexts: usize,
        candidates: usize,
        hidden: &[usize],
        activation: Activation,
        outputs: usize,
    ) -> Self {
        Self::of(contexts, candidates, |inputs| Network::mlp(inputs, hidden, activation, outputs))
    }

    /// As [`Model::new`], with encodings of context and action.
    pub fn encoded(
        contexts: usize,
        candidates: usize,
        hidden: &[usize],
        activation: Activation,
        outputs: usize,
        encodings: [Encoding; 2],
    ) -> Self {
        Self::of(contexts, candidates, |inputs| {
            let inputs = inputs.into_iter().zip(encodings).map(|(input, encoding)| input.encoded(encoding));
            Network::mlp(inputs.collect(), hidden, activation, outputs)
        })
    }

    pub fn of(contexts: usize, candidates: usize, build: impl FnOnce(Vec<Input>) -> Network) -> Self {
        let network = build(vec![
            Input::normalized("context", normalizer(90, CONTEXT)),
            Input::normalized("action", normalizer(92, ACTION)),
        ]);
        let rows = contexts * candidates;
        let layout = network.layout();
        Self {
            flat: parameters(&layout),
            layout,
            contexts,
            candidates,
            x: data(94, contexts * CONTEXT),
            y: data(95, rows * ACTION),
            seed: data(96, rows * network.outputs()).iter().map(|v| 1.7 * v).collect(),
            network,
        }
    }

    pub fn outputs(&self) -> usize {
        self.network.outputs()
    }

    /// The device's buffer in the reference's order: per layer the weights, then the bias.
    pub fn unpadded(&self, flat: &[f32]) -> Vec<f64> {
        self.layout.slices.iter().flat_map(|slice| wide(&self.layout.extract(slice, flat))).collect()
    }

    pub fn mlp(&self) -> Mlp {
        let mut inputs = self.network.input_width();
        let layers = self
            .network
            .layers
            .iter()
            .map(|layer| {
                let gibbs::nn::Layer::Dense(dense) = layer else { panic!("dense layers alone") };
                let (weights, bias) = (vec![0.0; inputs * dense.outputs], vec![0.0; dense.outputs]);
                let activation = activation_of(dense.activation);
                let layer = Layer { inputs, outputs: dense.outputs, weights, bias, activation };
                inputs = dense.outputs;
                layer
            })
            .collect();
        Mlp { layers }.with_parameters(&self.unpadded(&self.flat))
    }

    /// The batch in the network's own units, encoded.
    pub fn normalized(&self) -> (Vec<f64>, Vec<f64>) {
        let pack = |values: &[f32], input: &Input| {
            let (shift, scale) = (wide(&input.normalizer.shift), wide(&input.normalizer.scale));
            match &input.encoding {
                Encoding::Raw => reference::pack_inputs(&wide(values), &shift, &scale),
                Encoding::Fourier(fourier) => {
                    let kept = input.encoded_width() - 2 * fourier.count;
                    let matrix = wide(&fourier.frequencies);
                    reference::fourier_features(&wide(values), &shift, &scale, &matrix, kept)
                }
            }
        };
        (pack(&self.x, &self.network.inputs[0]), pack(&self.y, &self.network.inputs[1]))
    }

    /// Gradients at the caller's rows from those at the encoded ones.
    pub fn denormalized(&self, gradient: &Expected) -> (Vec<f64>, Vec<f64>) {
        let (x, y) = self.normalized();
        let unpack = |dz: &[f64], encoded: &[f64], input: &Input| {
            let scale = wide(&input.normalizer.scale);
            match &input.encoding {
                Encoding::Raw => reference::unpack_gradient(dz, &scale),
                Encoding::Fourier(fourier) => {
                    let kept = input.encoded_width() - 2 * fourier.count;
                    let matrix = wide(&fourier.frequencies);
                    reference::fourier_gradient(dz, encoded, &scale, &matrix, kept).value
                }
            }
        };
        let [context, action] = &self.network.inputs[..] else { unreachable!("two inputs") };
        (unpack(&gradient.x, &x, context), unpack(&gradient.y, &y, action))
    }

    /// The reference of any network.
    pub fn twin(&self) -> InputNetwork {
        twin(&self.network).with_parameters(&self.unpadded(&self.flat))
    }

    pub fn rows(&self) -> usize {
        self.contexts * self.candidates
    }

    /// A forward pass of the reference or of one like it.
    pub fn pass(&self, twin: &InputNetwork) -> InputTrace {
        let (x, y) = self.normalized();
        twin.forward(&[(&x, self.contexts), (&y, self.rows())], self.rows())
    }

    pub fn forward(&self) -> Vec<f64> {
        self.pass(&self.twin()).joined.output
    }

    pub fn expected(&self, seed: &[f64]) -> Expected {
        let twin = self.twin();
        let trace = self.pass(&twin);
        let gradient = twin.backward(&trace, seed);
        let [x, y] = &gradient.inputs[..] else { unreachable!("two inputs") };
        let (x, y) = (x.clone(), y.clone());
        Expected { output: trace.joined.output, parameters: gradient.parameters, x, y }
    }

    /// Output, parameter gradient and input gradients of one device.
    pub fn run(&self, adapter: &Adapter) -> Results {
        self.run_on(adapter, &adapter.gpu, 1)
    }

    /// As [`Model::run`], on another device of the adapter, and with at least so many ranges of
    /// rows.
    pub fn run_on(&self, adapter: &Adapter, gpu: &Gpu, ranges: usize) -> Results {
        let label = format!("network {}x{} {:?}", self.contexts, self.candidates, self.network.layers);
        let mut case = Case::on(adapter, gpu, gpu.capabilities().class, label);
        let parameters = case.input("parameters", [self.flat.len()], &self.flat);
        let x = case.input("x", [self.contexts, CONTEXT], &self.x);
        let y = case.input("y", [self.contexts, self.candidates, ACTION], &self.y);
        let seed =
            case.packed("output_gradient", self.contexts * self.candidates, self.outputs(), &self.seed);
        let recording = &mut case.recording;
        let inputs = [("action", y), ("context", x)];
        let forward = self.network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
        let gradient = self
            .network
            .record_parameter_gradient(recording, parameters, &forward, seed, GradientMode::Overwrite)
            .unwrap();
        let dx =
            self.network.record_input_gradient(recording, parameters, &forward, seed, "context").unwrap();
        let dy = self.network.record_input_gradient(recording, parameters, &forward, seed, "action").unwrap();
        assert_eq!(recording.shape(dy).unwrap(), recording.shape(y).unwrap());
        assert_eq!(recording.shape(dx).unwrap(), recording.shape(x).unwrap());
        for (name, value) in
            [("output", forward.packed_output), ("gradient", gradient), ("dx", dx), ("dy", dy)]
        {
            case.output(name, value);
        }
        let found = self.passes(&case.recording.describe());
        assert!(if ranges == 1 { found == 1 } else { found >= ranges }, "{found} ranges of rows");
        case.run()
    }

    /// How many ranges of rows a recording's table shows in its forward pass.
    pub fn passes(&self, table: &str) -> usize {
        table.lines().filter(|line| line.contains("forward layers.0.weight.action")).count()
    }

    /// Fails unless everything equals the reference.
    pub fn check(&self, adapter: &Adapter, results: &Results) {
        let expected = self.expected(&wide(&self.seed));
        near(results, "output", &results.packed("output"), &expected.output);
        check_parameters(adapter, results, &self.layout, &expected.parameters);
        let (dx, dy) = self.denormalized(&expected);
        near(results, "dx", &results.get("dx"), &dx);
        near(results, "dy", &results.get("dy"), &dy);
    }
}

/// Fails unless the parameter gradient of a run equals the reference's, with zeros between the
/// slices.
pub fn check_parameters(adapter: &Adapter, results: &Results, layout: &ParameterLayout, expected: &[f64]) {
    let flat: Vec<f32> = results.get("gradient");
    // Element by element of each slice: small gradients must not hide behind those of another
    // layer.
    let mut rest = expected;
    for slice in &layout.slices {
        let (head, tail) = rest.split_at(slice.rows * slice.columns);
        near(results, &slice.name, &layout.extract(slice, &flat), head);
        rest = tail;
    }
    assert!(rest.is_empty(), "{} parameters of the reference are left over", rest.len());
    let mut padding = flat;
    for slice in &layout.slices {
        layout.insert(slice, &vec![0.0; slice.rows * slice.columns], &mut padding);
    }
    assert!(padding.iter().all(|v| *v == 0.0), "{}: padding of the gradient is not zero", adapter.name);
}

/// A few layers of sums of at most 65 terms, each with its activation's error (4e-6): 3e-5 of the
/// largest element. A wrong term in an element is of the order of the element itself.
pub fn near(results: &Results, what: &str, found: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    results.expect(what, found, expected, |_: usize| 3e-5 * largest);
}
