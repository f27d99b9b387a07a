//! Data, options and networks.

use gibbs::energy::{NetworkEnergy, evaluate_energy};
use gibbs::gpu::Points;
use gibbs::gpu::{DType, Recording, Shape, Tensor, Value};
use gibbs::loss::{RankingObjective, ranking_nce, record_ranking_nce};
use gibbs::math::Normalize;
use gibbs::nn::{
    Activation, AdamOptions, GradientMode, Input, Keep, Layer, LayerNorm, Model, Network, Normalizer,
    Optimizer, Schedule,
};
use gibbs::proposal::{Mixture, MixtureShape, UniformBox};
use gibbs::train::{Dataset, ProposalOptions, RankingNceOptions, TrainOptions, Trainer};

use super::expectation::{energy_network, expect};
use crate::common::lavapipe;

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
fn nce() -> RankingNceOptions {
    let mut options = RankingNceOptions::default().with_negatives(3);
    options.energy.hidden = vec![4];
    options.proposal =
        ProposalOptions::Mixture { components: 2, hidden: vec![4], optimizer: AdamOptions::default() };
    options
}

fn run_of(options: RankingNceOptions) -> TrainOptions {
    TrainOptions::new(options).with_batch(4).with_steps(10)
}

fn options() -> TrainOptions {
    run_of(nce())
}

#[test]
fn no_negative_is_refused_by_every_entrance() {
    let gpu = &lavapipe().gpu;
    let trained = Trainer::new(gpu, &data(), run_of(nce().with_negatives(0)));
    expect(trained, "Argument", &["negatives", "is 0", "at least one"]);
    let mut recording = Recording::new("run");
    let log_q = recording.slot("log_q", DType::F32, [4, 1]).unwrap();
    let energy = recording.slot("energy", DType::F32, Shape::packed(4, 1)).unwrap();
    let loss = ranking_nce::record(&mut recording, RankingObjective::Rnce, energy, log_q);
    expect(loss, "Argument", &["ranking nce", "negatives", "is 0"]);
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let candidates = recording.slot("y", DType::F32, [4, 1, 3]).unwrap();
    let pair = (context, candidates);
    let step =
        record_ranking_nce(&mut recording, RankingObjective::Rnce, &energy, &bounds, pair, "negatives");
    expect(step, "Argument", &["negatives", "is 0"]);
}

