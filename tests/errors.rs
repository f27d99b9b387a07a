//! Wrong input: each mistake gives one clear [`gibbs::Error`] that says what and where, and never a panic.

mod common;

use common::lavapipe;
use gibbs::energy::{Objective, ranking_nce, record_contrastive};
use gibbs::gpu::{
    Bindings, DType, Gpu, GpuOptions, KernelSource, MetricsRing, Recording, RunState, Shape, Tensor, Value,
    random,
};
use gibbs::nn::{
    Activation, AdamOptions, Affine, Energy, GradientMode, Input, Keep, Layer, LayerNorm, Model, Network,
    NetworkEnergy, Optimiser, Points, Schedule, evaluate_energy,
};
use gibbs::proposal::{Draws, Mixture, MixtureShape, Proposal, UniformBox};
use gibbs::sampler::{Anneal, ChainOptions, ChainSampler, Langevin};
use gibbs::train::{Dataset, Normalise, ProposalOptions, RnceOptions, RnceTrainer};
use gibbs::{Error, wgpu};

/// `result[i] = factor * input[i]`
const SCALE: &str = "
struct Params {
    count: u32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(64)
fn scale(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        result[id.x] = params.factor * input[id.x];
    }
}
";

fn scale() -> KernelSource {
    KernelSource::new("user/scale.wgsl", SCALE)
}

