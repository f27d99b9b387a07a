//! Kernels in concert: forward and backward passes of networks, repeated runs, checked shaders.

use gibbs::gpu::run::random;
use gibbs::gpu::run::random::{Distribution, stream_id};
use gibbs::gpu::{Column, DType, DeviceClass, Gpu, Shape};
use gibbs::loss::{RankingObjective, ranking_nce, ranking_network};
use gibbs::nn::dense;
use gibbs::nn::dense::dense_forward::{DenseForward, Start};
use gibbs::nn::dense::dense_input_gradient::Epilogue;
use gibbs::nn::passes::{add_residual, pack_inputs};
use gibbs::nn::{
    Activation, Encoding, FlatGradient, Fourier, GradientMode, Input, Keep, LayerNorm, Network, Norms,
};
use gibbs::proposal::{Draws, MixtureShape, mixture_sample};
use gibbs_reference::compose::ranking_nce_gradient;
use gibbs_reference::loss::ranking_network as ranking_network_reference;
use gibbs_reference::nn as reference;

use crate::common::{Adapter, Case, data, every_adapter, wide};

mod model;

pub use model::{ACTION, CONTEXT, Model, check_parameters, near, normalizer, parameters, twin};

every_adapter!(
    networks_equal_the_reference,
    gradients_of_a_weighted_sum_are_difference_quotients,
    gradients_of_the_ranking_loss_equal_the_reference,
    ranked_networks_equal_the_reference,
    ranked_networks_without_a_context_equal_the_reference,
    a_network_that_no_kernel_holds_is_left_to_its_layers,
    the_gradient_of_a_scaled_output_within_a_larger_sum,
    gradients_of_two_batches_add_up,
    the_same_seed_gives_the_same_bits,
    checked_shaders_give_the_same_bits,
);

fn models() -> Vec<Model> {
    let norms = Norms::BeforeActivations(LayerNorm { epsilon: 1e-2 });
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
                Encoding::Fourier(Fourier::gaussian(CONTEXT, 5, 0.4, 1).with_input()),
                Encoding::Fourier(Fourier::gaussian(ACTION, 3, 0.3, 2)),
            ],
        ),
        // One candidate: the context is not shared and comes second in the first layer.
        Model::new(63, 1, &[65, 5], Activation::Tanh, 7),
        Model::new(41, 51, &[33], Activation::Gelu, 1),
        Model::of(5, 13, |inputs| Network::residual(inputs, 33, 2, Activation::Softplus, 1)),
        Model::of(7, 9, |inputs| Network::preactivation(inputs, 17, 2, Activation::Silu, 3)),
        Model::of(65, 1, |inputs| {
            Network::preactivation(inputs, 64, 1, Activation::Gelu, 1).with_norms(norms)
        }),
        Model::of(3, 41, |inputs| Network::residual(inputs, 9, 1, Activation::Tanh, 1).with_norms(norms)),
        Model::of(11, 7, nested),
        // Activations behind the last layer, within it and on their own.
        Model::of(5, 13, |inputs| {
            let dense = gibbs::nn::Layer::dense;
            let layers = vec![
                dense(17, Activation::GeluTanh),
                dense(12, Activation::Elu),
                dense(9, Activation::Mish),
                dense(3, Activation::Tanh),
            ];
            Network { inputs, layers }
        }),
        Model::of(1, 33, |inputs| {
            let mut network = Network::mlp(inputs, &[12], Activation::Mish, 1);
            network.layers.push(gibbs::nn::Layer::Activate(Activation::Softplus));
            network
        }),
        Model::of(5, 13, super::inputs::shared),
        Model::of(7, 3, super::inputs::mixed),
    ]
}

