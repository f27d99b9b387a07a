//! Inputs that go through layers of their own before the others join them.

use gibbs::gpu::Value;
use gibbs::nn::Layer::{Activate, Norm, Residual};
use gibbs::nn::{Activation, Encoding, Fourier, GradientMode, Input, Keep, Layer, LayerNorm, Network};
use gibbs_reference::nn as reference;

use super::network::{ACTION, CONTEXT, Model, check_parameters, near, normalizer, parameters, twin};
use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    inputs_with_layers_equal_the_reference,
    cut_into_ranges_they_equal_the_reference,
    the_noise_of_many_times_and_contexts_equals_the_reference,
    a_gradient_is_added_to_one_that_is_there,
);

fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::dense(outputs, activation)
}

fn norm() -> Layer {
    Norm(LayerNorm { epsilon: 1e-2 })
}

/// The context alone, as a score network has its time.
pub fn shared(inputs: Vec<Input>) -> Network {
    let [context, action] = <[Input; 2]>::try_from(inputs).unwrap();
    let context = context
        .encoded(Fourier::gaussian(CONTEXT, 5, 0.4, 1).with_input())
        .embedded(vec![dense(9, Activation::Silu), dense(7, Activation::Identity)]);
    Network::mlp(vec![context, action], &[17, 9], Activation::Tanh, 2)
}

/// Both inputs: every kind of layer first and last, and the order of the concatenation turned
/// round.
pub fn mixed(inputs: Vec<Input>) -> Network {
    let [context, action] = <[Input; 2]>::try_from(inputs).unwrap();
    let normalizer = |outputs| dense(outputs, Activation::Identity);
    let context = context.embedded(vec![
        Residual(vec![normalizer(CONTEXT), Activate(Activation::Gelu), normalizer(CONTEXT)]),
        norm(),
        Activate(Activation::Softplus),
        dense(5, Activation::Silu),
        Residual(vec![Activate(Activation::Tanh), normalizer(5), Residual(vec![normalizer(5)])]),
        Residual(vec![dense(5, Activation::Silu)]),
    ]);
    let action = action.embedded(vec![
        Residual(vec![Activate(Activation::Identity)]),
        Activate(Activation::Gelu),
        normalizer(6),
        Activate(Activation::Tanh),
        norm(),
    ]);
    Network::residual(vec![context, action], 13, 1, Activation::Softplus, 1)
}

/// A norm or an activation in front of everything, nothing that has parameters, nothing at all.
fn bare(inputs: Vec<Input>) -> Network {
    let [context, action] = <[Input; 2]>::try_from(inputs).unwrap();
    let context = context.embedded(vec![norm()]);
    let action = action.embedded(vec![Activate(Activation::Identity), Activate(Activation::Silu)]);
    Network::mlp(vec![context, action], &[9], Activation::Silu, 1)
}

fn nothing(inputs: Vec<Input>) -> Network {
    let [context, action] = <[Input; 2]>::try_from(inputs).unwrap();
    let context = context.embedded(vec![Activate(Activation::Identity)]);
    let action = action.embedded(vec![Residual(vec![Residual(vec![norm()])])]);
    Network::mlp(vec![context, action], &[7], Activation::Gelu, 1)
}

/// Layers of these widths at both inputs.
fn wide_layers(context: [usize; 2], action: usize) -> impl Fn(Vec<Input>) -> Network {
    move |inputs| {
        let [x, y] = <[Input; 2]>::try_from(inputs).unwrap();
        let x = x.embedded(context.map(|width| dense(width, Activation::Tanh)).to_vec());
        let y = y.embedded(vec![dense(action, Activation::Identity)]);
        Network::mlp(vec![x, y], &[33], Activation::Silu, 1)
    }
}

fn inputs_with_layers_equal_the_reference(adapter: &Adapter) {
    let models = [
        Model::of(1, 7, shared),
        Model::of(63, 1, shared),
        Model::of(7, 37, mixed),
        Model::of(1, 1, mixed),
        Model::of(65, 1, mixed),
        Model::of(5, 51, bare),
        Model::of(3, 21, nothing),
        // More rows of the context than row ranges of a weight gradient, and fewer.
        Model::of(257, 5, wide_layers([64, 1], 65)),
        Model::of(2, 257, wide_layers([1, 63], 7)),
        Model::of(64, 1, wide_layers([65, 64], 1)),
    ];
    for model in models {
        let results = model.run(adapter);
        model.check(adapter, &results);
    }
}

/// Cuts within contexts, at their borders and where nothing is shared; contexts that fill several
/// ranges.
fn cut_into_ranges_they_equal_the_reference(adapter: &Adapter) {
    // 240 rows of 68 numbers.
    let gpu = adapter.narrow(64 << 10);
    for (model, ranges) in [
        (Model::of(17, 61, wide_layers([65, 3], 65)), 5),
        (Model::of(1025, 3, wide_layers([65, 33], 65)), 13),
        (Model::of(3, 2051, mixed), 3),
        (Model::of(2051, 1, mixed), 2),
        (Model::of(1500, 2, wide_layers([129, 7], 5)), 2),
    ] {
        let results = model.run_on(adapter, &gpu, ranges);
        model.check(adapter, &results);
    }
}

const TIMES: usize = 3;
const CONTEXTS: usize = 5 * TIMES;
const ROWS: usize = 7 * CONTEXTS;

/// A score network: the sample first, then the time of several contexts, then the context of
/// several samples.
fn score() -> Network {
    let time = Input::new("time", 1).encoded(Fourier::gaussian(1, 16, 3.0, 4));
    let inputs = vec![
        Input::normalized("action", normalizer(92, ACTION)).embedded(vec![dense(23, Activation::Identity)]),
        time.embedded(vec![dense(9, Activation::Silu), dense(9, Activation::Identity)]),
        Input::normalized("context", normalizer(90, CONTEXT)).embedded(vec![dense(6, Activation::Silu)]),
    ];
    Network::mlp(inputs, &[33, 17], Activation::Silu, ACTION)
}