/// The message of an error that is of the expected kind and holds all the words.
#[track_caller]
fn expect<T>(result: gibbs::Result<T>, kind: &str, words: &[&str]) -> String {
    let Err(error) = result else { panic!("expected an error of kind {kind} with {words:?}") };
    let text = error.to_string();
    let found = format!("{error:?}");
    assert!(found.starts_with(kind), "expected {kind}, got {found}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    assert!(text.len() < 1000, "one message, not a report: {text}");
    text
}

fn slots(recording: &mut Recording) -> (Value, Value) {
    let input = recording.slot("input", DType::F32, [100]).expect("a slot");
    let result = recording.slot("result", DType::F32, [100]).expect("a slot");
    (input, result)
}

/// The device still computes.
#[track_caller]
fn still_works(gpu: &Gpu) {
    let mut recording = Recording::new("check");
    let (input, result) = slots(&mut recording);
    recording
        .dispatch(&scale(), "scale")
        .bind("input", input)
        .bind("result", result)
        .set("count", 100u32)
        .set("factor", 2.0f32)
        .invocations(100)
        .finish()
        .expect("a good dispatch");
    let numbers: Vec<f32> = (0..100).map(|n| n as f32).collect();
    let input = Tensor::from_slice(gpu, "input", [100], &numbers).expect("memory");
    let result = Tensor::zeros(gpu, "result", DType::F32, [100]).expect("memory");
    let bindings = Bindings::new().with("input", &input).with("result", &result);
    recording.compile(gpu, &bindings).expect("a plan").run(1).expect("a run");
    let doubled: Vec<f32> = numbers.iter().map(|n| 2.0 * n).collect();
    assert_eq!(gpu.read::<f32>(&result).expect("a readback"), doubled);
}

fn energy_network() -> Network {
    Network::mlp(vec![Input::new("context", 2), Input::new("action", 3)], &[8], Activation::Silu, 1)
}

#[test]
fn a_shape_mismatch_names_the_operation_and_both_shapes() {
    let mut recording = Recording::new("run");
    let network = energy_network();
    let parameters = recording.slot("parameters", DType::F32, [network.layout().len]).unwrap();
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let narrow = recording.slot("narrow", DType::F32, [4, 9, 2]).unwrap();
    let inputs = [("context", context), ("action", narrow)];
    let forward = network.record_forward(&mut recording, parameters, &inputs, Keep::Output);
    expect(forward, "Shape", &["pack", "[4, 9, 2]", "3"]);
    let action = recording.slot("y", DType::F32, [9, 3]).unwrap();
    let inputs = [("context", context), ("action", action)];
    let forward = network.record_forward(&mut recording, parameters, &inputs, Keep::Output);
    expect(forward, "Shape", &["forward", "context", "[4, 2]", "9 rows"]);
    let log_q = recording.slot("log_q", DType::F32, [4, 8]).unwrap();
    let energy = recording.slot("energy", DType::F32, Shape::packed(31, 1)).unwrap();
    let loss = ranking_nce::record(&mut recording, Objective::Rnce, energy, log_q);
    expect(loss, "Shape", &["ranking nce", "energy", "[31, 1] packed", "[32, 1]"]);
    expect(
        recording.expect_shape("reduce", log_q, [4, 9]),
        "Shape",
        &["run/reduce", "log_q", "[4, 8]", "[4, 9]"],
    );
    expect(recording.slot("log_q", DType::F32, [8, 4]), "Shape", &["slot", "log_q", "[8, 4]", "[4, 8]"]);
    expect(recording.slot("log_q", DType::U32, [4, 8]), "Shape", &["u32", "f32"]);
    expect(
        recording.constant("table", [3], &[1.0f32; 4]),
        "Shape",
        &["constant", "table", "4 values", "3 for"],
    );
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let candidates = recording.slot("candidates", DType::F32, [4, 5, 3]).unwrap();
    let prepared = bounds.record_prepare(&mut recording, context).unwrap();
    for (first, count) in [(1, 5), (usize::MAX, 2), (0, usize::MAX)] {
        let draws = Draws { candidates, first, count, stream: "draws", inner: 0 };
        let sampled = bounds.record_sample(&mut recording, &prepared, &draws);
        expect(sampled, "Shape", &["uniform sample", "[4, 5, 3]", "at least"]);
    }
    expect(
        bounds.record_log_density(&mut recording, &prepared, log_q),
        "Shape",
        &["uniform log-density", "[4, 8]"],
    );
}

#[test]
fn a_tensor_that_does_not_fit_names_both_sizes() {
    let gpu = &lavapipe().gpu;
    expect(Tensor::from_slice(gpu, "x", [2, 3], &[0.0f32; 5]), "Shape", &["`x`", "5 values", "6 for [2, 3]"]);
    let tensor = Tensor::zeros(gpu, "x", DType::F32, [2, 3]).unwrap();
    expect(tensor.write(gpu, &[0.0f32; 7]), "Shape", &["write to tensor `x`", "7 values", "6 for [2, 3]"]);
    expect(tensor.write(gpu, &[0u32; 6]), "Argument", &["write tensor `x`", "u32", "f32"]);
    expect(gpu.read::<u32>(&tensor), "Argument", &["read tensor `x`", "u32", "f32"]);
    expect(gpu.read_later::<i32>(&tensor), "Argument", &["read tensor `x`", "i32", "f32"]);
    let mut recording = Recording::new("run");
    slots(&mut recording);
    let wrong = recording.compile(gpu, &Bindings::new().with("input", &tensor));
    expect(wrong, "Shape", &["slot `input`", "plan `run`", "[2, 3] f32", "[100] f32"]);
    let words = Tensor::zeros(gpu, "words", DType::U32, [100]).unwrap();
    expect(recording.compile(gpu, &Bindings::new().with("input", &words)), "Shape", &["u32", "f32"]);
}

#[test]
fn data_that_is_not_finite_is_named_by_row_and_column() {
    let mut y = vec![0.5f32; 12];
    y[7] = f32::NAN;
    expect(Dataset::new(vec![0.0; 4], 1, y, 3), "Argument", &["data set", "y", "NaN", "row 2", "column 1"]);
    let x = vec![0.0, 1.0, f32::INFINITY, 0.0];
    expect(Dataset::new(x, 2, vec![0.0; 2], 1), "Argument", &["x", "inf", "row 1", "column 0"]);
    expect(Dataset::new(vec![0.0; 4], 1, vec![0.0; 3], 1), "Shape", &["data set", "3 numbers", "4 numbers"]);
    expect(Dataset::new(vec![], 1, vec![], 1), "Shape", &["at least one"]);
    expect(Dataset::new(vec![0.0], 0, vec![0.0], 1), "Shape", &["rows of 0"]);
    expect(Dataset::new(vec![0.0; 5], 2, vec![0.0; 2], 1), "Shape", &["5 numbers in rows of 2"]);
}

fn data() -> Dataset {
    let y = (0..64).map(|n| (n as f32 * 0.7).sin()).collect();
    Dataset::new((0..32).map(|n| n as f32 / 32.0).collect(), 1, y, 2).unwrap()
}

/// Small enough to compile in no time, should an option slip through.
fn options() -> RnceOptions {
    let mut options = RnceOptions { negatives: 3, batch: 4, steps: 10, ..RnceOptions::default() };
    options.energy.hidden = vec![4];
    options.proposal =
        ProposalOptions::Mixture { components: 2, hidden: vec![4], optimiser: AdamOptions::default() };
    options
}

#[test]
fn no_negative_is_refused_by_every_entrance() {
    let gpu = &lavapipe().gpu;
    let trained = RnceTrainer::new(gpu, &data(), RnceOptions { negatives: 0, ..options() });
    expect(trained, "Argument", &["negatives", "is 0", "at least one"]);
    let mut recording = Recording::new("run");
    let log_q = recording.slot("log_q", DType::F32, [4, 1]).unwrap();
    let energy = recording.slot("energy", DType::F32, Shape::packed(4, 1)).unwrap();
    let loss = ranking_nce::record(&mut recording, Objective::Rnce, energy, log_q);
    expect(loss, "Argument", &["ranking nce", "negatives", "is 0"]);
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let candidates = recording.slot("y", DType::F32, [4, 1, 3]).unwrap();
    let pair = (context, candidates);
    let step = record_contrastive(&mut recording, Objective::Rnce, &energy, &bounds, pair, "negatives");
    expect(step, "Argument", &["negatives", "is 0"]);
}

#[test]
fn bad_training_options_are_named() {
    let gpu = &lavapipe().gpu;
    let schedule =
        |rate: f64| AdamOptions { schedule: Schedule::Constant { rate }, ..AdamOptions::default() };
    let with = |change: &dyn Fn(&mut RnceOptions)| {
        let mut options = options();
        change(&mut options);
        options
    };
    let mixture = |components: usize, hidden: Vec<usize>, optimiser: AdamOptions| ProposalOptions::Mixture {
        components,
        hidden,
        optimiser,
    };
    let plain = AdamOptions::default();
    let cosine = Schedule::Cosine { rate: 1e-3, warmup: 5, floor: 1.5 };
    let cases: Vec<(RnceOptions, &[&str])> = vec![
        (with(&|o| o.batch = 0), &["batch", "is 0"]),
        (with(&|o| o.batch = usize::MAX), &["batch", "candidates"]),
        (with(&|o| o.negatives = usize::MAX), &["batch", "negatives"]),
        (with(&|o| o.steps = 0), &["steps", "is 0"]),
        (with(&|o| o.warmup = 10), &["steps", "10", "warm-up"]),
        (with(&|o| o.steps = u64::MAX), &["steps", "4000000"]),
        (with(&|o| o.energy_updates = 0), &["updates per step", "1 to 64"]),
        (with(&|o| o.proposal_updates = 65), &["updates per step", "0 to 64"]),
        (with(&|o| o.action = Normalise::Standard { deviation: 0.0 }), &["deviation", "is 0", "positive"]),
        (with(&|o| o.context = Normalise::Standard { deviation: f64::NAN }), &["deviation", "NaN"]),
        (with(&|o| o.energy.optimiser = schedule(-1e-3)), &["optimiser", "schedule", "rate >= 0"]),
        (with(&|o| o.energy.optimiser = schedule(f64::NAN)), &["optimiser", "schedule"]),
        (with(&|o| o.energy.optimiser.schedule = cosine), &["optimiser", "floor"]),
        (with(&|o| o.energy.optimiser.beta1 = 1.0), &["beta1", "[0, 1)"]),
        (with(&|o| o.energy.optimiser.beta2 = -0.1), &["beta2", "[0, 1)"]),
        (with(&|o| o.energy.optimiser.average_decay = 1.0), &["average_decay", "[0, 1)"]),
        (with(&|o| o.energy.optimiser.epsilon = -1.0), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimiser.epsilon = 0.0), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimiser.epsilon = 1e-60), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimiser.beta2 = 1.0 - 1e-12), &["beta2", "[0, 1)"]),
        (with(&|o| o.energy.optimiser.weight_decay = 1e300), &["weight_decay", "finite"]),
        (
            with(&|o| {
                o.warmup = 1;
                o.proposal = ProposalOptions::Uniform { low: vec![-9.0; 2], high: vec![9.0; 2] };
            }),
            &["warmup", "uniform box"],
        ),
        (with(&|o| o.energy.optimiser.max_norm = f64::INFINITY), &["max_norm", "finite"]),
        (with(&|o| o.energy.optimiser.weight_decay = -1.0), &["weight_decay", "not negative"]),
        (with(&|o| o.energy.hidden = vec![4, 0]), &["network", "layers.1", "width 0"]),
        (with(&|o| o.energy.hidden = vec![4; 256]), &["network", "more than 256 layers"]),
        (with(&|o| o.proposal = mixture(0, vec![4], plain)), &["components", "1 to 256"]),
        (with(&|o| o.proposal = mixture(257, vec![4], plain)), &["components", "1 to 256"]),
        (with(&|o| o.proposal = mixture(2, vec![5000], plain)), &["layers.0", "width 5000"]),
        (with(&|o| o.proposal = mixture(2, vec![4], schedule(-1.0))), &["optimiser", "schedule"]),
        (
            with(&|o| o.proposal = ProposalOptions::Uniform { low: vec![-1.0; 3], high: vec![1.0; 3] }),
            &["box", "3 dimensions", "actions 2"],
        ),
        (
            with(&|o| o.proposal = ProposalOptions::Uniform { low: vec![-0.5; 2], high: vec![0.5; 2] }),
            &["box", "does not hold row 0"],
        ),
        (
            with(&|o| o.proposal = ProposalOptions::Uniform { low: vec![1.0; 2], high: vec![-1.0; 2] }),
            &["box", "low < high"],
        ),
    ];
    for (options, words) in cases {
        expect(RnceTrainer::new(gpu, &data(), options), "Argument", words);
    }
    RnceTrainer::new(gpu, &data(), options()).expect("the options that the cases start from are good");
}

