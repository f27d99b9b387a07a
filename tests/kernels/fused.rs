//! Whole narrow networks in one dispatch, and chains of several steps in one.

use gibbs::energy::{Energy, NetworkEnergy};
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, DeviceClass, Value, pad4};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{ChainInputs, Langevin, SampleTrace, StepSchedule};
use gibbs::nn::passes::transpose_weights;
use gibbs::nn::{ACTION, Activation, CONTEXT, Fusion, Input, Layer, Model, Network, Normalizer};
use gibbs_reference::gpu::run::random::{Draw, normal};
use gibbs_reference::mcmc::langevin as langevin_step;
use gibbs_reference::mcmc::langevin::LangevinStep;
use gibbs_reference::nn as reference;
use gibbs_reference::nn::{Fused, FusedLayer};

use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, data, every_adapter, unpack, wide};

every_adapter!(
    transposed_weights_equal_the_reference,
    networks_in_one_dispatch_equal_the_reference,
    several_outputs_at_once,
    networks_that_do_not_qualify_go_layer_by_layer,
    chains_of_several_steps_equal_the_reference,
    chains_equal_those_of_a_dispatch_per_layer,
    steps_are_counted_against_the_limit_of_loop_rounds,
    faults_show_in_their_own_chain_alone,
);

const CONTEXT_WIDTH: usize = 3;

/// A network over an action and, with several contexts, a context; its parameters and a batch.
struct FusableMlp {
    network: Network,
    flat: Vec<f32>,
    contexts: usize,
    candidates: usize,
    dims: usize,
    x: Vec<f32>,
    y: Vec<f32>,
}

fn normalizer(seed: u32, width: usize) -> Normalizer {
    Normalizer { shift: data(seed, width), scale: data(seed + 1, width).iter().map(|v| 1.5 + v).collect() }
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

impl FusableMlp {
    /// Conditional where `contexts` is more than 1; activations in turn.
    fn new([contexts, candidates, dims]: [usize; 3], hidden: &[usize], activations: &[Activation]) -> Self {
        Self::with_outputs([contexts, candidates, dims], hidden, activations, 1)
    }

    fn with_outputs(
        [contexts, candidates, dims]: [usize; 3],
        hidden: &[usize],
        activations: &[Activation],
        outputs: usize,
    ) -> Self {
        let mut inputs = vec![Input::normalized(ACTION, normalizer(92, dims))];
        if contexts > 1 {
            inputs.insert(0, Input::normalized(CONTEXT, normalizer(90, CONTEXT_WIDTH)));
        }
        let turns = hidden.iter().zip(activations.iter().cycle());
        let mut layers: Vec<Layer> =
            turns.map(|(&width, &activation)| Layer::dense(width, activation)).collect();
        layers.push(Layer::dense(outputs, Activation::Identity));
        let network = Network { inputs, layers };
        let layout = network.layout();
        let mut flat = vec![0.0; layout.len];
        for (index, slice) in layout.slices.iter().enumerate() {
            let limit = 1.2 / (slice.fan_in as f32).sqrt();
            // Of either sign in equal parts, so that sums neither grow nor die from layer to layer.
            let values = data(100 + index as u32, slice.rows * slice.columns).into_iter().enumerate();
            let values: Vec<f32> =
                values.map(|(at, v)| if (at / 3) % 2 == 0 { limit * v } else { -limit * v }).collect();
            layout.insert(slice, &values, &mut flat);
        }
        let x = data(94, if contexts > 1 { contexts * CONTEXT_WIDTH } else { 0 });
        let y = data(95, contexts * candidates * dims);
        Self { network, flat, contexts, candidates, dims, x, y }
    }

    fn label(&self) -> String {
        format!("fused {}x{}x{} {:?}", self.contexts, self.candidates, self.dims, self.network.layers)
    }

    fn shape(&self) -> [usize; 3] {
        [self.contexts, self.candidates, self.dims]
    }

    /// The reference at points `y`.
    fn expected(&self, y: &[f64]) -> Fused {
        let layout = self.network.layout();
        let matrix = |name: &str| wide(&layout.extract(layout.slice(name).unwrap(), &self.flat));
        let mut outputs = Vec::new();
        let mut layers = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            let Layer::Dense(dense) = layer else { panic!("dense layers alone") };
            let n = dense.outputs;
            let mut start = matrix(&format!("layers.{index}.bias"));
            let name =
                if index == 0 { "layers.0.weight.action".into() } else { format!("layers.{index}.weight") };
            if index == 0 && self.contexts > 1 {
                let normalizer = &self.network.inputs[0].normalizer;
                let x = reference::pack_inputs(
                    &wide(&self.x),
                    &wide(&normalizer.shift),
                    &wide(&normalizer.scale),
                );
                let weights = matrix("layers.0.weight.context");
                let sum = |b: usize, o: usize| -> f64 {
                    let terms = (0..CONTEXT_WIDTH).map(|i| x[b * CONTEXT_WIDTH + i] * weights[i * n + o]);
                    start[o] + terms.sum::<f64>()
                };
                start = (0..self.contexts * n).map(|at| sum(at / n, at % n)).collect();
            }
            outputs.push(n);
            layers.push(FusedLayer {
                weights: matrix(&name),
                start,
                activation: activation_of(dense.activation),
            });
        }
        let normalizer = &self.network.inputs.last().unwrap().normalizer;
        reference::network_fused(y, (&wide(&normalizer.shift), &wide(&normalizer.scale)), &layers, &outputs)
    }

    /// As an energy; its parameters become a tensor of the case.
    fn energy(&self, adapter: &Adapter, case: &mut Case, fusion: Fusion) -> NetworkEnergy {
        let model = Model::zeros(&adapter.gpu, "energy", self.network.clone()).unwrap();
        model.set_parameters(&adapter.gpu, &self.flat).unwrap();
        case.bind(&model.slot(), model.parameters());
        NetworkEnergy::new(model).unwrap().with_fusion(fusion)
    }

    fn inputs(&self, case: &mut Case) -> (Option<Value>, Value) {
        let context = match self.contexts {
            1 => None,
            _ => Some(case.input("x", [self.contexts, CONTEXT_WIDTH], &self.x)),
        };
        (context, case.input("y", self.shape(), &self.y))
    }
}