fn the_noise_of_many_times_and_contexts_equals_the_reference(adapter: &Adapter) {
    let network = score();
    let layout = network.layout();
    let flat = parameters(&layout);
    let values = [data(95, ROWS * ACTION), data(97, TIMES), data(94, CONTEXTS * CONTEXT)];
    let seed = data(96, ROWS * ACTION);
    let mut case = Case::new(adapter, "score network");
    let bound = case.input("parameters", [flat.len()], &flat);
    let y = case.input("action", [CONTEXTS, ROWS / CONTEXTS, ACTION], &values[0]);
    let time = case.input("time", [TIMES, 1], &values[1]);
    let x = case.input("context", [CONTEXTS, CONTEXT], &values[2]);
    let seeds = case.packed("seed", ROWS, ACTION, &seed);
    let recording = &mut case.recording;
    let inputs = [("action", y), ("time", time), ("context", x)];
    let forward = network.record_forward(recording, bound, &inputs, Keep::Slopes).unwrap();
    // Each input once per row of its own.
    let table = recording.describe();
    for name in ["inputs.action.layers.0", "inputs.time.layers.0", "inputs.time.layers.1"] {
        let found = table.lines().filter(|line| line.contains(&format!("forward {name}.weight"))).count();
        assert_eq!(found, 1, "{name}: {table}");
    }
    let gradient = network
        .record_parameter_gradient(recording, bound, &forward, seeds, GradientMode::Overwrite)
        .unwrap();
    let mut outputs = vec![("output", forward.packed_output), ("gradient", gradient)];
    for (name, value) in inputs {
        let found = network.record_input_gradient(recording, bound, &forward, seeds, name).unwrap();
        assert_eq!(recording.shape(found).unwrap(), recording.shape(value).unwrap());
        outputs.push((["d action", "d time", "d context"][outputs.len() - 2], found));
    }
    for (name, value) in outputs {
        case.output(name, value);
    }
    let results = case.run();

    let stored: Vec<f64> = layout.slices.iter().flat_map(|s| wide(&layout.extract(s, &flat))).collect();
    let twin = twin(&network).with_parameters(&stored);
    let rows = [ROWS, TIMES, CONTEXTS];
    let encoded: Vec<Vec<f64>> = network.inputs.iter().zip(&values).map(|(i, v)| encode(i, v)).collect();
    let pairs: Vec<(&[f64], usize)> = encoded.iter().zip(rows).map(|(v, rows)| (&v[..], rows)).collect();
    let trace = twin.forward(&pairs, ROWS);
    let expected = twin.backward(&trace, &wide(&seed));
    near(&results, "output", &results.packed("output"), trace.output());
    check_parameters(adapter, &results, &layout, &expected.parameters);
    for (at, input) in network.inputs.iter().enumerate() {
        let name = format!("d {}", input.name);
        let scale = wide(&input.normalizer.scale);
        let dz = &expected.inputs[at];
        let dx = match &input.encoding {
            Encoding::Raw => reference::unpack_gradient(dz, &scale),
            Encoding::Fourier(fourier) => {
                let matrix = wide(&fourier.frequencies);
                reference::fourier_gradient(dz, &encoded[at], &scale, &matrix, 0).value
            }
        };
        near(&results, &name, &results.get(&name), &dx);
    }
}

/// Rows of an input as the network's layers take them.
pub fn encode(input: &Input, values: &[f32]) -> Vec<f64> {
    let (shift, scale) = (wide(&input.normalizer.shift), wide(&input.normalizer.scale));
    match &input.encoding {
        Encoding::Raw => reference::pack_inputs(&wide(values), &shift, &scale),
        Encoding::Fourier(fourier) => {
            let kept = input.encoded_width() - 2 * fourier.count;
            reference::fourier_features(&wide(values), &shift, &scale, &wide(&fourier.frequencies), kept)
        }
    }
}

/// Two seeds in one recording give the gradient of their sum.
fn a_gradient_is_added_to_one_that_is_there(adapter: &Adapter) {
    let model = Model::of(7, 9, mixed);
    let rows = model.contexts * model.candidates;
    let parts = [data(196, rows), data(197, rows)];
    let run = |seeds: &[&[f32]]| -> Vec<f32> {
        let mut case = Case::new(adapter, "gradients of inputs' layers add up");
        let parameters = case.input("parameters", [model.flat.len()], &model.flat);
        let x = case.input("x", [model.contexts, CONTEXT], &model.x);
        let y = case.input("y", [model.contexts, model.candidates, ACTION], &model.y);
        let values: Vec<Value> =
            seeds.iter().enumerate().map(|(at, s)| case.packed(&format!("seed {at}"), rows, 1, s)).collect();
        let (recording, network) = (&mut case.recording, &model.network);
        let inputs = [("context", x), ("action", y)];
        let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
        let mut mode = GradientMode::Overwrite;
        for seed in values {
            let sum = network.record_parameter_gradient(recording, parameters, &forward, seed, mode).unwrap();
            mode = GradientMode::Accumulate(sum);
        }
        let GradientMode::Accumulate(sum) = mode else { unreachable!("a seed") };
        case.output("gradient", sum);
        case.run().get("gradient")
    };
    let both = run(&[&parts[0], &parts[1]]);
    let sums: Vec<f32> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
    let once = run(&[&sums]);
    let largest = once.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    assert!(largest > 0.1, "{largest}");
    for (at, (found, expected)) in both.iter().zip(&once).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * largest, "{}, {at}: {found} {expected}", adapter.name);
    }
}
