//! Losses and gradients of whole networks, and a step along them.

use gibbs::Gpu;
use gibbs::energy::{Energy, NetworkEnergy};
use gibbs::gpu::{DType, KernelSource, RunState, Value};
use gibbs::loss::{RankingObjective, ranking_nce, record_ranking_nce};
use gibbs::nn::{ACTION, Activation, CONTEXT, Input, Model, Network, Normalizer};
use gibbs::proposal::{Draws, Mixture, MixtureShape, Proposal, UniformBox};

use super::bench::{Bench, assert_all_near, assert_near, largest, mean_f32};
use crate::common;

const CONTEXTS: usize = 33;
const CONTEXT_WIDTH: usize = 3;
const DIMS: usize = 2;

fn action_units() -> Normalizer {
    Normalizer { shift: vec![0.25, -0.5], scale: vec![1.5, 0.75] }
}

fn fresh_energy(gpu: &Gpu) -> NetworkEnergy {
    let inputs = vec![Input::new(CONTEXT, CONTEXT_WIDTH), Input::normalized(ACTION, action_units())];
    let network = Network::mlp(inputs, &[24, 20], Activation::Silu, 1);
    NetworkEnergy::new(Model::new(gpu, "energy", network, &RunState::new(gpu, 5).unwrap()).unwrap()).unwrap()
}

fn fresh_mixture(gpu: &Gpu, components: usize) -> Mixture {
    let shape = MixtureShape::new(components, action_units());
    let context = Normalizer::identity(CONTEXT_WIDTH);
    Mixture::fresh(gpu, "proposal", context, &[18], shape, &RunState::new(gpu, 6).unwrap()).unwrap()
}

fn unit_box() -> UniformBox {
    UniformBox::new(&[-2.0, -1.5], &[2.0, 1.0]).unwrap()
}

/// Records a whole contrastive gradient on fixed data; outputs loss, gradient and effective sample
/// size.
fn record_ranking<'a>(
    gpu: &'a Gpu,
    objective: RankingObjective,
    energy: &NetworkEnergy,
    proposal: &dyn Proposal,
    negatives: usize,
) -> (Bench<'a>, gibbs::loss::RankingNceStep) {
    let mut bench = Bench::new(gpu, "contrastive");
    bench.bind(&energy.bindings().merge(&proposal.bindings()));
    bench.bind(&RunState::new(gpu, 7).unwrap().bindings());
    let context =
        bench.input("context", [CONTEXTS, CONTEXT_WIDTH], &common::data(8, CONTEXTS * CONTEXT_WIDTH));
    let candidates = 1 + negatives;
    let y = common::data(9, CONTEXTS * candidates * DIMS);
    let y = bench.input("candidates", [CONTEXTS, candidates, DIMS], &y);
    let recording = &mut bench.recording;
    let step = record_ranking_nce(recording, objective, energy, proposal, (context, y), "negatives").unwrap();
    (bench, step)
}

/// Loss per context, flat gradient, effective sample sizes.
fn contrastive(
    gpu: &Gpu,
    objective: RankingObjective,
    energy: &NetworkEnergy,
    proposal: &dyn Proposal,
    negatives: usize,
) -> [Vec<f32>; 3] {
    let (mut bench, step) = record_ranking(gpu, objective, energy, proposal, negatives);
    for value in [step.loss, step.gradient, step.ess] {
        bench.output(value);
    }
    bench.run().try_into().unwrap()
}

#[test]
fn r7_with_a_uniform_proposal_both_objectives_are_the_same() {
    let gpu = &common::lavapipe().gpu;
    let (energy, bounds) = (fresh_energy(gpu), unit_box());
    let [loss, gradient, ess] = contrastive(gpu, RankingObjective::Rnce, &energy, &bounds, 31);
    let [other_loss, other_gradient, other_ess] =
        contrastive(gpu, RankingObjective::InfoNce, &energy, &bounds, 31);
    assert_all_near("loss", &other_loss, &loss, 2e-6);
    assert_all_near("gradient", &other_gradient, &gradient, 2e-6 * largest(&gradient));
    assert_all_near("ess", &other_ess, &ess, 2e-5);
    assert!(largest(&gradient) > 1e-3, "no gradient to compare");
    // With another proposal they differ, so the comparison can fail.
    let mixture = fresh_mixture(gpu, 3);
    let [loss, ..] = contrastive(gpu, RankingObjective::Rnce, &energy, &mixture, 31);
    let [other_loss, ..] = contrastive(gpu, RankingObjective::InfoNce, &energy, &mixture, 31);
    assert!((mean_f32(&loss) - mean_f32(&other_loss)).abs() > 1e-2);
}