/// Every kind of layer, at each place where something can be fused with it or must not be.
fn nested(inputs: Vec<Input>) -> Network {
    use gibbs::nn::Layer::{Activate, Norm, Residual};
    let dense = gibbs::nn::Layer::dense;
    let (norm, normalizer) = (|| Norm(LayerNorm { epsilon: 1e-2 }), || dense(15, Activation::Identity));
    let layers = vec![
        normalizer(),
        Activate(Activation::Silu),
        Residual(vec![
            norm(),
            Activate(Activation::Tanh),
            dense(7, Activation::Softplus),
            normalizer(),
            Residual(vec![Activate(Activation::Gelu), normalizer()]),
        ]),
        norm(),
        // Two sums behind one layer, then one behind an activation, a norm and nothing.
        Residual(vec![Residual(vec![normalizer()])]),
        Residual(vec![dense(15, Activation::Tanh)]),
        Residual(vec![Residual(vec![norm()]), Activate(Activation::Tanh)]),
        Residual(vec![Activate(Activation::Identity)]),
        Activate(Activation::Silu),
        dense(2, Activation::Identity),
    ];
    Network { inputs, layers }
}

fn networks_equal_the_reference(adapter: &Adapter) {
    for model in models() {
        let results = model.run(adapter);
        model.check(adapter, &results);
    }
}

