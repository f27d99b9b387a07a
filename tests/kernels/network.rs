//! Kernels in concert: forward and backward passes of networks, repeated runs, checked shaders.

use gibbs::energy::{Objective, ranking_nce};
use gibbs::gpu::random::{Distribution, stream_id};
use gibbs::gpu::{DType, DeviceClass, Gpu, Shape, random};
use gibbs::nn::dense_forward::{DenseForward, Start};
use gibbs::nn::{
    Activation, Affine, Encoding, Fourier, FourierColumns, GradientMode, Input, Keep, Network,
    ParameterLayout, dense_forward, dense_weight_gradient, pack_inputs,
};
use gibbs::proposal::{Draws, MixtureShape, mixture_sample};
use gibbs_reference::compose::mlp::flatten;
use gibbs_reference::compose::{CandidateGradient, Layer, Mlp, ranking_nce_gradient};
use gibbs_reference::nn as reference;

use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    networks_equal_the_reference,
    gradients_of_a_weighted_sum_are_difference_quotients,
    gradients_of_the_ranking_loss_equal_the_reference,
    the_same_seed_gives_the_same_bits,
    checked_shaders_give_the_same_bits,
);

const CONTEXT: usize = 3;
const ACTION: usize = 2;

/// A network with two normalised inputs, its parameters, and a batch.
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

fn affine(seed: u32, width: usize) -> Affine {
    Affine { shift: data(seed, width), scale: data(seed + 1, width).iter().map(|v| 1.5 + v).collect() }
}

impl Model {
    pub fn new(
        contexts: usize,
        candidates: usize,
        hidden: &[usize],
        activation: Activation,
        outputs: usize,
    ) -> Self {
        Self::encoded(contexts, candidates, hidden, activation, outputs, [Encoding::Raw, Encoding::Raw])
    }

    /// As [`Model::new`], with encodings of context and action.
    pub fn encoded(
        contexts: usize,
        candidates: usize,
        hidden: &[usize],
        activation: Activation,
        outputs: usize,
        [context, action]: [Encoding; 2],
    ) -> Self {
        let inputs = vec![
            Input::normalised("context", affine(90, CONTEXT)).encoded(context),
            Input::normalised("action", affine(92, ACTION)).encoded(action),
        ];
        let network = Network::mlp(inputs, hidden, activation, outputs);
        let rows = contexts * candidates;
        let mut model = Self {
            layout: network.layout(),
            network: network.clone(),
            flat: Vec::new(),
            contexts,
            candidates,
            x: data(94, contexts * CONTEXT),
            y: data(95, rows * ACTION),
            seed: data(96, rows * outputs).iter().map(|v| 1.7 * v).collect(),
        };
        model.set_network(network);
        model
    }