#[test]
fn r8_a_shift_of_a_networks_energy_changes_neither_loss_nor_gradient() {
    let gpu = &common::lavapipe().gpu;
    let (energy, mixture) = (fresh_energy(gpu), fresh_mixture(gpu, 4));
    let [loss, gradient, _] = contrastive(gpu, RankingObjective::Rnce, &energy, &mixture, 31);
    let model = energy.model();
    let bias = model.layout().slice("layers.2.bias").unwrap().offset;
    // Seeds sum to zero, so the bias that shifts all energies has no gradient.
    assert_near("gradient of the last bias", gradient[bias].into(), 0.0, 1e-6);
    let mut parameters: Vec<f32> = gpu.read(model.parameters()).unwrap();
    parameters[bias] += 8.0;
    model.parameters().write(gpu, &parameters).unwrap();
    let [other_loss, other_gradient, _] = contrastive(gpu, RankingObjective::Rnce, &energy, &mixture, 31);
    assert_all_near("loss", &other_loss, &loss, 1e-5);
    assert_all_near("gradient", &other_gradient, &gradient, 1e-5 * largest(&gradient));
}

const NEGATE: &str = r"
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> log_q: array<f32>;
@group(0) @binding(2) var<storage, read_write> energy: array<f32>;

@compute @workgroup_size(64)
fn negate(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        energy[id.x] = -log_q[id.x];
    }
}
";

/// The energy of a standard Gaussian in normalized units, without its constant.
const GAUSSIAN: &str = r"
struct Params { count: u32, shift0: f32, shift1: f32, scale0: f32, scale1: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> energy: array<f32>;

@compute @workgroup_size(64)
fn gaussian(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        let z = (y[id.x] - vec2<f32>(params.shift0, params.shift1)) * vec2<f32>(params.scale0, params.scale1);
        energy[id.x] = 0.5 * dot(z, z);
    }
}
";

#[test]
fn r16_a_proposal_that_equals_the_model_weighs_all_candidates_alike() {
    let gpu = &common::lavapipe().gpu;
    let context_input = vec![Input::new(CONTEXT, CONTEXT_WIDTH)];
    let shape = MixtureShape::new(1, action_units());
    let network = Network::mlp(context_input, &[8], Activation::Silu, shape.outputs());
    // All parameters zero: mean 0 and deviation 1 in normalized units.
    let gaussian = Mixture::new(Model::zeros(gpu, "gaussian", network).unwrap(), shape).unwrap();
    let mixture = fresh_mixture(gpu, 5);
    for negatives in [1, 31, 64] {
        for exact in [true, false] {
            let proposal: &dyn Proposal = if exact { &gaussian } else { &mixture };
            let candidates = negatives + 1;
            let count = CONTEXTS * candidates;
            let mut bench = Bench::new(gpu, "proposal equals model");
            bench.bind(&proposal.bindings());
            bench.bind(&RunState::new(gpu, 11).unwrap().bindings());
            let context = common::data(12, CONTEXTS * CONTEXT_WIDTH);
            let context = bench.input("context", [CONTEXTS, CONTEXT_WIDTH], &context);
            let recording = &mut bench.recording;
            let y = recording.scratch("y", DType::F32, [CONTEXTS, candidates, DIMS]);
            let prepared = proposal.record_prepare(recording, context).unwrap();
            let draws = Draws { candidates: y, first: 0, count: candidates, stream: "candidates", inner: 0 };
            proposal.record_sample(recording, &prepared, &draws).unwrap();
            let log_q = proposal.record_log_density(recording, &prepared, y).unwrap();
            let energy = recording.scratch("energy", DType::F32, [count, 1]);
            let units = action_units();
            let dispatch = match exact {
                true => recording
                    .dispatch(&KernelSource::new("theory/gaussian.wgsl", GAUSSIAN), "gaussian energy")
                    .bind("y", y)
                    .set("shift0", units.shift[0])
                    .set("shift1", units.shift[1])
                    .set("scale0", units.scale[0])
                    .set("scale1", units.scale[1]),
                false => recording
                    .dispatch(&KernelSource::new("theory/negate.wgsl", NEGATE), "negative log density")
                    .bind("log_q", log_q),
            };
            dispatch.bind("energy", energy).set("count", count as u32).invocations(count).finish().unwrap();
            let ranking = ranking_nce::record(recording, RankingObjective::Rnce, energy, log_q).unwrap();
            for value in [ranking.ess, ranking.output_gradient, ranking.loss] {
                bench.output(value);
            }
            let [ess, seed, loss] = <[Vec<f32>; 3]>::try_from(bench.run()).unwrap();
            assert_all_near("ess", &ess, &[candidates as f32; CONTEXTS], 1e-4);
            for (at, seed) in seed.iter().enumerate() {
                let first = if at % candidates == 0 { 1.0 } else { 0.0 };
                let weight = first - f64::from(*seed) * CONTEXTS as f64;
                assert_near("weight times candidates", weight * candidates as f64, 1.0, 1e-4);
            }
            assert_near("loss", mean_f32(&loss), (candidates as f64).ln(), 1e-5);
        }
    }
}