#[test]
fn bad_network_descriptions_are_named() {
    let gpu = &lavapipe().gpu;
    let with = |change: &dyn Fn(&mut Network)| {
        let mut network = energy_network();
        change(&mut network);
        network
    };
    let block = |inner: Vec<Layer>| with(&|n| n.layers.insert(1, Layer::Residual(inner.clone())));
    let dense = |outputs| Layer::dense(outputs, Activation::Relu);
    let deep = |levels| (0..levels).fold(dense(8), |inner, _| Layer::Residual(vec![inner]));
    let norm = |epsilon| Layer::Norm(LayerNorm { epsilon });
    let cases: [(Network, &[&str]); 25] = [
        (block(vec![dense(8), dense(7)]), &["`layers.1`", "rows of 8", "rows of 7"]),
        (
            block(vec![dense(8), Layer::Residual(vec![dense(5000), dense(8)])]),
            &["`layers.1.1.0`", "width 5000"],
        ),
        (block(vec![dense(8), Layer::Residual(vec![])]), &["`layers.1.1`", "without layers"]),
        (block(vec![deep(4)]), &["`layers.1.0.0.0.0`", "more than 4 deep"]),
        (block(vec![deep(255)]), &["more than 256 layers"]),
        (block(vec![dense(8); 254]), &["more than 256 layers"]),
        (block(vec![norm(0.0)]), &["`layers.1.0`", "epsilon 0"]),
        (block(vec![norm(f32::NAN)]), &["`layers.1.0`", "epsilon NaN"]),
        (with(&|n| n.layers.insert(0, norm(1e-5))), &["`layers.0`", "must be dense"]),
        (with(&|n| n.layers.push(norm(1e-5))), &["last layer", "`layers.2`", "must be dense"]),
        (with(&|n| n.inputs[1].layers = vec![dense(0)]), &["`inputs.action.layers.0`", "width 0"]),
        (
            with(&|n| n.inputs[0].layers = vec![dense(8), Layer::Residual(vec![dense(9)])]),
            &["`inputs.context.layers.1`", "rows of 8", "rows of 9"],
        ),
        (with(&|n| n.inputs[0].layers = vec![Layer::Residual(Vec::new())]), &["`inputs.context.layers.0`"]),
        (with(&|n| n.inputs[0].layers = vec![norm(0.0)]), &["`inputs.context.layers.0`", "epsilon 0"]),
        (with(&|n| n.inputs[1].layers = vec![dense(3); 255]), &["more than 256 layers"]),
        (
            with(&|n| n.inputs[1].layers = vec![deep(5)]),
            &["`inputs.action.layers.0.0.0.0.0`", "more than 4 deep"],
        ),
        (with(&|n| n.inputs.clear()), &["0 inputs"]),
        (with(&|n| n.layers.clear()), &["0 layers"]),
        (with(&|n| n.inputs[1].width = 0), &["input `action`", "width 0"]),
        (
            with(&|n| n.layers[0] = Layer::dense(4097, Activation::Silu)),
            &["`layers.0`", "width 4097", "4096"],
        ),
        (with(&|n| n.inputs[1].name = "context".into()), &["input `context`", "twice"]),
        (
            with(&|n| n.layers[1] = Layer::dense(1, Activation::Tanh)),
            &["last layer", "`layers.1`", "activation"],
        ),
        (with(&|n| n.inputs[0].affine.scale[1] = 0.0), &["input `context`", "scale 0", "dimension 1"]),
        (with(&|n| n.inputs[0].affine.shift[0] = f32::NAN), &["input `context`", "NaN", "dimension 0"]),
        (
            with(&|n| n.inputs[1].affine = Affine::identity(2)),
            &["input `action`", "2 shifts", "3 dimensions"],
        ),
    ];
    for (network, words) in cases {
        expect(Model::zeros(gpu, "model", network), "Argument", words);
    }
    block(vec![deep(3)]).check().expect("four deep");
    block(vec![dense(8); 253]).check().expect("256 layers");
    let two = Network::mlp(vec![Input::new("action", 3)], &[4], Activation::Relu, 2);
    let model = Model::zeros(gpu, "model", two).unwrap();
    expect(NetworkEnergy::new(model.clone()), "Argument", &["energy `model`", "one output"]);
    let mixture = Mixture::new(model.clone(), MixtureShape::new(2, Affine::identity(3)));
    expect(mixture, "Argument", &["proposal `model`", "`context`", "14 outputs"]);
    let other = Tensor::zeros(gpu, "other", DType::F32, [7]).unwrap();
    expect(model.with_parameters(&other), "Shape", &["parameters of `model`", "[7]"]);
    let mut shape = MixtureShape::new(2, Affine::identity(3));
    (shape.low, shape.high) = (1.0, -1.0);
    expect(Mixture::new(model, shape), "Argument", &["log standard deviations", "low < high"]);
}