/// As for networks of a dispatch per layer: 3e-5 of the largest element.
fn near(results: &crate::common::Results, what: &str, found: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    results.expect(what, found, expected, |_: usize| 3e-5 * largest);
}

fn networks() -> Vec<FusableMlp> {
    use Activation::*;
    vec![
        FusableMlp::new([1, 1, 1], &[1], &[Silu]),
        FusableMlp::new([7, 1, 2], &[3, 16], &[Tanh]),
        FusableMlp::new([3, 21, 4], &[33, 33, 33], &[Silu]),
        FusableMlp::new([1, 64, 5], &[64], &[Softplus]),
        FusableMlp::new([5, 13, 3], &[100, 7], &[Gelu]),
        FusableMlp::new([1, 257, 4], &[128, 128, 128], &[Silu]),
        FusableMlp::new([7, 9, 100], &[16, 1], &[Identity]),
        FusableMlp::new([13, 7, 7], &[128, 64], &[Relu]),
        FusableMlp::new(
            [3, 41, 20],
            &[16, 17, 3, 16, 32, 9, 16, 16],
            &[Tanh, Relu, Softplus, Identity, Gelu],
        ),
        FusableMlp::new([3, 7, 5], &[12, 9, 16, 5], &[GeluTanh, Mish, Elu, LeakyRelu]),
    ]
}