/// A Gaussian that does not depend on its context, with one standard deviation in normalized units.
fn constant_gaussian(gpu: &Gpu, name: &str, deviation: f32) -> Mixture {
    let shape = MixtureShape::new(1, action_units());
    let input = vec![Input::new(CONTEXT, CONTEXT_WIDTH)];
    let model = Model::zeros(gpu, name, Network::mlp(input, &[], Activation::Silu, shape.outputs())).unwrap();
    let mut flat = vec![0.0; model.layout().len];
    let bias = model.layout().slice("layers.0.bias").unwrap();
    // Means first, then logarithms of deviations.
    let outputs: Vec<f32> =
        (0..shape.outputs()).map(|at| if at < DIMS { 0.0 } else { deviation.ln() }).collect();
    model.layout().insert(bias, &outputs, &mut flat);
    model.set_parameters(gpu, &flat).unwrap();
    Mixture::new(model, shape).unwrap()
}

#[test]
fn r10_an_energy_that_is_a_log_density_has_partition_function_one() {
    let gpu = &common::lavapipe().gpu;
    let (contexts, candidates) = (3000, 129);
    let count = contexts * candidates;
    let (target, proposal) = (constant_gaussian(gpu, "target", 1.0), constant_gaussian(gpu, "wide", 1.5));
    let mut bench = Bench::new(gpu, "partition function");
    bench.bind(&proposal.bindings().merge(&target.bindings()));
    bench.bind(&RunState::new(gpu, 13).unwrap().bindings());
    let context = common::data(14, contexts * CONTEXT_WIDTH);
    let context = bench.input("context", [contexts, CONTEXT_WIDTH], &context);
    let recording = &mut bench.recording;
    let y = recording.scratch("y", DType::F32, [contexts, candidates, DIMS]);
    let prepared = proposal.record_prepare(recording, context).unwrap();
    let draws = Draws { candidates: y, first: 0, count: candidates, stream: "candidates", inner: 0 };
    proposal.record_sample(recording, &prepared, &draws).unwrap();
    let log_q = proposal.record_log_density(recording, &prepared, y).unwrap();
    let prepared = target.record_prepare(recording, context).unwrap();
    let log_p = target.record_log_density(recording, &prepared, y).unwrap();
    let energy = recording.scratch("energy", DType::F32, [count, 1]);
    recording
        .dispatch(&KernelSource::new("theory/negate.wgsl", NEGATE), "negative log density")
        .bind("log_q", log_p)
        .bind("energy", energy)
        .set("count", count as u32)
        .invocations(count)
        .finish()
        .unwrap();
    let ranking = ranking_nce::record(recording, RankingObjective::Rnce, energy, log_q).unwrap();
    for value in [ranking.loss, energy, log_q] {
        bench.output(value);
    }
    let [loss, energy, log_q] = <[Vec<f32>; 3]>::try_from(bench.run()).unwrap();
    // All candidates are the proposal's: their sum is exp(loss + l_0).
    let sums = loss.iter().enumerate().map(|(context, &loss)| {
        let at = context * candidates;
        (f64::from(loss) - f64::from(energy[at]) - f64::from(log_q[at])).exp()
    });
    let found = (sums.sum::<f64>() / count as f64).ln();
    eprintln!("log Z = {found:.6}");
    assert_near("log Z", found, 0.0, 3.0 / (count as f64).sqrt());
}

