//! Batches beyond a binding: networks that go through in ranges of rows.

use gibbs::gpu::{Gpu, Shape};
use gibbs::nn::{Activation, Dense, Encoding, Fourier, GradientMode, Input, Keep, LayerNorm, Network, Norms};
use gibbs_reference::compose::{Layer, Mlp};
use gibbs_reference::nn as reference;

use super::network::Model;
use crate::common::{Adapter, Case, data, every_adapter, lavapipe, wide};

every_adapter!(
    networks_cut_into_ranges_equal_the_reference,
    norms_and_residual_blocks_go_through_in_ranges,
    ranges_give_the_same_bits_again,
    the_widest_layers_equal_the_reference,
    networks_of_width_one_equal_the_reference;
    long: the_largest_layer_equals_the_reference, a_million_rows_equal_the_reference,
);

/// 240 rows of 68 numbers.
const NARROW: u64 = 64 << 10;

/// Cuts lie within contexts, at their borders, and where there are no shared contexts.
fn models() -> Vec<(Model, usize)> {
    let fourier = [
        Encoding::Fourier(Fourier::gaussian(3, 5, 0.4, 1).with_input()),
        Encoding::Fourier(Fourier::gaussian(2, 3, 0.3, 2)),
    ];
    vec![
        (Model::new(17, 61, &[65, 33], Activation::Silu, 1), 5),
        (Model::new(1, 2051, &[65], Activation::Silu, 1), 9),
        (Model::new(1025, 3, &[65, 7], Activation::Tanh, 2), 13),
        (Model::new(4099, 1, &[65], Activation::Tanh, 1), 18),
        (Model::encoded(33, 64, &[65], Activation::Silu, 65, fourier), 9),
    ]
}

fn networks_cut_into_ranges_equal_the_reference(adapter: &Adapter) {
    let gpu = adapter.narrow(NARROW);
    for (model, ranges) in models() {
        let results = model.run_on(adapter, &gpu, ranges);
        model.check(adapter, &results);
    }
}

fn norms_and_residual_blocks_go_through_in_ranges(adapter: &Adapter) {
    let model = Model::of(17, 61, |inputs| {
        let network = Network::preactivation(inputs, 33, 2, Activation::Tanh, 2);
        network.with_norms(Norms::BeforeActivations(LayerNorm::default()))
    });
    let results = model.run_on(adapter, &adapter.narrow(NARROW), 3);
    model.check(adapter, &results);
}

fn ranges_give_the_same_bits_again(adapter: &Adapter) {
    let gpu = adapter.narrow(NARROW);
    let (model, ranges) = models().swap_remove(0);
    let (first, second) = (model.run_on(adapter, &gpu, ranges), model.run_on(adapter, &gpu, ranges));
    for name in ["output", "gradient", "dx", "dy"] {
        second.expect_words(name, &second.bits(name), &first.bits(name));
    }
}

fn the_widest_layers_equal_the_reference(adapter: &Adapter) {
    single_input(adapter, &adapter.gpu, 7, 4096, &[5, 4096]);
}

fn networks_of_width_one_equal_the_reference(adapter: &Adapter) {
    single_input(adapter, &adapter.gpu, 4099, 1, &[1, 1]);
    // 4096 packed rows to a binding.
    single_input(adapter, &adapter.narrow(NARROW), 10_001, 1, &[1]);
}

/// A network of one input against the reference: output, parameter gradient and input gradient.
fn single_input(adapter: &Adapter, gpu: &Gpu, rows: usize, width: usize, hidden: &[usize]) {
    let batch = Batch::new(rows, rows, width, hidden);
    batch.check(adapter, gpu, 2e-5);
}

fn dense(layer: &gibbs::nn::Layer) -> &Dense {
    let gibbs::nn::Layer::Dense(dense) = layer else { panic!("dense layers alone") };
    dense
}

/// A batch of `rows` rows in which the first `period` come again and again.
struct Batch {
    network: Network,
    rows: usize,
    period: usize,
    x: Vec<f32>,
    seed: Vec<f32>,
    flat: Vec<f32>,
}

impl Batch {
    fn new(rows: usize, period: usize, width: usize, hidden: &[usize]) -> Self {
        let network = Network::mlp(vec![Input::new("x", width)], hidden, Activation::Silu, 1);
        let layout = network.layout();
        let mut flat = vec![0.0; layout.len];
        for (index, slice) in layout.slices.iter().enumerate() {
            let limit = 1.2 / (slice.fan_in as f32).sqrt();
            let values: Vec<f32> = data(110 + index as u32, slice.rows * slice.columns)
                .iter()
                .enumerate()
                .map(|(at, v)| if (at / 3) % 2 == 0 { limit * v } else { -limit * v })
                .collect();
            layout.insert(slice, &values, &mut flat);
        }
        let (x, seed) = (data(120, period * width), data(121, period));
        Self { network, rows, period, x, seed, flat }
    }