/// The device's gradient of `sum_r c_r out_r` against central differences of the f64 forward pass
/// alone, along directions that weigh every element differently. The activations are smooth: no
/// kink to step across.
fn gradients_of_a_weighted_sum_are_difference_quotients(adapter: &Adapter) {
    const STEP: f64 = 1e-5;
    for mut model in models() {
        let results = model.run(adapter);
        let value =
            |output: &[f64]| -> f64 { wide(&model.seed).iter().zip(output).map(|(c, v)| c * v).sum() };

        let gradient = model.unpadded(&results.get::<f32>("gradient"));
        let twin = model.twin();
        let at = twin.parameters();
        for direction in [200, 201] {
            let direction = wide(&data(direction, at.len()));
            let moved = |sign: f64| {
                let parameters: Vec<f64> =
                    at.iter().zip(&direction).map(|(p, d)| p + sign * STEP * d).collect();
                value(model.pass(&twin.with_parameters(&parameters)).output())
            };
            expect_slope(
                adapter,
                "parameters",
                &gradient,
                &direction,
                (moved(1.0) - moved(-1.0)) / (2.0 * STEP),
            );
        }

        // In data units: the chain rule of the normalizer is part of it.
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
        for objective in [RankingObjective::Rnce, RankingObjective::InfoNce] {
            let mut case =
                Case::new(adapter, format!("ranking gradient {contexts}x{candidates} {objective:?}"));
            let parameters = case.input("parameters", [model.flat.len()], &model.flat);
            let x = case.input("x", [contexts, CONTEXT], &model.x);
            let y = case.input("y", [contexts, candidates, ACTION], &model.y);
            let q = case.input("log_q", [contexts, candidates], &log_q);
            let recording = &mut case.recording;
            let inputs = [("context", x), ("action", y)];
            let forward = model.network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
            let loss = ranking_nce::record(recording, objective, forward.packed_output, q).unwrap();
            let network = &model.network;
            let gradient = network
                .record_parameter_gradient(
                    recording,
                    parameters,
                    &forward,
                    loss.output_gradient,
                    GradientMode::Overwrite,
                )
                .unwrap();
            case.output("loss", loss.loss);
            case.output("gradient", gradient);
            let results = case.run();
            let (x, y) = model.normalized();
            let correction = objective == RankingObjective::Rnce;
            let expected =
                ranking_nce_gradient(&model.mlp(), &x, &y, &wide(&log_q), contexts, candidates, correction);
            let losses = wide(&results.get::<f32>("loss"));
            let mean = losses.iter().sum::<f64>() / contexts as f64;
            near(&results, "mean loss", &[mean as f32], &[expected.loss]);
            let flat: Vec<f32> = results.get("gradient");
            let mut rest = &expected.gradient[..];
            for slice in &model.layout.slices {
                let (head, tail) = rest.split_at(slice.rows * slice.columns);
                // The last bias moves all candidates alike: its gradient is what rounding leaves
                // of 0.
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

/// Contexts, candidates, widths of the hidden layers. The one with 257 candidates is near what the
/// loops of one workgroup can do, that with 70 contexts has more partial gradients than the
/// optimizer adds up on a GPU.
const RANKED: [(usize, usize, &[usize]); 12] = [
    (1, 2, &[1]),
    (7, 7, &[3, 5]),
    (16, 16, &[64, 64]),
    (65, 7, &[33]),
    (3, 64, &[64]),
    (5, 65, &[12, 9, 7]),
    (3, 17, &[33, 64, 1, 40]),
    (2, 33, &[7, 6, 5, 4, 3, 2, 1, 8]),
    (2, 65, &[64, 64, 64, 64]),
    (3, 257, &[64, 33]),
    (70, 2, &[5, 5]),
    (129, 2, &[4]),
];

fn ranked_networks_equal_the_reference(adapter: &Adapter) {
    let activations = &Activation::ALL[1..];
    for (index, (contexts, candidates, hidden)) in RANKED.into_iter().enumerate() {
        let activation = activations[index % activations.len()];
        let model = Model::new(contexts, candidates, hidden, activation, 1);
        // A pipeline of this kernel compiles for seconds on a software renderer: each choice is
        // met, not each combination.
        let objective = if index % 5 == 2 { RankingObjective::InfoNce } else { RankingObjective::Rnce };
        let own = adapter.gpu.capabilities().class;
        let other = if own == DeviceClass::Cpu { DeviceClass::Gpu } else { DeviceClass::Cpu };
        ranks(adapter, if index % 3 == 1 { other } else { own }, objective, &model, hidden.len());
    }
}

fn ranked_networks_without_a_context_equal_the_reference(adapter: &Adapter) {
    for (contexts, candidates, hidden) in [(1, 7, &[7usize][..]), (9, 16, &[33, 18])] {
        let mut model = Model::of(contexts, candidates, |inputs| {
            Network::mlp(inputs[1..].to_vec(), hidden, Activation::Gelu, 1)
        });
        model.x.clear();
        ranks(adapter, adapter.gpu.capabilities().class, RankingObjective::Rnce, &model, hidden.len());
    }
}

/// Loss, effective sample sizes and gradient of the kernel that holds the whole network.
fn ranks(adapter: &Adapter, class: DeviceClass, objective: RankingObjective, model: &Model, depth: usize) {
    let (contexts, candidates) = (model.contexts, model.candidates);
    let log_q: Vec<f32> = data(97, contexts * candidates).iter().map(|v| 2.0 * v).collect();
    let label = format!("ranked {contexts}x{candidates} {:?} {objective:?} {class:?}", model.network.layers);
    let mut case = Case::tuned(adapter, class, label);
    let parameters = case.input("parameters", [model.flat.len()], &model.flat);
    let x = (!model.x.is_empty()).then(|| case.input("x", [contexts, CONTEXT], &model.x));
    let y = case.input("y", [contexts, candidates, ACTION], &model.y);
    let q = case.input("log_q", [contexts, candidates], &log_q);
    let (recording, network) = (&mut case.recording, &model.network);
    let ranked = ranking_network::record(recording, objective, network, parameters, (x, y), q);
    let ranked = ranked.unwrap().expect("a network that the kernel holds");
    let splits = match ranked.gradient {
        FlatGradient::Partials(partials) => {
            case.expect_kernels(&["ranking_network"]);
            let splits = case.recording.shape(partials).unwrap().rows();
            case.output("gradient", partials);
            splits
        }
        FlatGradient::Whole(gradient) => {
            case.expect_kernels(&["ranking_network", "reduce_partials"]);
            case.output("gradient", gradient);
            1
        }
    };
    assert_eq!((ranked.loss.value, ranked.loss.count), (ranked.ess.value, contexts));
    case.output("ranks", ranked.loss.value);
    let results = case.run();

    let (x, y) = match model.x.is_empty() {
        false => model.normalized(),
        true => {
            let normalizer = &model.network.inputs[0].normalizer;
            let y =
                reference::pack_inputs(&wide(&model.y), &wide(&normalizer.shift), &wide(&normalizer.scale));
            (Vec::new(), y)
        }
    };
    let correction = objective == RankingObjective::Rnce;
    let wide_q = wide(&log_q);
    let expected = ranking_network_reference(&model.mlp(), &x, &y, &wide_q, contexts, candidates, correction);
    let ranks: Vec<f32> = results.get("ranks");
    let column = |column: Column| -> Vec<f32> {
        (0..contexts).map(|b| ranks[column.first + b * column.stride]).collect()
    };
    near(&results, "loss", &column(ranked.loss), &expected.loss);
    near(&results, "ess", &column(ranked.ess), &expected.ess);
    let partials: Vec<f32> = results.get("gradient");
    let mut sums = vec![0.0f64; model.layout.len];
    for partial in partials.chunks_exact(model.layout.len) {
        sums.iter_mut().zip(partial).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    assert_eq!(partials.len(), splits * sums.len());
    let flat: Vec<f32> = sums.iter().map(|&v| v as f32).collect();
    let mut rest = &expected.gradient[..];
    let mut padding = flat.clone();
    let last = format!("layers.{depth}.bias");
    for slice in &model.layout.slices {
        let (head, tail) = rest.split_at(slice.rows * slice.columns);
        let found = model.layout.extract(slice, &flat);
        match slice.name == last {
            // What rounding leaves of 0.
            true => results.expect(&slice.name, &found, head, |_: usize| 1e-6),
            // Seeds of a context sum to 0 and add up to at most 2 in size: behind a layer that
            // tells candidates hardly apart their rounding stays where the gradient cancels.
            false => {
                let largest = head.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
                let bound = 3e-5 * largest + 2.0 * f64::from(f32::EPSILON);
                results.expect(&slice.name, &found, head, |_: usize| bound);
            }
        }
        model.layout.insert(slice, &vec![0.0; found.len()], &mut padding);
        rest = tail;
    }
    assert!(padding.iter().all(|v| *v == 0.0), "the gradient's padding is not zero");
}

fn a_network_that_no_kernel_holds_is_left_to_its_layers(adapter: &Adapter) {
    let holds = |network: &Network, contexts: usize, candidates: usize| {
        let mut case = Case::new(adapter, "left to its layers");
        let length = network.layout().len;
        let parameters = case.input("parameters", [length], &vec![0.0; length]);
        let x = case.input("x", [contexts, CONTEXT], &vec![0.0; contexts * CONTEXT]);
        let y = case.input("y", [contexts, candidates, ACTION], &vec![0.0; contexts * candidates * ACTION]);
        let q = case.input("log_q", [contexts, candidates], &vec![0.0; contexts * candidates]);
        let inputs = (Some(x), y);
        let recording = &mut case.recording;
        ranking_network::record(recording, RankingObjective::Rnce, network, parameters, inputs, q)
            .unwrap()
            .is_some()
    };
    let plain = |hidden: &[usize]| Model::new(1, 2, hidden, Activation::Relu, 1).network;
    assert!(holds(&plain(&[64; 8]), 2, 16));
    assert!(!holds(&plain(&[64; 9]), 2, 16), "too deep");
    assert!(!holds(&plain(&[65]), 2, 16), "too wide");
    assert!(!holds(&plain(&[]), 2, 16), "no hidden layer");
    assert!(!holds(&plain(&[64; 8]), 1, 1024), "loops too long");
    let residual = Model::of(1, 2, |inputs| Network::residual(inputs, 8, 1, Activation::Relu, 1)).network;
    assert!(!holds(&residual, 2, 16), "not plain");
    assert!(!holds(&Model::of(1, 2, super::inputs::shared).network, 2, 16), "layers of inputs");
}

/// `L = sum_r (c f_r + t_r)^2 / 2` with `c = -0.7`: the network is a term in the middle of a graph,
/// whose seed `c (c f_r + t_r)` is made on the device.
fn the_gradient_of_a_scaled_output_within_a_larger_sum(adapter: &Adapter) {
    const C: f32 = -0.7;
    const STEP: f64 = 1e-5;
    let model = Model::of(7, 9, |inputs| Network::preactivation(inputs, 17, 1, Activation::Gelu, 1));
    let rows = model.rows();
    let others = data(97, rows);
    let mut case = Case::new(adapter, "a network within a sum");
    let parameters = case.input("parameters", [model.flat.len()], &model.flat);
    let x = case.input("x", [model.contexts, CONTEXT], &model.x);
    let y = case.input("y", [model.contexts, model.candidates, ACTION], &model.y);
    let scale = case.packed("scale", rows, 1, &vec![C; rows]);
    let other = case.packed("other", rows, 1, &others);
    let (recording, network) = (&mut case.recording, &model.network);
    let inputs = [("context", x), ("action", y)];
    let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
    let sum = Epilogue { slope: Some(scale), skip: Some(other) };
    let residual = add_residual::record(recording, forward.packed_output, sum).unwrap();
    let seed =
        add_residual::record(recording, residual, Epilogue { slope: Some(scale), skip: None }).unwrap();
    let mode = GradientMode::Overwrite;
    let gradient = network.record_parameter_gradient(recording, parameters, &forward, seed, mode).unwrap();
    let dy = network.record_input_gradient(recording, parameters, &forward, seed, "action").unwrap();
    case.output("gradient", gradient);
    case.output("dy", dy);
    let results = case.run();

    let c = f64::from(C);
    let residuals = |output: &[f64]| -> Vec<f64> {
        output.iter().zip(wide(&others)).map(|(f, other)| c * f + other).collect()
    };
    let seed: Vec<f64> = residuals(&model.forward()).iter().map(|v| c * v).collect();
    let expected = model.expected(&seed);
    let flat = model.unpadded(&results.get::<f32>("gradient"));
    let fusable: Vec<f32> = flat.iter().map(|v| *v as f32).collect();
    near(&results, "gradient", &fusable, &expected.parameters);
    let scales = wide(&model.network.inputs[1].normalizer.scale);
    near(&results, "dy", &results.get("dy"), &reference::unpack_gradient(&expected.y, &scales));

    let twin = model.twin();
    let direction = wide(&data(203, flat.len()));
    let loss = |sign: f64| -> f64 {
        let moved: Vec<f64> =
            twin.parameters().iter().zip(&direction).map(|(p, d)| p + sign * STEP * d).collect();
        let trace = model.pass(&twin.with_parameters(&moved));
        residuals(trace.output()).iter().map(|v| 0.5 * v * v).sum()
    };
    expect_slope(adapter, "loss", &flat, &direction, (loss(1.0) - loss(-1.0)) / (2.0 * STEP));
}

/// A second batch's gradient added to the first one's, within one recording and in one of its own.
fn gradients_of_two_batches_add_up(adapter: &Adapter) {
    let norms = Norms::BeforeActivations(LayerNorm::default());
    let build = |inputs| Network::residual(inputs, 17, 1, Activation::Silu, 1).with_norms(norms);
    let (first, mut second) = (Model::of(5, 7, build), Model::of(9, 3, build));
    second.x = data(194, second.x.len());
    second.y = data(195, second.y.len());
    let record = |case: &mut Case, model: &Model, name: &str, mode: GradientMode| {
        let parameters = case.recording.slot("parameters", DType::F32, [model.flat.len()]).unwrap();
        let x = case.input(&format!("{name}/x"), [model.contexts, CONTEXT], &model.x);
        let y = case.input(&format!("{name}/y"), [model.contexts, model.candidates, ACTION], &model.y);
        let seed = case.packed(&format!("{name}/seed"), model.rows(), 1, &model.seed);
        let (recording, network) = (&mut case.recording, &model.network);
        let inputs = [("context", x), ("action", y)];
        let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes).unwrap();
        network.record_parameter_gradient(recording, parameters, &forward, seed, mode).unwrap()
    };
    let fresh = |label: &str| {
        let mut case = Case::new(adapter, label);
        case.input("parameters", [first.flat.len()], &first.flat);
        case
    };
    let mut case = fresh("two batches in turn");
    let gradient = record(&mut case, &first, "first", GradientMode::Overwrite);
    let sum = record(&mut case, &second, "second", GradientMode::Accumulate(gradient));
    assert_eq!(sum, gradient);
    case.output("gradient", gradient);
    let both = case.run();
    let expected: Vec<f64> = first
        .expected(&wide(&first.seed))
        .parameters
        .iter()
        .zip(second.expected(&wide(&second.seed)).parameters)
        .map(|(a, b)| a + b)
        .collect();
    let fusable: Vec<f32> = first.unpadded(&both.get::<f32>("gradient")).iter().map(|v| *v as f32).collect();
    near(&both, "gradient", &fusable, &expected);

    let mut case = fresh("the first batch");
    let gradient = record(&mut case, &first, "first", GradientMode::Overwrite);
    case.output("gradient", gradient);
    let before: Vec<f32> = case.run().get("gradient");
    let mut case = fresh("the second batch on top");
    let slot = case.input("gradient", [before.len()], &before);
    record(&mut case, &second, "second", GradientMode::Accumulate(slot));
    let after = case.run();
    after.expect_words("gradient", &after.bits("gradient"), &both.bits("gradient"));
}

fn the_same_seed_gives_the_same_bits(adapter: &Adapter) {
    for model in [&models()[1], &models()[9]] {
        let (first, second) = (model.run(adapter), model.run(adapter));
        for name in ["output", "gradient", "dx", "dy"] {
            second.expect_words(name, &second.bits(name), &first.bits(name));
        }
    }

    let draws = |seed: u64, step: u64| {
        let shape = MixtureShape::new(5, normalizer(98, ACTION));
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
    let h = pack_inputs::record(recording, x, &network.inputs[0].normalizer).unwrap();
    let (start, activation) = (Start::Bias(bias), Activation::Silu);
    let spec = DenseForward { parameters, weight, start, activation, keep_slope: true };
    let written = dense::record_forward(recording, h, &spec).unwrap();
    dense::record_weight_gradient(recording, h, dz, weight, Some(bias), partials).unwrap();
    let ranking = ranking_nce::record(recording, RankingObjective::Rnce, energy, log_q).unwrap();
    assert_eq!(recording.shape(written.output).unwrap(), &Shape::packed(rows, outputs));
    case.output("output", written.output);
    case.output("slope", written.slope.unwrap());
    case.output("loss", ranking.loss);
    case.output("output_gradient", ranking.output_gradient);
    let results = case.run();
    ["output", "slope", "partials", "loss", "output_gradient"]
        .iter()
        .flat_map(|name| results.bits(name))
        .collect()
}

fn checked_shaders_give_the_same_bits(adapter: &Adapter) {
    let (checked, trusted) = (adapter.reopen(true), adapter.reopen(false));
    assert!(checked.capabilities().checked && !trusted.capabilities().checked);
    let (checked, trusted) = (mixed_kernels(adapter, &checked), mixed_kernels(adapter, &trusted));
    let differs = checked.iter().zip(&trusted).filter(|(a, b)| a != b).count();
    assert_eq!(differs, 0, "{}: checked and trusted shaders differ in that many words", adapter.name);
}