#[test]
fn wrong_inputs_of_a_network_are_named() {
    let gpu = &lavapipe().gpu;
    let network = energy_network();
    let mut recording = Recording::new("run");
    let parameters = recording.slot("parameters", DType::F32, [network.layout().len]).unwrap();
    let x = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let y = recording.slot("y", DType::F32, [4, 3]).unwrap();
    let mut forward =
        |inputs: &[(&str, Value)], keep| network.record_forward(&mut recording, parameters, inputs, keep);
    expect(forward(&[("context", x)], Keep::Output), "Argument", &["forward", "`action`", "not given"]);
    let unknown = [("context", x), ("action", y), ("goal", y)];
    expect(forward(&unknown, Keep::Output), "Argument", &["forward", "`goal`", "not one of the network's"]);
    let good = forward(&[("context", x), ("action", y)], Keep::Output).unwrap();
    let seed = recording.slot("seed", DType::F32, Shape::packed(4, 1)).unwrap();
    let back =
        network.record_parameter_gradient(&mut recording, parameters, &good, seed, GradientMode::Overwrite);
    expect(back, "Argument", &["backward", "without slopes"]);
    let back = network.record_input_gradient(&mut recording, parameters, &good, seed, "goal");
    expect(back, "Argument", &["backward", "`goal`"]);
    let back =
        network.record_parameter_gradient(&mut recording, parameters, &good, y, GradientMode::Overwrite);
    expect(back, "Shape", &["backward", "[4, 3]", "[4, 1] packed"]);
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", network).unwrap()).unwrap();
    let points = Points { context: &[], contexts: 1, y: &[0.0; 6], dims: 3 };
    expect(evaluate_energy(gpu, &energy, &points), "Argument", &["energy `energy`", "context", "missing"]);
    for (contexts, y, dims) in [(2, 5, 3), (0, 6, 3), (2, 0, 3), (2, 6, 0), (usize::MAX, 6, 3)] {
        let y = vec![0.0; y];
        let points = Points { context: &[0.0; 4], contexts, y: &y, dims };
        expect(evaluate_energy(gpu, &energy, &points), "Shape", &["points", "equal blocks"]);
    }
    let optimiser = Optimiser::new(gpu, energy.model(), AdamOptions { steps: 0, ..AdamOptions::default() });
    expect(optimiser, "Argument", &["optimiser", "steps", "1 to 4000000"]);
}

#[test]
fn an_unknown_adapter_lists_those_present() {
    let present = &lavapipe().gpu.info().name;
    let options = GpuOptions { adapter: Some("no such adapter".into()), ..GpuOptions::default() };
    expect(Gpu::open(&options), "NoAdapter", &["`no such adapter`", present, "Install a Vulkan driver"]);
    let none = GpuOptions { backends: Some(wgpu::Backends::empty()), adapter: Some("x".into()), ..options };
    expect(Gpu::open(&none), "NoAdapter", &["present: none"]);
}

/// Records one dispatch of a user's kernel without bindings.
fn record_text(path: &str, text: &str) -> gibbs::Result<()> {
    let mut recording = Recording::new("run");
    recording.dispatch(&KernelSource::new(path, text), "user").workgroups([1, 1, 1]).finish()
}

/// Where a shader error says it is.
#[track_caller]
fn place(result: gibbs::Result<()>) -> (String, u32, u32) {
    match result {
        Err(Error::Shader { file, line, column, .. }) => (file, line, column),
        Err(other) => panic!("expected a shader error, got {other}"),
        Ok(()) => panic!("expected a shader error"),
    }
}

#[test]
fn a_shader_error_names_file_line_and_column_of_what_a_person_wrote() {
    let broken = "// first\n@compute @workgroup_size(1)\nfn broken() {\n    let a = 1 +* 2;\n}\n";
    assert_eq!(place(record_text("my/broken.wgsl", broken)), ("my/broken.wgsl".into(), 4, 16));
    expect(record_text("my/broken.wgsl", broken), "Shader", &["my/broken.wgsl:4:16", "kernel `broken`"]);
    // The same behind an include, whose lines do not count.
    let user = format!("//#include \"lib/philox.wgsl\"\n{broken}");
    assert_eq!(place(record_text("my/broken.wgsl", &user)), ("my/broken.wgsl".into(), 5, 16));
    // And behind defines.
    let mut recording = Recording::new("run");
    let kernel = KernelSource::new("my/broken.wgsl", user.clone());
    let defined =
        recording.dispatch(&kernel, "user").define("A", 1).define("B", 2).workgroups([1, 1, 1]).finish();
    assert_eq!(place(defined), ("my/broken.wgsl".into(), 5, 16));
    // An error of meaning, found by the validator.
    let typed = "//#include \"lib/finite.wgsl\"\n@compute @workgroup_size(1)\nfn typed() {\n    let a: u32 = is_finite(1.0);\n}\n";
    let (file, line, _) = place(record_text("my/typed.wgsl", typed));
    assert_eq!((file.as_str(), line), ("my/typed.wgsl", 4));
    let unknown = "@compute @workgroup_size(1)\nfn unknown() {\n  nothing_of_that_name();\n}\n";
    let text = expect(record_text("my/unknown.wgsl", unknown), "Shader", &["my/unknown.wgsl:3:3"]);
    assert!(text.contains("nothing_of_that_name"), "{text}");
}

#[test]
fn an_error_that_shows_in_a_fragment_names_the_fragment() {
    // The fragment needs what its user did not declare.
    let user = "// one\n//#include \"lib/mixture.wgsl\"\n@compute @workgroup_size(1)\nfn user() { }\n";
    let (file, line, _) = place(record_text("my/user.wgsl", user));
    assert_eq!(file, "lib/mixture.wgsl");
    assert!(line > 1);
}

#[test]
fn what_a_kernel_must_have_is_asked_for() {
    let main = "@compute @workgroup_size(1)\nfn main() { }\n";
    expect(record_text("my/other.wgsl", main), "Shader", &["my/other.wgsl", "no entry point `other`"]);
    expect(record_text("my/empty.wgsl", ""), "Shader", &["no entry point `empty`"]);
    let include = "// one\n//#include \"lib/none.wgsl\"\n";
    expect(
        record_text("my/x.wgsl", include),
        "Shader",
        &["my/x.wgsl:2:1", "`lib/none.wgsl`", "lib/philox.wgsl"],
    );
    let kernel =
        |declaration: &str| format!("{declaration}\n@compute @workgroup_size(1)\nfn k() {{ _ = a; }}\n");
    let group = kernel("@group(1) @binding(0) var<storage, read> a: u32;");
    expect(record_text("my/k.wgsl", &group), "Shader", &["`a`", "group 1", "use group 0"]);
    let immediate = kernel("var<immediate> a: u32;");
    expect(record_text("my/k.wgsl", &immediate), "Shader", &["`a`", "immediates"]);
    let mixed = kernel("struct S { x: u32, y: f32 }\n@group(0) @binding(0) var<uniform> a: S;");
    expect(record_text("my/k.wgsl", &mixed), "Shader", &["`a`", "one kind of 32-bit scalar"]);
    let nested = kernel("struct S { x: vec2<u32> }\n@group(0) @binding(0) var<uniform> params: S;")
        .replace("_ = a", "_ = params.x");
    expect(record_text("my/k.wgsl", &nested), "Shader", &["`params`", "struct of scalars"]);
}