    fn repeated(&self, values: &[f32]) -> Vec<f32> {
        let width = values.len() / self.period;
        values.iter().copied().cycle().take(self.rows * width).collect()
    }

    /// `tolerance`: of the largest element.
    fn check(&self, adapter: &Adapter, gpu: &Gpu, tolerance: f64) {
        let (rows, width) = (self.rows, self.network.input_width());
        let layout = self.network.layout();
        let label = format!("{rows} rows through {:?}", self.network.layers);
        let mut case = Case::on(adapter, gpu, gpu.capabilities().class, label);
        let parameters = case.input("parameters", [self.flat.len()], &self.flat);
        let x = case.input("x", [rows, width], &self.repeated(&self.x));
        let seed = case.packed("seed", rows, 1, &self.repeated(&self.seed));
        let (recording, network) = (&mut case.recording, &self.network);
        let forward = network.record_forward(recording, parameters, &[("x", x)], Keep::Slopes).unwrap();
        let gradient = network
            .record_parameter_gradient(recording, parameters, &forward, seed, GradientMode::Overwrite)
            .unwrap();
        let dx = network.record_input_gradient(recording, parameters, &forward, seed, "x").unwrap();
        assert_eq!(recording.shape(forward.packed_output).unwrap(), &Shape::packed(rows, 1));
        let widest =
            network.layers.iter().map(|layer| dense(layer).outputs).max().unwrap().next_multiple_of(4);
        let limit = gpu.capabilities().max_binding_bytes();
        let cut = (4 * widest * rows) as u64 > limit;
        assert_eq!(recording.describe().contains("/rows 0.."), cut, "{}", recording.describe());
        for (name, value) in [("output", forward.packed_output), ("gradient", gradient), ("dx", dx)] {
            case.output(name, value);
        }
        let results = case.run();

        let mut inputs = width;
        let mut layers = Vec::new();
        for (index, layer) in network.layers.iter().enumerate() {
            let dense = dense(layer);
            let last = index + 1 == network.layers.len();
            layers.push(Layer {
                inputs,
                outputs: dense.outputs,
                weights: vec![0.0; inputs * dense.outputs],
                bias: vec![0.0; dense.outputs],
                activation: if last { reference::Activation::Identity } else { reference::Activation::Silu },
            });
            inputs = dense.outputs;
        }
        let unpadded: Vec<f64> =
            layout.slices.iter().flat_map(|slice| wide(&layout.extract(slice, &self.flat))).collect();
        let mlp = Mlp { layers }.with_parameters(&unpadded);
        let trace = mlp.forward(&wide(&self.x));
        let plain = mlp.backward(&trace, &wide(&self.seed));
        // Rows that come more than once weigh as much in the sums over rows.
        let times = |row: usize| (rows - row).div_ceil(self.period) as f64;
        let weighted: Vec<f64> =
            self.seed.iter().enumerate().map(|(row, c)| f64::from(*c) * times(row)).collect();
        let summed = mlp.backward(&trace, &weighted);
        let near = |what: &str, found: &[f32], expected: &[f64]| {
            let largest = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
            results.expect(what, found, expected, |_: usize| tolerance * largest);
        };
        let again = |values: &[f64]| -> Vec<f64> {
            let width = values.len() / self.period;
            values.iter().copied().cycle().take(rows * width).collect()
        };
        near("output", &results.packed("output"), &again(trace.output()));
        near("dx", &results.get("dx"), &again(&plain.inputs));
        let flat: Vec<f32> = results.get("gradient");
        let expected = gibbs_reference::compose::mlp::flatten(&summed.layers);
        let mut rest = &expected[..];
        for slice in &layout.slices {
            let (head, tail) = rest.split_at(slice.rows * slice.columns);
            near(&slice.name, &layout.extract(slice, &flat), head);
            rest = tail;
        }
    }
}

/// 67 MB of parameters, of which one partial sum fits.
fn the_largest_layer_equals_the_reference() {
    let adapter = lavapipe();
    single_input(adapter, &adapter.reopen(false), 7, 4096, &[4096]);
}

/// 997 different rows, over and over: no range begins with the same one as another.
fn a_million_rows_equal_the_reference() {
    let adapter = lavapipe();
    // Without poison: filling a gigabyte of scratch memory takes longer than the run.
    let gpu = adapter.reopen(false);
    let batch = Batch::new(1_000_000, 997, 3, &[64, 64]);
    batch.check(adapter, &gpu, 1e-4);
}