fn networks_in_one_dispatch_equal_the_reference(adapter: &Adapter) {
    for (index, fusable) in networks().into_iter().enumerate() {
        let expected = fusable.expected(&wide(&fusable.y));
        for (at, class) in CLASSES.into_iter().enumerate() {
            let mut case = Case::tuned(adapter, class, format!("{} {class:?}", fusable.label()));
            let energy = fusable.energy(adapter, &mut case, Fusion::Always);
            let (context, y) = fusable.inputs(&mut case);
            let recording = &mut case.recording;
            // Each way to ask in turn, so that every one meets both classes and every renderer.
            let (value, gradient) = match (index + at) % 2 {
                0 => {
                    let (value, gradient) = energy.record_value_and_gradient(recording, context, y).unwrap();
                    (Some(value), Some(gradient))
                }
                _ if index % 4 < 2 => (None, Some(energy.record_gradient(recording, context, y).unwrap())),
                _ => (Some(energy.record_value(recording, context, y).unwrap()), None),
            };
            // Backward passes between hidden layers read transposed weights.
            match (context, gradient.is_some() && fusable.network.layers.len() > 2) {
                (None, false) => case.expect_kernels(&["network_fused"]),
                (None, true) => case.expect_kernels(&["transpose_weights", "network_fused"]),
                (Some(_), false) => case.expect_kernels(&["pack_inputs", "dense_forward", "network_fused"]),
                (Some(_), true) => case.expect_kernels(&[
                    "pack_inputs",
                    "dense_forward",
                    "transpose_weights",
                    "network_fused",
                ]),
            }
            if let Some(value) = value {
                case.output("value", value);
            }
            if let Some(gradient) = gradient {
                assert_eq!(case.recording.shape(gradient).unwrap().dims(), fusable.shape());
                case.output("gradient", gradient);
            }
            let results = case.run();
            if value.is_some() {
                near(&results, "value", &results.get("value"), &expected.value);
            }
            if gradient.is_some() {
                near(&results, "gradient", &results.get("gradient"), &expected.gradient);
            }
        }
    }
}

fn transposed_weights_equal_the_reference(adapter: &Adapter) {
    for hidden in [&[1, 1][..], &[7, 63, 64], &[65, 3, 17, 33]] {
        let fusable = FusableMlp::new([1, 1, 5], hidden, &[Activation::Silu]);
        let layout = fusable.network.layout();
        let slices: Vec<_> =
            (1..hidden.len()).map(|at| layout.slice(&format!("layers.{at}.weight")).unwrap()).collect();
        let mut case = Case::new(adapter, format!("transpose {hidden:?}"));
        let parameters = case.input("parameters", [fusable.flat.len()], &fusable.flat);
        let out = transpose_weights::record(&mut case.recording, parameters, &slices).unwrap();
        assert!(transpose_weights::record(&mut case.recording, parameters, &[]).is_err());
        case.output("out", out);
        case.expect_kernels(&["transpose_weights"]);
        let results = case.run();
        let out: Vec<f32> = results.get("out");
        assert_eq!(out[..layout.len], fusable.flat[..], "{}", adapter.name);
        let mut rest = &out[layout.len..];
        for slice in slices {
            let (stride, rows) = (pad4(slice.rows), pad4(slice.columns));
            let (head, tail) = rest.split_at(stride * rows);
            let expected =
                reference::transpose_weights(&wide(&layout.extract(slice, &fusable.flat)), slice.columns);
            let found = unpack(&head[..slice.columns * stride], slice.columns, slice.rows).unwrap();
            results.expect(&slice.name, &found, &expected, |_: usize| 0.0);
            assert!(head[slice.columns * stride..].iter().all(|v| *v == 0.0), "{}: padding", adapter.name);
            rest = tail;
        }
        assert!(rest.is_empty(), "{}: {} elements too many", adapter.name, rest.len());
    }
}