#[test]
fn r18_the_push_t_energy_has_its_published_number_of_parameters() {
    let inputs = vec![Input::new(CONTEXT, 40), Input::new(ACTION, 32)];
    let network = Network::mlp(inputs, &[1024; 4], Activation::Relu, 1);
    assert_eq!(network.parameter_count(), 3_224_577);
    let stored: usize = network.layout().slices.iter().map(|slice| slice.rows * slice.columns).sum();
    assert_eq!(stored, 3_224_577);
}

const DESCEND: &str = r"
struct Params { count: u32, rate: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;

@compute @workgroup_size(64)
fn descend(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        parameters[id.x] -= params.rate * gradient[id.x];
    }
}
";

/// Replays a recording of loss, gradient and one descent step twice on the same draws. The loss
/// must fall, and by about `rate * |gradient|^2`, which no other direction of that length reaches.
fn assert_descends(mut bench: Bench<'_>, model: &Model, loss: Value, gradient: Value, rate: f64) {
    let parameters = model.value(&mut bench.recording).unwrap();
    bench
        .recording
        .dispatch(&KernelSource::new("theory/descend.wgsl", DESCEND), "descend")
        .bind("gradient", gradient)
        .bind("parameters", parameters)
        .set("count", model.layout().len as u32)
        .set("rate", rate as f32)
        .invocations(model.layout().len)
        .finish()
        .unwrap();
    bench.output(loss);
    bench.output(gradient);
    let compiled = bench.compile();
    let mut losses = Vec::new();
    let mut square = 0.0;
    for step in 0..2 {
        compiled.plan.run(1).unwrap();
        let read = compiled.read();
        losses.push(mean_f32(&read[0]));
        if step == 0 {
            square = read[1].iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        }
    }
    let (fall, expected) = (losses[0] - losses[1], rate * square);
    eprintln!("loss {:.6} to {:.6}: fell by {fall:.3e}, first order {expected:.3e}", losses[0], losses[1]);
    assert!(losses[1] < losses[0], "the loss rose from {} to {}", losses[0], losses[1]);
    assert!((fall / expected - 1.0).abs() < 0.1, "fell by {fall:.3e}, first order {expected:.3e}");
}

fn ranking_descends(objective: RankingObjective) {
    let gpu = &common::lavapipe().gpu;
    let (energy, mixture) = (fresh_energy(gpu), fresh_mixture(gpu, 4));
    let (bench, step) = record_ranking(gpu, objective, &energy, &mixture, 31);
    assert_descends(bench, energy.model(), step.loss, step.gradient, 0.01);
}

fn likelihood_descends(components: usize) {
    let gpu = &common::lavapipe().gpu;
    let mixture = fresh_mixture(gpu, components);
    let mut bench = Bench::new(gpu, "likelihood");
    bench.bind(&mixture.bindings());
    let context =
        bench.input("context", [CONTEXTS, CONTEXT_WIDTH], &common::data(8, CONTEXTS * CONTEXT_WIDTH));
    let y = bench.input("y", [CONTEXTS, DIMS], &common::data(9, CONTEXTS * DIMS));
    let (loss, gradient) = mixture.record_likelihood(&mut bench.recording, context, y).unwrap();
    assert_descends(bench, mixture.model(), loss, gradient, 0.01);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_ranking_nce_loss() {
    ranking_descends(RankingObjective::Rnce);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_infonce_loss() {
    ranking_descends(RankingObjective::InfoNce);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_mixture_likelihood_loss() {
    likelihood_descends(8);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_gaussian_likelihood_loss() {
    likelihood_descends(1);
}