    /// Another network for the same batch, with parameters of its own.
    pub fn set_network(&mut self, network: Network) {
        let layout = network.layout();
        self.flat = vec![0.0; layout.len];
        for (index, slice) in layout.slices.iter().enumerate() {
            let limit = 1.2 / (slice.fan_in as f32).sqrt();
            // Of either sign in equal parts, so that sums neither grow nor die from layer to layer.
            let values: Vec<f32> = data(100 + index as u32, slice.rows * slice.columns)
                .iter()
                .enumerate()
                .map(|(at, v)| if (at / 3) % 2 == 0 { limit * v } else { -limit * v })
                .collect();
            layout.insert(slice, &values, &mut self.flat);
        }
        (self.network, self.layout) = (network, layout);
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    /// The device's buffer in the reference's order: per layer the weights, then the bias.
    fn unpadded(&self, flat: &[f32]) -> Vec<f64> {
        self.layout.slices.iter().flat_map(|slice| wide(&self.layout.extract(slice, flat))).collect()
    }

    fn mlp(&self) -> Mlp {
        let mut inputs = self.network.input_width();
        let layers = self
            .network
            .layers
            .iter()
            .map(|layer| {
                let gibbs::nn::Layer::Dense(dense) = layer else { panic!("dense layers alone") };
                let (weights, bias) = (vec![0.0; inputs * dense.outputs], vec![0.0; dense.outputs]);
                let activation = match dense.activation {
                    Activation::Identity => reference::Activation::Identity,
                    Activation::Relu => reference::Activation::Relu,
                    Activation::Silu => reference::Activation::Silu,
                    Activation::Tanh => reference::Activation::Tanh,
                    Activation::Gelu => reference::Activation::Gelu,
                    Activation::Softplus => reference::Activation::Softplus,
                };
                let layer = Layer { inputs, outputs: dense.outputs, weights, bias, activation };
                inputs = dense.outputs;
                layer
            })
            .collect();
        Mlp { layers }.with_parameters(&self.unpadded(&self.flat))
    }

    /// The batch in the network's own units, encoded.
    fn normalised(&self) -> (Vec<f64>, Vec<f64>) {
        let pack = |values: &[f32], input: &Input| {
            let (shift, scale) = (wide(&input.affine.shift), wide(&input.affine.scale));
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
    fn denormalised(&self, gradient: &CandidateGradient) -> (Vec<f64>, Vec<f64>) {
        let (x, y) = self.normalised();
        let unpack = |dz: &[f64], encoded: &[f64], input: &Input| {
            let scale = wide(&input.affine.scale);
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

    fn forward(&self) -> Vec<f64> {
        let (x, y) = self.normalised();
        self.mlp().forward_candidates(&x, &y, self.contexts, self.candidates).output().to_vec()
    }

    fn backward(&self) -> CandidateGradient {
        let (x, y) = self.normalised();
        let mlp = self.mlp();
        let trace = mlp.forward_candidates(&x, &y, self.contexts, self.candidates);
        mlp.backward_candidates(&trace, &wide(&self.seed))
    }

    /// Output, parameter gradient and input gradients of one device.
    pub fn run(&self, adapter: &Adapter) -> Results {
        self.run_on(adapter, &adapter.gpu, 1)
    }

    /// As [`Model::run`], on another device of the adapter, and with at least so many ranges of rows.
    pub fn run_on(&self, adapter: &Adapter, gpu: &Gpu, ranges: usize) -> Results {
        let label = format!("network {}x{} {:?}", self.contexts, self.candidates, self.network.layers);
        let mut case = Case::on(adapter, gpu, gpu.capabilities().class, label);
        let parameters = case.input("parameters", [self.flat.len()], &self.flat);
        let x = case.input("x", [self.contexts, CONTEXT], &self.x);
        let y = case.input("y", [self.contexts, self.candidates, ACTION], &self.y);
        let seed = case.packed("seed", self.contexts * self.candidates, self.outputs(), &self.seed);
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
        for (name, value) in [("output", forward.output), ("gradient", gradient), ("dx", dx), ("dy", dy)] {
            case.output(name, value);
        }
        let found = self.passes(&case.recording.describe());
        assert!(if ranges == 1 { found == 1 } else { found >= ranges }, "{found} ranges of rows");
        case.run()
    }

    /// How many ranges of rows a recording's table shows in its forward pass.
    fn passes(&self, table: &str) -> usize {
        table.lines().filter(|line| line.contains("forward layers.0.weight.action")).count()
    }

    /// Fails unless everything equals the reference.
    pub fn check(&self, adapter: &Adapter, results: &Results) {
        near(results, "output", &results.packed("output"), &self.forward());
        let expected = self.backward();
        let flat: Vec<f32> = results.get("gradient");
        // Element by element of each slice: small gradients must not hide behind those of another layer.
        let mut rest = &flatten(&expected.layers)[..];
        for slice in &self.layout.slices {
            let (head, tail) = rest.split_at(slice.rows * slice.columns);
            near(results, &slice.name, &self.layout.extract(slice, &flat), head);
            rest = tail;
        }
        let mut padding = flat.clone();
        for slice in &self.layout.slices {
            self.layout.insert(slice, &vec![0.0; slice.rows * slice.columns], &mut padding);
        }
        assert!(padding.iter().all(|v| *v == 0.0), "{}: padding of the gradient is not zero", adapter.name);
        let (dx, dy) = self.denormalised(&expected);
        near(results, "dx", &results.get("dx"), &dx);
        near(results, "dy", &results.get("dy"), &dy);
    }
}

/// Three layers of sums of at most 65 terms, each with its activation's error (4e-6): 2e-5 of the largest element. A
/// wrong term in an element is of the order of the element itself.
fn near(results: &Results, what: &str, found: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    results.expect(what, found, expected, |_: usize| 2e-5 * largest);
}

fn models() -> Vec<Model> {
    vec![
        Model::new(5, 7, &[17, 9], Activation::Silu, 1),
        Model::new(7, 65, &[64, 63], Activation::Tanh, 1),
        Model::new(1, 257, &[7], Activation::Silu, 3),
        // Frequencies of a few turns per unit, the context's own numbers beside its features.
        Model::encoded(
            7,
            17,
            &[33],
            Activation::Tanh,
            2,
            [
                Encoding::Fourier(
                    Fourier::gaussian(CONTEXT, 5, 0.4, 1).with_columns(FourierColumns::FeaturesAndInput),
                ),
                Encoding::Fourier(Fourier::gaussian(ACTION, 3, 0.3, 2)),
            ],
        ),
        // One candidate: the context is not shared and comes second in the first layer.
        Model::new(63, 1, &[65, 5], Activation::Tanh, 7),
        Model::new(41, 51, &[33], Activation::Silu, 1),
    ]
}

fn networks_equal_the_reference(adapter: &Adapter) {
    for model in models() {
        let results = model.run(adapter);
        model.check(adapter, &results);
    }
}

/// The device's gradient of `sum_r c_r out_r` against central differences of the f64 forward pass alone, along
/// directions that weigh every element differently. The activations are smooth: no kink to step across.
fn gradients_of_a_weighted_sum_are_difference_quotients(adapter: &Adapter) {
    const STEP: f64 = 1e-5;
    for mut model in models() {
        let results = model.run(adapter);
        let value =
            |output: &[f64]| -> f64 { wide(&model.seed).iter().zip(output).map(|(c, v)| c * v).sum() };

        let gradient = model.unpadded(&results.get::<f32>("gradient"));
        let mlp = model.mlp();
        let (x, y) = model.normalised();
        let at = mlp.parameters();
        for direction in [200, 201] {
            let direction = wide(&data(direction, at.len()));
            let moved = |sign: f64| {
                let parameters: Vec<f64> =
                    at.iter().zip(&direction).map(|(p, d)| p + sign * STEP * d).collect();
                let moved = mlp.with_parameters(&parameters);
                value(moved.forward_candidates(&x, &y, model.contexts, model.candidates).output())
            };
            expect_slope(
                adapter,
                "parameters",
                &gradient,
                &direction,
                (moved(1.0) - moved(-1.0)) / (2.0 * STEP),
            );
        }

        // In data units: the chain rule of the normaliser is part of it.
        for name in ["dx", "dy"] {
            let gradient = wide(&results.get::<f32>(name));
            let direction = data(202, gradient.len());
            // A power of two, and f32 data of three digits more: the step is exact enough.
            let step = 2f32.powi(-8);
            let mut moved = |sign: f32| {
                let before = (model.x.clone(), model.y.clone());
                let target = if name == "dx" { &mut model.x } else { &mut model.y };
                target.iter_mut().zip(&direction).for_each(|(v, d)| *v += sign * step * d);
                let output = model.forward();
                let moved: Vec<f64> = wide(if name == "dx" { &model.x } else { &model.y });
                (model.x, model.y) = before;
                (wide(&model.seed).iter().zip(&output).map(|(c, v)| c * v).sum::<f64>(), moved)
            };
            let ((above, high), (below, low)) = (moved(1.0), moved(-1.0));
            let taken: Vec<f64> = high.iter().zip(&low).map(|(h, l)| h - l).collect();
            let predicted: f64 = gradient.iter().zip(&taken).map(|(g, t)| g * t).sum();
            let size: f64 = gradient.iter().zip(&taken).map(|(g, t)| (g * t).abs()).sum();
            // The third derivative over a step of 1/256 leaves some 1e-4.
            assert!(
                (predicted - (above - below)).abs() <= 1e-3 * size,
                "{}: {name}: {predicted} for {}",
                adapter.name,
                above - below
            );
        }
    }
}

fn expect_slope(adapter: &Adapter, what: &str, gradient: &[f64], direction: &[f64], quotient: f64) {
    let terms = || gradient.iter().zip(direction).map(|(g, d)| g * d);
    let (found, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
    assert!(
        (found - quotient).abs() <= 1e-5 * size,
        "{}: {what}: slope {found}, difference quotient {quotient}, size {size}",
        adapter.name
    );
}

/// The seed comes from the loss kernel: forward, loss and backward in one recording.
fn gradients_of_the_ranking_loss_equal_the_reference(adapter: &Adapter) {
    for (contexts, candidates) in [(7, 17), (5, 65)] {
        let model = Model::new(contexts, candidates, &[33, 17], Activation::Silu, 1);
        let log_q: Vec<f32> = data(97, contexts * candidates).iter().map(|v| 2.0 * v).collect();
        for objective in [Objective::Rnce, Objective::InfoNce] {
            let mut case =
                Case::new(adapter, format!("ranking gradient {contexts}x{candidates} {objective:?}"));
            let parameters = case.input("parameters", [model.flat.len()], &model.flat);
            let x = case.input("x", [contexts, CONTEXT], &model.x);
            let y = case.input("y", [contexts, candidates, ACTION], &model.y);
            let q = case.input("log_q", [contexts, candidates], &log_q);
            let recording = &mut case.recording;
            let inputs = [("context", x), ("action", y)];
            let forward = model.network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
            let loss = ranking_nce::record(recording, objective, forward.output, q).unwrap();
            let network = &model.network;
            let gradient = network
                .record_parameter_gradient(
                    recording,
                    parameters,
                    &forward,
                    loss.seed,
                    GradientMode::Overwrite,
                )
                .unwrap();
            case.output("loss", loss.loss);
            case.output("gradient", gradient);
            let results = case.run();
            let (x, y) = model.normalised();
            let correction = objective == Objective::Rnce;
            let expected =
                ranking_nce_gradient(&model.mlp(), &x, &y, &wide(&log_q), contexts, candidates, correction);
            let losses = wide(&results.get::<f32>("loss"));
            let mean = losses.iter().sum::<f64>() / contexts as f64;
            near(&results, "mean loss", &[mean as f32], &[expected.loss]);
            let flat: Vec<f32> = results.get("gradient");
            let mut rest = &expected.gradient[..];
            for slice in &model.layout.slices {
                let (head, tail) = rest.split_at(slice.rows * slice.columns);
                // The last bias moves all candidates alike: its gradient is what rounding leaves of 0.
                let last = slice.name == "layers.2.bias";
                let found = model.layout.extract(slice, &flat);
                match last {
                    true => results.expect(&slice.name, &found, head, |_: usize| 1e-6),
                    false => near(&results, &slice.name, &found, head),
                }
                rest = tail;
            }
        }
    }
}

fn the_same_seed_gives_the_same_bits(adapter: &Adapter) {
    let model = &models()[1];
    let (first, second) = (model.run(adapter), model.run(adapter));
    for name in ["output", "gradient", "dx", "dy"] {
        second.expect_words(name, &second.bits(name), &first.bits(name));
    }

    let draws = |seed: u64, step: u64| {
        let shape = MixtureShape::new(5, affine(98, ACTION));
        let outputs = data(99, 7 * shape.outputs());
        let mut case = Case::new(adapter, "repeated draws");
        case.run_state(seed, step);
        let value = case.packed("outputs", 7, shape.outputs(), &outputs);
        let y = case.poisoned("y", DType::F32, [7, 65, ACTION]);
        let draws = Draws { candidates: y, first: 0, count: 65, stream: "test/repeat", inner: 0 };
        mixture_sample::record(&mut case.recording, value, &shape, &draws).unwrap();
        let normals = case.poisoned("normals", DType::F32, [257]);
        let stream = u32::from(stream_id("test/normals"));
        random::record(&mut case.recording, Distribution::Normal, stream, 0, normals).unwrap();
        let results = case.run();
        [results.bits("y"), results.bits("normals")].concat()
    };
    let same = draws(7, 3);
    assert!(draws(7, 3) == same, "{}: the same seed and step draw other numbers", adapter.name);
    assert!(draws(8, 3) != same && draws(7, 4) != same, "{}: seed or step do not matter", adapter.name);
}

/// Outputs of a dense layer, a weight gradient and a ranking loss, as bits.
fn mixed_kernels(adapter: &Adapter, gpu: &Gpu) -> Vec<u32> {
    let (rows, inputs, outputs) = (65, 63, 65);
    let network = Network::mlp(vec![Input::new("x", inputs)], &[outputs], Activation::Silu, 1);
    let layout = network.layout();
    let mut flat = vec![0.0; layout.len];
    for slice in &layout.slices {
        layout.insert(slice, &data(300, slice.rows * slice.columns), &mut flat);
    }
    let mut case = Case::on(adapter, gpu, DeviceClass::Gpu, "checked against trusted");
    let parameters = case.input("parameters", [layout.len], &flat);
    let x = case.input("x", [rows, inputs], &data(301, rows * inputs));
    let dz = case.packed("dz", rows, outputs, &data(302, rows * outputs));
    let energy = case.packed("energy", 5 * 13, 1, &data(303, 65));
    let log_q = case.input("log_q", [5, 13], &data(304, 65));
    let partials = case.poisoned("partials", DType::F32, [3, layout.len]);
    let weight = &layout.slices[0];
    let bias = layout.slice("layers.0.bias").unwrap();
    let recording = &mut case.recording;
    let h = pack_inputs::record(recording, x, &network.inputs[0].affine).unwrap();
    let (start, activation) = (Start::Bias(bias), Activation::Silu);
    let spec = DenseForward { parameters, weight, start, activation, keep_slope: true };
    let written = dense_forward::record(recording, h, &spec).unwrap();
    dense_weight_gradient::record(recording, h, dz, weight, Some(bias), partials).unwrap();
    let ranking = ranking_nce::record(recording, Objective::Rnce, energy, log_q).unwrap();
    assert_eq!(recording.shape(written.output).unwrap(), &Shape::packed(rows, outputs));
    case.output("output", written.output);
    case.output("slope", written.slope.unwrap());
    case.output("loss", ranking.loss);
    case.output("seed", ranking.seed);
    let results = case.run();
    ["output", "slope", "partials", "loss", "seed"].iter().flat_map(|name| results.bits(name)).collect()
}

fn checked_shaders_give_the_same_bits(adapter: &Adapter) {
    let (checked, trusted) = (adapter.reopen(true), adapter.reopen(false));
    assert!(checked.capabilities().checked && !trusted.capabilities().checked);
    let (checked, trusted) = (mixed_kernels(adapter, &checked), mixed_kernels(adapter, &trusted));
    let differs = checked.iter().zip(&trusted).filter(|(a, b)| a != b).count();
    assert_eq!(differs, 0, "{}: checked and trusted shaders differ in that many words", adapter.name);
}