fn several_outputs_at_once(adapter: &Adapter) {
    for (class, outputs) in CLASSES.into_iter().zip([3, 17]) {
        let fusable = FusableMlp::with_outputs([5, 13, 2], &[33], &[Activation::Softplus], outputs);
        let mut case = Case::tuned(adapter, class, fusable.label());
        let parameters = case.input("parameters", [fusable.flat.len()], &fusable.flat);
        let (context, y) = fusable.inputs(&mut case);
        let recording = &mut case.recording;
        let inputs = [(ACTION, y), (CONTEXT, context.unwrap())];
        let fused = fusable.network.record_fused(recording, parameters, &inputs, ACTION).unwrap().unwrap();
        let value = fused.record_value(recording, y).unwrap();
        let refused = fused.record_gradient(recording, y).unwrap_err().to_string();
        assert!(refused.contains("outputs"), "{refused}");
        let other = recording.scratch("other rows", DType::F32, [5, 12, 2]);
        assert!(fused.record_value(recording, other).is_err());
        case.output("value", value);
        case.expect_kernels(&["pack_inputs", "dense_forward", "network_fused"]);
        let results = case.run();
        near(&results, "value", &results.get("value"), &fusable.expected(&wide(&fusable.y)).value);
    }
}

fn networks_that_do_not_qualify_go_layer_by_layer(adapter: &Adapter) {
    let inputs = || vec![Input::new(ACTION, 2)];
    let normalizer = || Layer::dense(1, Activation::Identity);
    let networks = [
        Network::mlp(inputs(), &[129], Activation::Silu, 1),
        Network::mlp(inputs(), &[8; 9], Activation::Silu, 1),
        Network { inputs: inputs(), layers: vec![normalizer()] },
        Network::residual(inputs(), 8, 1, Activation::Silu, 1),
        Network::mlp(inputs(), &[8], Activation::Silu, 1)
            .with_norms(gibbs::nn::Norms::BeforeActivations(gibbs::nn::LayerNorm::default())),
        Network::mlp(vec![Input::new(ACTION, 2).embedded(vec![normalizer()])], &[8], Activation::Silu, 1),
    ];
    let fused = |network: &Network, class: DeviceClass, fusion: Fusion| -> bool {
        let mut case = Case::tuned(adapter, class, "who qualifies");
        let model = Model::zeros(&adapter.gpu, "energy", network.clone()).unwrap();
        let energy = NetworkEnergy::new(model).unwrap().with_fusion(fusion);
        let y = case.input("y", [1, 3, 2], &data(1, 6));
        energy.record_gradient(&mut case.recording, None, y).unwrap();
        let kernels = case.recording.kernels();
        kernels.iter().any(|kernel| kernel.source.stem() == "network_fused")
    };
    for network in &networks {
        for class in CLASSES {
            assert!(!fused(network, class, Fusion::Always), "{network:?}");
        }
    }
    let fusable = Network::mlp(inputs(), &[128; 8], Activation::Silu, 1);
    for class in CLASSES {
        assert!(fused(&fusable, class, Fusion::Always) && !fused(&fusable, class, Fusion::Never));
        assert_eq!(fused(&fusable, class, Fusion::Auto), Fusion::Auto.applies(class));
    }
}

/// Element `row * ceil(dims / 4) + j / 4` owns the normals of dimensions `j .. j + 3`.
fn chain_noise(seed: u64, step: u64, inner: usize, rows: usize, dims: usize) -> Vec<f64> {
    let blocks = dims.div_ceil(4);
    let draw = Draw { seed, step, stream: u32::from(stream_id("test/chain")), inner: inner as u32 };
    let all = normal(draw, (rows * blocks) as u32);
    all.chunks_exact(4 * blocks).flat_map(|row| &row[..dims]).copied().collect()
}