#[test]
fn wrong_bindings_are_named() {
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    let words = recording.slot("words", DType::U32, [100]).unwrap();
    let empty = recording.slot("empty", DType::F32, [0]).unwrap();
    let table = recording.constant("table", [100], &[0.0f32; 100]).unwrap();
    let scratch = recording.scratch("fresh", DType::F32, [100]);
    let mut foreign = Recording::new("foreign");
    let stranger = foreign.slot("input", DType::F32, [100]).unwrap();
    type Bound<'a> = &'a [(&'a str, Value)];
    let cases: [(Bound<'_>, &[&str]); 11] = [
        (&[("input", input)], &["`result`", "is missing"]),
        (&[], &["`input`", "is missing"]),
        (
            &[("input", input), ("result", result), ("spare", input)],
            &["`spare`", "not a binding", "input, result"],
        ),
        (&[("input", input), ("result", result), ("params", input)], &["`params`", "not a binding"]),
        (&[("input", words), ("result", result)], &["`input`", "f32", "`words`", "u32"]),
        (&[("input", input), ("input", input), ("result", result)], &["`input`", "bound twice"]),
        (&[("input", result), ("result", result)], &["`result`", "`input`", "same tensor `result`"]),
        (&[("input", input), ("result", table)], &["`result`", "written", "constant"]),
        (&[("input", scratch), ("result", result)], &["`input`", "`fresh`", "before any dispatch wrote it"]),
        (&[("input", stranger), ("result", result)], &["`input`", "another recording"]),
        (&[("input", empty), ("result", result)], &["`input`", "at least 4 bytes", "`empty`", "has 0"]),
    ];
    for (bound, words) in cases {
        let mut dispatch = recording.dispatch(&scale(), "scale");
        for (name, value) in bound {
            dispatch = dispatch.bind(name, *value);
        }
        let finished = dispatch.set("count", 100u32).set("factor", 1.0f32).invocations(100).finish();
        let text = expect(finished, "Binding", words);
        assert!(text.starts_with("run/scale: kernel `scale`"), "{text}");
    }
    assert!(recording.is_empty(), "a refused dispatch leaves no trace");
    let quads = "
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(1)
fn quads() { result[0] = vec4<f32>(0.0); }
";
    let odd = recording.slot("odd", DType::F32, [6]).unwrap();
    let finished = recording
        .dispatch(&KernelSource::new("user/quads.wgsl", quads), "quads")
        .bind("result", odd)
        .workgroups([1, 1, 1])
        .finish();
    expect(finished, "Binding", &["`result`", "16-byte", "`odd`", "24 bytes", "packed"]);
}

#[test]
fn wrong_parameters_are_named() {
    type Params<'a> = &'a [(&'a str, gibbs::gpu::Param)];
    let cases: [(Params<'_>, &[&str]); 6] = [
        (&[("count", 100u32.into())], &["`factor`", "was not set"]),
        (
            &[("count", 100u32.into()), ("factor", 1.0f32.into()), ("more", 1u32.into())],
            &["`more`", "not a member"],
        ),
        (&[("count", 100.0f32.into()), ("factor", 1.0f32.into())], &["`count`", "is a u32", "set to a f32"]),
        (&[("count", 100i32.into()), ("factor", 1.0f32.into())], &["`count`", "is a u32", "set to a i32"]),
        (&[("count", 1u32.into()), ("factor", 1u32.into())], &["`factor`", "is a f32", "set to a u32"]),
        (
            &[("count", 1u32.into()), ("count", 2u32.into()), ("factor", 1.0f32.into())],
            &["`count`", "set twice"],
        ),
    ];
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    for (params, words) in cases {
        let mut dispatch = recording.dispatch(&scale(), "scale").bind("input", input).bind("result", result);
        for (name, value) in params {
            dispatch = dispatch.set(name, *value);
        }
        expect(dispatch.invocations(100).finish(), "Binding", words);
    }
    let text = "@compute @workgroup_size(1)\nfn bare() { }\n";
    let bare = KernelSource::new("user/bare.wgsl", text);
    let finished = recording.dispatch(&bare, "bare").set("count", 1u32).workgroups([1, 1, 1]).finish();
    expect(finished, "Binding", &["`count`", "no `params` uniform"]);
    let knob = recording.knob("gain", 1.0);
    let finished = recording.dispatch(&bare, "bare").turn("gain", knob).workgroups([1, 1, 1]).finish();
    expect(finished, "Binding", &["`gain`", "no `knobs` uniform"]);
}

const KNOBS: &str = "
struct Knobs {
    gain: f32,
}
@group(0) @binding(0) var<uniform> knobs: Knobs;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(1)
fn knobs_only() { result[0] = knobs.gain; }
";

#[test]
fn wrong_knobs_are_named() {
    let gpu = &lavapipe().gpu;
    let kernel = KernelSource::new("user/knobs_only.wgsl", KNOBS);
    let mut other = Recording::new("other");
    for name in ["a", "b", "c"] {
        other.knob(name, 0.0);
    }
    let stranger = other.knob("d", 0.0);
    let mut recording = Recording::new("run");
    let result = recording.slot("result", DType::F32, [1]).unwrap();
    let own = recording.knob("gain", 1.0);
    let mut turned = |name: &str, knob| {
        recording
            .dispatch(&kernel, "k")
            .bind("result", result)
            .turn(name, knob)
            .workgroups([1, 1, 1])
            .finish()
    };
    expect(turned("loudness", own), "Binding", &["`loudness`", "not a member", "`knobs`"]);
    expect(turned("gain", stranger), "Binding", &["`gain`", "another recording"]);
    expect(turned("gain", other.knob("a", 0.0)), "Binding", &["`gain`", "another recording"]);
    turned("gain", own).unwrap();
    let untouched = recording.dispatch(&kernel, "k").bind("result", result).workgroups([1, 1, 1]).finish();
    expect(untouched, "Binding", &["`gain`", "has no knob"]);
    let twice = recording.dispatch(&kernel, "k").bind("result", result).turn("gain", own).turn("gain", own);
    expect(twice.workgroups([1, 1, 1]).finish(), "Binding", &["`gain`", "two knobs"]);
    let plan = recording.compile(gpu, &Bindings::new()).unwrap();
    expect(plan.set_knob(own, f32::NAN), "Argument", &["run", "knob `gain`", "finite"]);
    expect(plan.set_knob(stranger, 1.0), "Argument", &["knob", "another recording"]);
    expect(plan.set_knob(other.knob("a", 0.0), 1.0), "Argument", &["knob", "another recording"]);
    plan.set_knob(own, 2.0).unwrap();
}

#[test]
fn grids_that_cannot_run_are_refused() {
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    macro_rules! scale {
        ($($grid:tt)*) => {
            recording
                .dispatch(&scale(), "scale")
                .bind("input", input)
                .bind("result", result)
                .set("count", 100u32)
                .set("factor", 1.0f32)
                $($grid)*
                .finish()
        };
    }
    expect(scale!(), "Binding", &["`grid`", "not given"]);
    expect(scale!(.invocations(0)), "Argument", &["run/scale", "grid", "empty"]);
    expect(scale!(.workgroups_folded(0)), "Argument", &["grid", "empty"]);
    expect(scale!(.workgroups([1, 0, 1])), "Argument", &["grid", "empty", "[1, 0, 1]"]);
    let hint = "use fewer rows";
    expect(scale!(.workgroups([65536, 1, 1])), "Limit", &["run/scale", "workgroups", "65536", "65535", hint]);
    expect(scale!(.workgroups_folded(65535 * 65535 + 1)), "Limit", &["workgroups", "65536", "65535"]);
    expect(scale!(.invocations(usize::MAX)), "Limit", &["workgroups", "65535"]);
    assert!(recording.is_empty());
}

#[test]
fn tensors_beyond_the_adapters_limits_are_refused() {
    let gpu = &lavapipe().reopen(false);
    let most = gpu.capabilities().max_tensor_bytes() as usize;
    let name = gpu.info().name.as_str();
    let before = gpu.counters().buffers;
    let tebibyte = Tensor::zeros(gpu, "huge", DType::F32, [1 << 10, 1 << 28]);
    expect(tebibyte, "Limit", &["`huge`", "1099511627776", &most.to_string(), name, "fewer rows"]);
    let over = Tensor::zeros(gpu, "over", DType::F32, [most / 4 + 1]);
    expect(over, "Limit", &["`over`", &(4 * (most / 4 + 1)).to_string(), &most.to_string(), name]);
    // Sizes whose product is 2^64 or more must not wrap round to something small.
    for shape in [
        Shape::new([1 << 32, 1 << 32, 4]),
        Shape::new([usize::MAX, usize::MAX]),
        Shape::new([1 << 62, 4, 1]),
        Shape::packed(usize::MAX, usize::MAX),
        Shape::packed(1, usize::MAX),
    ] {
        expect(Tensor::zeros(gpu, "absurd", DType::F32, shape), "Limit", &["`absurd`"]);
    }
    let mut recording = Recording::new("run");
    let (input, _) = slots(&mut recording);
    let scratch = recording.scratch("wide", DType::F32, [1 << 20, 1 << 20]);
    recording
        .dispatch(&scale(), "scale")
        .bind("input", input)
        .bind("result", scratch)
        .set("count", 100u32)
        .set("factor", 1.0f32)
        .invocations(100)
        .finish()
        .unwrap();
    let compiled = recording.compile(gpu, &Bindings::new());
    expect(compiled, "Limit", &["run/scale", "`wide`", "4398046511104", name]);
    assert_eq!(gpu.counters().buffers, before, "refused before wgpu was asked");
    still_works(gpu);
}

#[test]
fn tensors_beyond_a_binding_are_refused_where_they_are_bound() {
    let gpu = &lavapipe().narrow(64 << 10);
    let name = gpu.info().name.as_str();
    for (label, target) in
        [("own", gpu.capabilities().target()), ("other", gibbs::gpu::Target::from(gpu.capabilities().class))]
    {
        let mut recording = Recording::tuned("run", target);
        let input = recording.slot("input", DType::F32, [1 << 20]).unwrap();
        let result = recording.slot("result", DType::F32, [100]).unwrap();
        recording
            .dispatch(&scale(), "scale")
            .bind("input", input)
            .bind("result", result)
            .set("count", 100u32)
            .set("factor", 1.0f32)
            .invocations(100)
            .finish()
            .unwrap();
        let hint = if label == "own" { "fewer rows" } else { "Capabilities::target" };
        let compiled = recording.compile(gpu, &Bindings::new());
        expect(compiled, "Limit", &["run/scale", "`input`", "4194304", "65536", name, hint]);
    }
}

#[test]
fn wrong_ranges_of_rows_are_named() {
    let mut recording = Recording::new("run");
    let x = recording.slot("x", DType::F32, [128, 3]).unwrap();
    expect(recording.rows(x, 0, 0), "Argument", &["`x`", "128"]);
    expect(recording.rows(x, 64, 65), "Argument", &["`x`", "65 from 64", "128"]);
    expect(recording.rows(x, usize::MAX, 2), "Argument", &["`x`"]);
    expect(recording.rows(x, 63, 1), "Argument", &["`x`", "byte 756", "256"]);
    let foreign = Recording::new("other").slot("x", DType::F32, [128, 3]).unwrap();
    expect(recording.rows(foreign, 0, 1), "Argument", &["another recording"]);
    let record = |recording: &mut Recording, input: Value, result: Value| {
        recording
            .dispatch(&scale(), "scale")
            .bind("input", input)
            .bind("result", result)
            .set("count", 192u32)
            .set("factor", 1.0f32)
            .invocations(192)
            .finish()
    };
    let (low, high) = (recording.rows(x, 0, 64).unwrap(), recording.rows(x, 64, 64).unwrap());
    let aliased = record(&mut recording, low, high);
    expect(aliased, "Binding", &["`input`", "`result`", "same tensor `x`"]);
    let scratch = recording.scratch("scratch", DType::F32, [128, 3]);
    let half = recording.rows(scratch, 64, 64).unwrap();
    record(&mut recording, low, half).unwrap();
    let early = record(&mut recording, scratch, x);
    expect(early, "Binding", &["`input`", "`scratch`", "before"]);
    let constant = recording.constant("table", [128, 3], &[1.0f32; 384]).unwrap();
    let part = recording.rows(constant, 64, 64).unwrap();
    expect(record(&mut recording, low, part), "Binding", &["`result`", "constant"]);
    expect(recording.expose(half, "half"), "Argument", &["not scratch"]);
}

#[test]
fn kernels_beyond_the_adapters_limits_are_refused_before_wgpu_sees_them() {
    let gpu = lavapipe().reopen(false);
    let record = |text: &str, size: Option<f64>| {
        let mut recording = Recording::new("run");
        let result = recording.slot("result", DType::F32, [4]).unwrap();
        let kernel = KernelSource::new("user/big.wgsl", text);
        let mut dispatch = recording.dispatch(&kernel, "big").bind("result", result).workgroups([1, 1, 1]);
        if let Some(size) = size {
            dispatch = dispatch.constant("SIZE", size);
        }
        dispatch.finish().map(|()| recording)
    };
    let memory = "
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
var<workgroup> tile: array<vec4<f32>, 4096>;
@compute @workgroup_size(64)
fn big(@builtin(local_invocation_index) lane: u32) {
    tile[lane] = vec4<f32>(1.0);
    workgroupBarrier();
    result[0] = tile[(lane + 1u) % 64u].x;
}
";
    let compiled = record(memory, None).unwrap().compile(&gpu, &Bindings::new());
    let granted = gpu.capabilities().limits.max_compute_workgroup_storage_size.to_string();
    expect(compiled, "Limit", &["pipeline `big`", "workgroup memory in bytes", "65536", &granted]);
    let sized = "
override SIZE: u32 = 64u;
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(SIZE)
fn big(@builtin(local_invocation_index) lane: u32) { result[0] = f32(lane); }
";
    let compiled = record(sized, Some(4096.0)).unwrap().compile(&gpu, &Bindings::new());
    expect(compiled, "Limit", &["pipeline `big`", "workgroup size x", "4096"]);
    assert_eq!(gpu.counters().pipelines, 0, "refused before wgpu was asked");
    expect(record(sized, Some(1.5)), "Shader", &["`SIZE`", "1.5", "integer"]);
    expect(record(sized, Some(-1.0)), "Shader", &["`SIZE`", "-1", "integer"]);
    expect(record(sized, Some(f64::NAN)), "Shader", &["`SIZE`", "NaN"]);
    expect(record(sized, Some(0.0)), "Shader", &["user/big.wgsl"]);
    expect(record(memory, Some(1.0)), "Shader", &["no override `SIZE`"]);
    let good = record(sized, Some(32.0)).unwrap();
    good.compile(&gpu, &Bindings::new()).expect("a size that fits");
    still_works(&gpu);
}

#[test]
fn a_kernel_that_panics_the_translator_gives_an_error_and_leaves_the_device_alone() {
    let gpu = lavapipe().reopen(false);
    let text = "
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
fn bump(p: ptr<function, f32>) { *p += 1.0; }
@compute @workgroup_size(1)
fn part() {
    var parts: array<f32, 4>;
    bump(&parts[1]);
    result[0] = parts[1];
}
";
    let mut recording = Recording::new("run");
    let result = recording.slot("result", DType::F32, [4]).unwrap();
    recording
        .dispatch(&KernelSource::new("user/part.wgsl", text), "part")
        .bind("result", result)
        .workgroups([1, 1, 1])
        .finish()
        .expect("naga validates it");
    for _ in 0..2 {
        let compiled = recording.compile(&gpu, &Bindings::new());
        expect(compiled, "Device", &["pipeline `part`", &gpu.info().name, "panicked"]);
    }
    still_works(&gpu);
}

#[test]
fn a_random_stream_that_is_used_twice_is_refused() {
    let mut recording = Recording::new("run");
    recording.stream("noise").unwrap();
    expect(recording.stream("noise"), "Argument", &["run", "random stream", "`noise`", "same numbers"]);
    // Two names with the same 16-bit number.
    let mut known = std::collections::HashMap::new();
    let (a, b) = (0..)
        .find_map(|n| {
            let name = format!("stream {n}");
            let id = gibbs::gpu::random::stream_id(&name);
            known.insert(id, name.clone()).map(|other| (other, name))
        })
        .unwrap();
    recording.stream(&a).unwrap();
    expect(recording.stream(&b), "Argument", &[&a, &b, "same number", "another name"]);
    let bounds = UniformBox::new(&[0.0], &[1.0]).unwrap();
    let y = recording.slot("y", DType::F32, [2, 2, 1]).unwrap();
    let prepared = bounds.record_prepare(&mut recording, y).unwrap();
    let draws = Draws { candidates: y, first: 0, count: 1, stream: "noise", inner: 0 };
    expect(bounds.record_sample(&mut recording, &prepared, &draws), "Argument", &["`noise`", "already used"]);
}

#[test]
fn values_of_another_recording_are_refused() {
    let mut foreign = Recording::new("foreign");
    let stranger = foreign.scratch("x", DType::F32, [100]);
    let mut recording = Recording::new("run");
    let own = recording.scratch("x", DType::F32, [100]);
    let words = &["run", "another recording"];
    expect(recording.shape(stranger).cloned(), "Argument", words);
    expect(recording.expect_shape("x", stranger, [100]), "Argument", words);
    expect(recording.expose(stranger, "result"), "Argument", words);
    let state = RunState::value(&mut recording).unwrap();
    expect(recording.expose(own, RunState::SLOT), "Argument", &["slot name `run_state`", "taken"]);
    expect(recording.expose(state, "again"), "Argument", &["slot name `again`", "not scratch"]);
}

#[test]
fn wrong_and_open_slots_are_named() {
    let gpu = &lavapipe().gpu;
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    recording
        .dispatch(&scale(), "scale")
        .bind("input", input)
        .bind("result", result)
        .set("count", 100u32)
        .set("factor", 1.0f32)
        .invocations(100)
        .finish()
        .unwrap();
    let tensor = |name: &str| Tensor::zeros(gpu, name, DType::F32, [100]).unwrap();
    let (a, b) = (tensor("a"), tensor("b"));
    let wrong = Bindings::new().with("inptu", &a);
    expect(recording.compile(gpu, &wrong), "Argument", &["compile `run`", "`inptu`", "fits no slot"]);
    let plan = recording.compile(gpu, &Bindings::new().with("input", &a)).unwrap();
    expect(plan.run(1), "Argument", &["run/scale", "slot `result`", "not bound"]);
    expect(plan.run_timed(1), "Argument", &["slot `result`", "not bound"]);
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut encode = |bindings: &Bindings| plan.encode(&mut encoder, bindings);
    expect(encode(&Bindings::new()), "Argument", &["slot `result`", "not bound"]);
    expect(encode(&wrong), "Argument", &["encode `run`", "`inptu`", "fits no slot"]);
    let short = Tensor::zeros(gpu, "short", DType::F32, [99]).unwrap();
    expect(encode(&Bindings::new().with("result", &short)), "Shape", &["`result`", "[99]", "[100]"]);
    let replaced = Bindings::new().with("result", &b).with("input", &short);
    expect(encode(&replaced), "Shape", &["[99]", "[100]"]);
    let aliased = Bindings::new().with("result", &a);
    expect(encode(&aliased), "Binding", &["run/scale", "one buffer", "different buffers"]);
    encode(&Bindings::new().with("result", &b)).unwrap();
}

#[test]
fn tensors_that_share_a_buffer_may_not_meet_in_one_dispatch() {
    let gpu = &lavapipe().gpu;
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 2048,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let piece = |offset| Tensor::from_buffer("piece", buffer.clone(), offset, DType::F32, [100]);
    let bindings = Bindings::new().with("input", &piece(0).unwrap()).with("result", &piece(1024).unwrap());
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    recording
        .dispatch(&scale(), "scale")
        .bind("input", input)
        .bind("result", result)
        .set("count", 100u32)
        .set("factor", 1.0f32)
        .invocations(100)
        .finish()
        .unwrap();
    expect(recording.compile(gpu, &bindings), "Binding", &["run/scale", "one buffer", "different buffers"]);
    expect(piece(4), "Argument", &["`piece`", "offset", "is 4", "multiple of 256"]);
    expect(piece(1792), "Shape", &["`piece`", "2048 bytes", "2192 bytes", "offset 1792"]);
    expect(piece(u64::MAX - 255), "Shape", &["`piece`", "2048 bytes"]);
    let copies = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 2048,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let unusable = Tensor::from_buffer("copies", copies, 0, DType::F32, [100]);
    expect(unusable, "Argument", &["`copies`", "COPY_DST", "STORAGE"]);
    // Readable by shaders, not by the host: an error of the driver layer, still a value.
    expect(gpu.read::<f32>(&piece(0).unwrap()), "Device", &["read `piece`", &gpu.info().name]);
    still_works(gpu);
}

#[test]
fn bad_metrics_are_named() {
    let gpu = &lavapipe().gpu;
    let ring = MetricsRing::new(gpu, &["loss"], 0).unwrap();
    let mut recording = Recording::new("run");
    let values = recording.slot("values", DType::F32, [8]).unwrap();
    let mut mean = |name: &str, range| ring.record_mean(&mut recording, name, values, range, (1.0, 0.0));
    expect(mean("accuracy", 0..8), "Argument", &["metrics", "`accuracy`"]);
    expect(mean("loss", 0..9), "Argument", &["metric `loss`", "0..9", "[8]"]);
    expect(mean("loss", 3..3), "Argument", &["metric `loss`", "3..3", "empty"]);
}

#[test]
fn bad_samplers_and_boxes_are_named() {
    let gpu = &lavapipe().gpu;
    for (low, high) in [
        (vec![0.0, 0.0], vec![1.0, 0.0]),
        (vec![0.0], vec![1.0, 1.0]),
        (vec![], vec![]),
        (vec![f32::NAN], vec![1.0]),
        (vec![-f32::MAX], vec![f32::MAX]),
        (vec![0.0], vec![f32::INFINITY]),
    ] {
        expect(UniformBox::new(&low, &high), "Argument", &["uniform box", "low < high"]);
    }
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let good = Langevin {
        steps: 2,
        sizes: Anneal::Constant { value: 0.1 },
        quiet_last: true,
        ..Langevin::default()
    };
    let make = |proposal: &UniformBox, (contexts, context_width), chains, langevin: &Langevin| {
        let dynamics = langevin.clone().into();
        let options = ChainOptions { contexts, context_width, chains, dynamics, ..ChainOptions::default() };
        ChainSampler::new(gpu, &energy, proposal, &options)
    };
    let with = |steps, sizes| Langevin { steps, sizes, ..good.clone() };
    let constant = Anneal::Constant { value: 0.1 };
    expect(make(&bounds, (4, 2), 5, &with(0, constant)), "Argument", &["langevin", "steps", "is 0"]);
    expect(make(&bounds, (4, 2), 5, &with(65536, constant)), "Argument", &["langevin", "steps", "65535"]);
    for sizes in [
        Anneal::Constant { value: -0.1 },
        Anneal::Constant { value: f64::NAN },
        Anneal::Geometric { first: 0.1, last: 0.0 },
        Anneal::Polynomial { first: 0.1, last: f64::INFINITY, power: 1.0 },
    ] {
        expect(
            make(&bounds, (4, 2), 5, &with(4, sizes)),
            "Argument",
            &["langevin", "step sizes", "positive"],
        );
    }
    let flat = UniformBox::new(&[0.0; 2], &[1.0; 2]).unwrap();
    expect(make(&flat, (4, 2), 5, &good), "Argument", &["sampler", "2 dimensions", "energy 3"]);
    let boxed = Langevin { bounds: Some(flat), ..good.clone() };
    expect(make(&bounds, (4, 2), 5, &boxed), "Argument", &["langevin", "box", "2 dimensions", "energy 3"]);
    expect(make(&bounds, (4, 2), 0, &good), "Argument", &["draws per context", "is 0"]);
    expect(make(&bounds, (0, 2), 5, &good), "Argument", &["sampler", "contexts", "are none"]);
    expect(make(&bounds, (4, 7), 5, &good), "Shape", &["[4, 7]", "2"]);
    let random = "number of random elements";
    expect(make(&bounds, (1 << 20, 2), 1 << 20, &good), "Argument", &["uniform sample", random, "2^32"]);
    expect(make(&bounds, (1 << 16, 2), 1 << 14, &good), "Limit", &["gibbs/sample", "fewer rows"]);
    let mut sampler = make(&bounds, (4, 2), 5, &good).unwrap();
    expect(sampler.sample(&[0.0; 7]), "Shape", &["7 values", "8 for [4, 2]"]);
    expect(sampler.tune(-1.0, 1.0), "Argument", &["sampler", "negative"]);
    expect(sampler.tune(f32::NAN, 1.0), "Argument", &["step_scale", "finite"]);
    assert_eq!(sampler.sample(&[0.0; 8]).unwrap().len(), 60);
}

#[test]
fn candidates_of_other_contexts_are_refused() {
    let gpu = &lavapipe().gpu;
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let mut recording = Recording::new("run");
    // 12 rows divide by 2 contexts, but they belong to 4.
    let context = recording.slot("x", DType::F32, [2, 2]).unwrap();
    let y = recording.slot("y", DType::F32, [4, 3, 3]).unwrap();
    let value = energy.record_value(&mut recording, Some(context), y);
    expect(value, "Shape", &["energy `energy`", "[4, 3, 3]", "[2, candidates, 3]"]);
    let gradient = energy.record_gradient(&mut recording, Some(context), y);
    expect(gradient, "Shape", &["energy `energy`", "[4, 3, 3]"]);
    expect(energy.record_value(&mut recording, None, y), "Argument", &["context", "missing"]);
}

#[test]
fn chains_and_candidates_must_hold_something() {
    let gpu = &lavapipe().gpu;
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[-1.0; 3], &[1.0; 3]).unwrap();
    let mut recording = Recording::new("run");
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let y = recording.scratch("chains", DType::F32, [4, 5, 3]);
    let chain = Langevin { steps: 2, sizes: Anneal::Constant { value: 0.1 }, ..Langevin::default() };
    let recorded = chain.record(&mut recording, &energy, Some(context), y, "chain");
    expect(recorded, "Argument", &["langevin", "y", "starts"]);
    let drawn = (context, y);
    let step = record_contrastive(&mut recording, Objective::Rnce, &energy, &bounds, drawn, "negatives");
    expect(step, "Argument", &["contrastive", "demonstrations"]);
    let huge = Langevin { sizes: Anneal::Constant { value: 1e60 }, ..chain };
    let y = recording.slot("y", DType::F32, [4, 5, 3]).unwrap();
    let recorded = huge.record(&mut recording, &energy, Some(context), y, "chain");
    expect(recorded, "Argument", &["langevin", "step sizes"]);
}

#[test]
fn counters_of_random_streams_do_not_run_into_each_other() {
    let mut recording = Recording::new("run");
    let out = recording.scratch("out", DType::F32, [8]);
    for (stream, inner) in [(3, 1 << 16), (1 << 16, 0)] {
        let drawn = random::record(&mut recording, random::Distribution::Normal, stream, inner, out);
        expect(drawn, "Argument", &["random", "65536"]);
    }
}