#[test]
fn bad_training_options_are_named() {
    let gpu = &lavapipe().gpu;
    let schedule = |rate: f64| AdamOptions::default().with_schedule(Schedule::Constant { rate });
    let with = |change: &dyn Fn(&mut RankingNceOptions)| {
        let mut options = nce();
        change(&mut options);
        run_of(options)
    };
    let mixture = |components: usize, hidden: Vec<usize>, optimizer: AdamOptions| ProposalOptions::Mixture {
        components,
        hidden,
        optimizer,
    };
    let plain = AdamOptions::default();
    let cosine = Schedule::Cosine { rate: 1e-3, warmup: 5, floor: 1.5 };
    let cases: Vec<(TrainOptions, &[&str])> = vec![
        (options().with_batch(0), &["batch", "is 0"]),
        (options().with_batch(usize::MAX), &["batch", "candidates"]),
        (with(&|o| o.negatives = usize::MAX), &["batch", "negatives"]),
        (options().with_steps(0), &["steps", "is 0"]),
        (with(&|o| o.warmup = 10), &["steps", "10", "warm-up"]),
        (options().with_steps(u64::MAX), &["steps", "4000000"]),
        (with(&|o| o.energy_updates = 0), &["updates per step", "1 to 64"]),
        (with(&|o| o.proposal_updates = 65), &["updates per step", "0 to 64"]),
        (with(&|o| o.action = Normalize::Standard { deviation: 0.0 }), &["deviation", "is 0", "positive"]),
        (with(&|o| o.context = Normalize::Standard { deviation: f64::NAN }), &["deviation", "NaN"]),
        (with(&|o| o.energy.optimizer = schedule(-1e-3)), &["optimizer", "schedule", "rate >= 0"]),
        (with(&|o| o.energy.optimizer = schedule(f64::NAN)), &["optimizer", "schedule"]),
        (with(&|o| o.energy.optimizer.schedule = cosine), &["optimizer", "floor"]),
        (with(&|o| o.energy.optimizer.beta1 = 1.0), &["beta1", "[0, 1)"]),
        (with(&|o| o.energy.optimizer.beta2 = -0.1), &["beta2", "[0, 1)"]),
        (with(&|o| o.energy.optimizer.average_decay = 1.0), &["average_decay", "[0, 1)"]),
        (with(&|o| o.energy.optimizer.epsilon = -1.0), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimizer.epsilon = 0.0), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimizer.epsilon = 1e-60), &["epsilon", "1e-30"]),
        (with(&|o| o.energy.optimizer.beta2 = 1.0 - 1e-12), &["beta2", "[0, 1)"]),
        (with(&|o| o.energy.optimizer.weight_decay = 1e300), &["weight_decay", "finite"]),
        (
            with(&|o| {
                o.warmup = 1;
                o.proposal = ProposalOptions::Uniform { low: vec![-9.0; 2], high: vec![9.0; 2] };
            }),
            &["warmup", "uniform box"],
        ),
        (with(&|o| o.energy.optimizer.max_norm = f64::INFINITY), &["max_norm", "finite"]),
        (with(&|o| o.energy.optimizer.weight_decay = -1.0), &["weight_decay", "not negative"]),
        (with(&|o| o.energy.hidden = vec![4, 0]), &["network", "layers.1", "width 0"]),
        (with(&|o| o.energy.hidden = vec![4; 256]), &["network", "more than 256 layers"]),
        (with(&|o| o.proposal = mixture(0, vec![4], plain)), &["components", "1 to 256"]),
        (with(&|o| o.proposal = mixture(257, vec![4], plain)), &["components", "1 to 256"]),
        (with(&|o| o.proposal = mixture(2, vec![5000], plain)), &["layers.0", "width 5000"]),
        (with(&|o| o.proposal = mixture(2, vec![4], schedule(-1.0))), &["optimizer", "schedule"]),
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
        expect(Trainer::new(gpu, &data(), options), "Argument", words);
    }
    Trainer::new(gpu, &data(), options()).expect("the options that the cases start from are good");
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
            with(&|n| n.layers.push(Layer::Residual(vec![dense(1)]))),
            &["last layer", "`layers.2`", "must be dense"],
        ),
        (with(&|n| n.inputs[0].normalizer.scale[1] = 0.0), &["input `context`", "scale 0", "dimension 1"]),
        (with(&|n| n.inputs[0].normalizer.shift[0] = f32::NAN), &["input `context`", "NaN", "dimension 0"]),
        (
            with(&|n| n.inputs[1].normalizer = Normalizer::identity(2)),
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
    expect(NetworkEnergy::new(model.clone()), "Argument", &["energy `model`", "1 output"]);
    let mixture = Mixture::new(model.clone(), MixtureShape::new(2, Normalizer::identity(3)));
    expect(mixture, "Argument", &["proposal `model`", "`context`", "14 outputs"]);
    let other = Tensor::zeros(gpu, "other", DType::F32, [7]).unwrap();
    expect(model.with_parameters(&other), "Shape", &["parameters of `model`", "[7]"]);
    let mut shape = MixtureShape::new(2, Normalizer::identity(3));
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
    expect(back, "Shape", &["backward", "[4, 3]", "[4, 1]"]);
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", network).unwrap()).unwrap();
    let points = Points { context: &[], contexts: 1, y: &[0.0; 6], dims: 3 };
    expect(evaluate_energy(gpu, &energy, &points), "Argument", &["model `energy`", "context", "missing"]);
    for (contexts, y, dims) in [(2, 5, 3), (0, 6, 3), (2, 0, 3), (2, 6, 0), (usize::MAX, 6, 3)] {
        let y = vec![0.0; y];
        let points = Points { context: &[0.0; 4], contexts, y: &y, dims };
        expect(evaluate_energy(gpu, &energy, &points), "Shape", &["points", "equal blocks"]);
    }
    let optimizer = Optimizer::new(gpu, energy.model(), AdamOptions::default().with_steps(0));
    expect(optimizer, "Argument", &["optimizer", "steps", "1 to 4000000"]);
}