fn chains_of_several_steps_equal_the_reference(adapter: &Adapter) {
    use Activation::*;
    let step_sizes = StepSchedule::Geometric { first: 0.05, last: 0.01 };
    let temperatures = StepSchedule::Polynomial { first: 1.5, last: 0.5, power: 1.0 };
    let networks = [
        FusableMlp::new([1, 1, 1], &[16], &[Silu]),
        FusableMlp::new([7, 9, 2], &[33, 17], &[Tanh]),
        FusableMlp::new([1, 65, 4], &[64], &[Silu]),
        FusableMlp::new([1, 257, 7], &[128, 100], &[Gelu]),
    ];
    for (index, fusable) in networks.into_iter().enumerate() {
        for class in CLASSES {
            let (steps, rows, dims) = (3 + index % 2, fusable.contexts * fusable.candidates, fusable.dims);
            let (seed, step) = (99 + index as u64, (3 << 32) + 5);
            let (step_scale, temperature) = [(1.0, 1.0), (0.5, 2.0)][index % 2];
            let (low, high): (Vec<f32>, Vec<f32>) =
                data(53, dims).iter().map(|v| (-0.9 + 0.3 * v, 0.8 + 0.3 * v)).unzip();
            let bounds = (index % 2 == 0).then(|| Bounds::new(&low, &high).unwrap());
            let scales: Vec<f32> = (0..dims).map(|j| [0.02, 1.0, 1.3][j % 3]).collect();
            let chain = Langevin::default()
                .with_steps(steps)
                .with_step_sizes(step_sizes)
                .with_temperatures(temperatures)
                .with_bounds(bounds.clone())
                .with_scales((index > 1).then(|| Scales::new(&scales).unwrap()))
                .with_quiet_last(index % 2 == 1);
            let mut case = Case::tuned(adapter, class, format!("langevin {} {class:?}", fusable.label()));
            case.run_state(seed, step);
            let energy = fusable.energy(adapter, &mut case, Fusion::Always);
            let (context, y) = fusable.inputs(&mut case);
            let knobs = chain.record(&mut case.recording, &energy, context, y, "test/chain").unwrap();
            case.knob(knobs[0], step_scale);
            case.knob(knobs[1], temperature);
            match index {
                0 | 2 => case.expect_kernels(&["langevin_fused"]),
                1 => case.expect_kernels(&[
                    "pack_inputs",
                    "dense_forward",
                    "transpose_weights",
                    "langevin_fused",
                ]),
                _ => case.expect_kernels(&["transpose_weights", "langevin_fused"]),
            }
            let results = case.run();

            let limits = (wide(&low), wide(&high));
            let limits = bounds.is_some().then_some((&limits.0[..], &limits.1[..]));
            let scales = if index > 1 { wide(&scales) } else { vec![1.0; dims] };
            let mut expected = wide(&fusable.y);
            let mut bound = vec![0.0; rows * dims];
            for inner in 0..steps {
                let eta = f64::from(step_sizes.at(inner, steps) as f32) * f64::from(step_scale);
                let quiet = chain.quiet_last && inner + 1 == steps;
                let noise = chain_noise(seed, step, inner, rows, dims);
                let temperature = temperatures.at(inner, steps) * f64::from(temperature);
                let noise_scale = if quiet { 0.0 } else { temperature.sqrt() };
                let gradient = fusable.expected(&expected).gradient;
                let largest = gradient.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
                for at in 0..rows * dims {
                    let s = scales[at % dims];
                    let noisy = (2.0 * eta).sqrt() * noise_scale * s * noise[at].abs();
                    // That of one step, and the gradient's as for networks; what was off before
                    // moves the gradient too.
                    bound[at] += eta * s.max(s * s) * (3e-5 * largest + 4.0 * bound[at])
                        + EPS * (3.0 * (expected[at].abs() + 2.0 * eta * s * s * largest) + 13.0 * noisy);
                }
                let step = LangevinStep { eta, noise_scale };
                expected = langevin_step(&expected, &gradient, &noise, &scales, step, limits);
            }
            results.expect("y", &results.get("y"), &expected, &bound[..]);
        }
    }
}

/// A chain with its samples, fused or not.
fn inputs(
    adapter: &Adapter,
    class: DeviceClass,
    fusable: &FusableMlp,
    chain: &Langevin,
    thin: usize,
    fusion: Fusion,
) -> (Vec<f32>, usize) {
    let mut case = Case::tuned(adapter, class, format!("chains {fusion:?} {class:?} {}", fusable.label()));
    case.run_state(11, 3);
    let energy = fusable.energy(adapter, &mut case, fusion);
    let (context, y) = fusable.inputs(&mut case);
    let [contexts, candidates, dims] = fusable.shape();
    let trace = case.poisoned("trace", DType::F32, [chain.steps / thin, contexts, candidates, dims]);
    let trace = Some(SampleTrace { value: trace, thin });
    let inputs = ChainInputs { energy: &energy, context, y, stream: "test/chain", trace };
    let walked = gibbs::mcmc::Dynamics::from(chain.clone()).record(&mut case.recording, &inputs).unwrap();
    case.knob(walked.step_scale, 1.0);
    case.knob(walked.temperature, 1.0);
    let kernels = case.recording.kernels();
    let dispatches = kernels.iter().filter(|kernel| kernel.source.stem() == "langevin_fused").count();
    let layers = kernels.iter().any(|kernel| kernel.source.stem() == "langevin");
    assert_eq!(fusion == Fusion::Always, dispatches > 0 && !layers, "{}", adapter.name);
    let results = case.run();
    (results.get("trace"), dispatches)
}

fn chains_equal_those_of_a_dispatch_per_layer(adapter: &Adapter) {
    let fusable = FusableMlp::new([5, 13, 3], &[33, 32], &[Activation::Silu]);
    let step_sizes = StepSchedule::Geometric { first: 0.02, last: 0.005 };
    let chain = Langevin::default().with_steps(21).with_step_sizes(step_sizes).with_quiet_last(true);
    for class in CLASSES {
        let (layers, _) = inputs(adapter, class, &fusable, &chain, 4, Fusion::Never);
        let (fused, dispatches) = inputs(adapter, class, &fusable, &chain, 4, Fusion::Always);
        // Samples after steps 4, 8, .. 20, then one more step.
        assert!(dispatches >= 6, "{dispatches}");
        for (at, (found, expected)) in fused.iter().zip(&layers).enumerate() {
            assert!((found - expected).abs() < 2e-5, "{}, {at}: {found} {expected}", adapter.name);
        }
    }
}

fn steps_are_counted_against_the_limit_of_loop_rounds(adapter: &Adapter) {
    // Few rows: time allows more steps than the rounds of an invocation do.
    let fusable = FusableMlp::new([1, 7, 5], &[128; 5], &[Activation::Silu]);
    let step_sizes = StepSchedule::Constant { value: 1e-3 };
    let chain = Langevin::default().with_steps(130).with_step_sizes(step_sizes);
    for class in CLASSES {
        let (layers, _) = inputs(adapter, class, &fusable, &chain, 130, Fusion::Never);
        let (fused, dispatches) = inputs(adapter, class, &fusable, &chain, 130, Fusion::Always);
        // A step that was left out would miss noise of 0.04.
        for (found, expected) in fused.iter().zip(&layers) {
            assert!((found - expected).abs() < 1e-4, "{} {class:?}: {found} {expected}", adapter.name);
        }
        assert!((2..65).contains(&dispatches), "{dispatches}");
    }
}

fn faults_show_in_their_own_chain_alone(adapter: &Adapter) {
    for class in CLASSES {
        let mut fusable = FusableMlp::new([1, 7, 2], &[16], &[Activation::Silu]);
        fusable.y[5] = f32::NAN;
        fusable.y[8] = f32::INFINITY;
        let mut case = Case::tuned(adapter, class, "faults in fused chains");
        case.run_state(1, 2);
        let energy = fusable.energy(adapter, &mut case, Fusion::Always);
        let (_, y) = fusable.inputs(&mut case);
        let bounds = Bounds::new(&[-1.0; 2], &[1.0; 2]).unwrap();
        let chain = Langevin::default().with_steps(3).with_bounds(bounds);
        let knobs = chain.record(&mut case.recording, &energy, None, y, "test/chain").unwrap();
        case.knob(knobs[0], 1.0);
        case.knob(knobs[1], 1.0);
        case.expect_kernels(&["langevin_fused"]);
        let found = case.run().get::<f32>("y");
        assert!(!found[5].is_finite() && !found[8].is_finite(), "{}: {found:?}", adapter.name);
        let others = (0..14).filter(|at| ![2, 4].contains(&(at / 2)));
        assert!(others.map(|at| found[at]).all(f32::is_finite), "{}: {found:?}", adapter.name);
    }
}
