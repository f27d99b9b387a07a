//! The theory of ranking NCE as numbers, on lavapipe. R1, R2, .. name the entries of the project's table of acceptance
//! tests; each reference number is written beside its test.
//!
//! "1-D model": data N(0, 1), energy `E_a(y) = a y^2 / 2`, proposal N(0, sigma^2).

mod common;

use gibbs::energy::{Objective, RankingLoss, ranking_nce, record_contrastive};
use gibbs::gpu::random::{self, Distribution};
use gibbs::gpu::{Bindings, DType, KernelSource, Plan, Recording, RunState, Shape, Tensor, Value};
use gibbs::nn::{ACTION, Activation, Affine, CONTEXT, Energy, Input, Model, Network, NetworkEnergy};
use gibbs::proposal::{Draws, Mixture, MixtureShape, Proposal, UniformBox};
use gibbs::sampler::{
    Anneal, ChainOptions, ChainSampler, Dfo, Dynamics, Hamiltonian, Langevin, Mala, Return, Walk,
};
use gibbs::{Error, Gpu, Result};

/// A recording with the tensors it is given and those that are read afterwards.
struct Bench<'a> {
    gpu: &'a Gpu,
    recording: Recording,
    bindings: Bindings,
    outputs: Vec<Tensor>,
}

/// A compiled [`Bench`].
struct Compiled<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    outputs: Vec<Tensor>,
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu, label: &str) -> Self {
        Self { gpu, recording: Recording::new(label), bindings: Bindings::new(), outputs: Vec::new() }
    }

    fn tensor(&mut self, tensor: &Tensor) -> Value {
        self.bindings.insert(tensor.label(), tensor);
        self.recording.slot(tensor.label(), tensor.dtype(), tensor.shape().clone()).unwrap()
    }

    fn input(&mut self, label: &str, shape: impl Into<Shape>, values: &[f32]) -> Value {
        let tensor = Tensor::from_slice(self.gpu, label, shape, values).unwrap();
        self.tensor(&tensor)
    }

    fn bind(&mut self, bindings: &Bindings) {
        self.bindings = std::mem::take(&mut self.bindings).merge(bindings);
    }

    fn output(&mut self, value: Value) {
        let label = format!("output {}", self.outputs.len());
        self.recording.expose(value, &label).unwrap();
        let shape = self.recording.shape(value).unwrap().clone();
        let tensor = common::poisoned(self.gpu, &label, DType::F32, shape);
        self.bindings.insert(&label, &tensor);
        self.outputs.push(tensor);
    }

    fn compile(self) -> Compiled<'a> {
        let bindings = self.bindings.only(&self.recording);
        let plan = self.recording.compile(self.gpu, &bindings).unwrap();
        Compiled { gpu: self.gpu, plan, outputs: self.outputs }
    }

    fn run(self) -> Vec<Vec<f32>> {
        let compiled = self.compile();
        compiled.plan.run(1).unwrap();
        compiled.read()
    }
}

impl Compiled<'_> {
    /// All outputs, without padding.
    fn read(&self) -> Vec<Vec<f32>> {
        self.outputs
            .iter()
            .map(|tensor| {
                let flat: Vec<f32> = self.gpu.read(tensor).unwrap();
                let shape = tensor.shape();
                flat.chunks_exact(shape.stride()).flat_map(|row| &row[..shape.width()]).copied().collect()
            })
            .collect()
    }
}

/// Mean and standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

fn mean_f32(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

#[track_caller]
fn assert_near(what: &str, found: f64, expected: f64, bound: f64) {
    let difference = (found - expected).abs();
    assert!(difference <= bound, "{what}: {found}, expected {expected} +- {bound} (off by {difference:.3e})");
}

#[track_caller]
fn assert_all_near(what: &str, found: &[f32], expected: &[f32], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_near(&format!("{what}[{at}]"), f64::from(*f), f64::from(*e), bound);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The loss kernel
// ---------------------------------------------------------------------------------------------------------------------

/// Loss, seeds and effective sample sizes of given energies and log densities.
fn rank(
    gpu: &Gpu,
    objective: Objective,
    energy: &[f32],
    log_q: &[f32],
    candidates: usize,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let contexts = energy.len() / candidates;
    let mut bench = Bench::new(gpu, "rank");
    let energy = bench.input("energy", [contexts * candidates, 1], energy);
    let log_q = bench.input("log q", [contexts, candidates], log_q);
    let RankingLoss { loss, seed, ess } =
        ranking_nce::record(&mut bench.recording, objective, energy, log_q).unwrap();
    for value in [loss, seed, ess] {
        bench.output(value);
    }
    let [loss, seed, ess] = <[Vec<f32>; 3]>::try_from(bench.run()).unwrap();
    (loss, seed, ess)
}

#[test]
fn r1_one_row_has_the_hand_computed_loss_seed_and_sample_size() {
    let gpu = &common::lavapipe().gpu;
    let (energy, log_q) = ([0.2, 1.0, -0.5], [-1.0, -2.0, -0.5]);
    let (loss, seed, ess) = rank(gpu, Objective::Rnce, &energy, &log_q, 3);
    assert_near("loss", loss[0].into(), 1.236286696, 1e-6);
    for (found, expected) in seed.iter().zip([0.709539213, -0.354769606, -0.354769606]) {
        assert_near("seed", f64::from(*found), expected, 1e-6);
    }
    assert_eq!(seed.len(), 3);
    assert_near("effective sample size", ess[0].into(), 2.975389811, 3e-6);
    let (loss, ..) = rank(gpu, Objective::InfoNce, &energy, &log_q, 3);
    assert_near("loss without correction", loss[0].into(), 1.242158849, 1e-6);
}

#[test]
fn r8_a_shift_per_context_changes_no_bit_of_loss_and_seed() {
    let gpu = &common::lavapipe().gpu;
    // Multiples of 2^-10 below 2^12: every sum is exact, so that rounding cannot hide a dependence on the shift.
    let exact = |values: Vec<f32>, scale: f32| values.iter().map(|v| (v * scale).round() / 1024.0).collect();
    for (contexts, candidates) in [(1, 2), (7, 64), (65, 65), (3, 257)] {
        let count = contexts * candidates;
        let energy: Vec<f32> = exact(common::data(1, count), 6000.0);
        let log_q: Vec<f32> = exact(common::data(2, count), 6000.0);
        let (energy_shift, log_q_shift) = (common::data(3, contexts), common::data(4, contexts));
        let shifted = |values: &[f32], shift: &[f32]| -> Vec<f32> {
            values.iter().enumerate().map(|(at, v)| v + (shift[at / candidates] * 900.0).round()).collect()
        };
        let moved_energy = shifted(&energy, &energy_shift);
        let moved_log_q = shifted(&log_q, &log_q_shift);
        assert_ne!(energy, moved_energy);
        let plain = rank(gpu, Objective::Rnce, &energy, &log_q, candidates);
        assert_eq!(plain, rank(gpu, Objective::Rnce, &moved_energy, &log_q, candidates), "E + c(x)");
        assert_eq!(plain, rank(gpu, Objective::Rnce, &energy, &moved_log_q, candidates), "log q + c(x)");
        assert_eq!(plain, rank(gpu, Objective::Rnce, &moved_energy, &moved_log_q, candidates), "both");
        let plain = rank(gpu, Objective::InfoNce, &energy, &log_q, candidates);
        assert_eq!(plain, rank(gpu, Objective::InfoNce, &moved_energy, &log_q, candidates), "InfoNCE");
    }
}

#[test]
fn r9_seed_rows_sum_to_zero_and_the_order_of_negatives_does_not_matter() {
    let gpu = &common::lavapipe().gpu;
    for (contexts, candidates) in [(1, 2), (7, 64), (65, 65), (3, 257)] {
        let count = contexts * candidates;
        let energy = common::data(5, count);
        let log_q = common::data(6, count);
        let reordered = |values: &[f32]| -> Vec<f32> {
            let rows = values.chunks_exact(candidates);
            // The demonstration stays first; its place is the kernel's contract.
            rows.flat_map(|row| std::iter::once(&row[0]).chain(row[1..].iter().rev())).copied().collect()
        };
        for objective in [Objective::Rnce, Objective::InfoNce] {
            let (loss, seed, ess) = rank(gpu, objective, &energy, &log_q, candidates);
            for (context, row) in seed.chunks_exact(candidates).enumerate() {
                let sum: f64 = row.iter().map(|&s| f64::from(s)).sum();
                assert_near(&format!("sum of seed row {context}"), sum * contexts as f64, 0.0, 1e-6);
            }
            assert!(largest(&seed) * contexts as f64 > 1e-2, "no gradient to compare");
            let (energy, log_q) = (reordered(&energy), reordered(&log_q));
            let (other_loss, other_seed, other_ess) = rank(gpu, objective, &energy, &log_q, candidates);
            for at in 0..contexts {
                let bound = |value: f32| 1e-6 * f64::from(value).max(1.0);
                assert_near("loss", other_loss[at].into(), loss[at].into(), bound(loss[at]));
                assert_near("ess", other_ess[at].into(), ess[at].into(), 2.0 * bound(ess[at]));
            }
            assert_all_near("seed", &other_seed, &reordered(&seed), 1e-6 / contexts as f64);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The 1-D model
// ---------------------------------------------------------------------------------------------------------------------

const DRAW: &str = r"
struct Params { count: u32, candidates: u32, sigma: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> normals: array<f32>;
@group(0) @binding(2) var<storage, read_write> half_square: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_q: array<f32>;

@compute @workgroup_size(64)
fn draw(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count) {
        return;
    }
    let y = normals[at] * select(params.sigma, 1.0, at % params.candidates == 0u);
    // The constant of log q is left out: it cancels, and without it the logits at sigma = a = 1 are exactly 0.
    half_square[at] = 0.5 * y * y;
    log_q[at] = -(0.5 * y * y) / (params.sigma * params.sigma);
}
";

const QUADRATIC: &str = r"
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameter: array<f32>;
@group(0) @binding(2) var<storage, read> half_square: array<f32>;
@group(0) @binding(3) var<storage, read_write> energy: array<f32>;

@compute @workgroup_size(64)
fn quadratic(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at < params.count) {
        energy[at] = parameter[0] * half_square[at];
    }
}
";

/// Per context: the chain rule through the seeds, `dL_b/da = sum_k seed[b, k] dE/da * contexts`, and the curvature, the
/// variance of `dE/da` under the weights `w = [k = 0] - seed * contexts`.
const TERMS: &str = r"
struct Params { contexts: u32, candidates: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> seed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> half_square: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> curvature: array<f32>;

@compute @workgroup_size(64)
fn terms(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let context = id.y * groups.x * 64u + id.x;
    if (context >= params.contexts) {
        return;
    }
    let first = context * params.candidates;
    var slope = 0.0;
    for (var k = 0u; k < params.candidates; k++) {
        slope += seed[first + k].x * f32(params.contexts) * half_square[first + k];
    }
    let average = half_square[first] - slope;
    var spread = 0.0;
    for (var k = 0u; k < params.candidates; k++) {
        let w = select(0.0, 1.0, k == 0u) - seed[first + k].x * f32(params.contexts);
        let d = half_square[first + k] - average;
        spread += w * d * d;
    }
    gradient[context] = slope;
    curvature[context] = spread;
}
";

/// `a = a - sum gradient / sum curvature`, at most `limit` at a time.
const NEWTON: &str = r"
struct Params { contexts: u32, limit: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> curvature: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;

var<workgroup> sums: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn newton(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>(0.0);
    for (var at = lane; at < params.contexts; at += 256u) {
        sum += vec2<f32>(gradient[at], curvature[at]);
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width = width / 2u) {
        if (lane < width) {
            sums[lane] += sums[lane + width];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        parameter[0] -= clamp(sums[0].x / sums[0].y, -params.limit, params.limit);
    }
}
";

/// Draws and parameter of the 1-D model on the device, and a plan that draws afresh each time it runs.
struct OneDimension<'a> {
    gpu: &'a Gpu,
    contexts: usize,
    candidates: usize,
    objective: Objective,
    half_square: Tensor,
    log_q: Tensor,
    parameter: Tensor,
    draw: Plan,
}

impl<'a> OneDimension<'a> {
    fn new(gpu: &'a Gpu, objective: Objective, sigma: f32, negatives: usize, contexts: usize) -> Self {
        let candidates = negatives + 1;
        let count = contexts * candidates;
        let zeros = |label: &str, shape: Shape| Tensor::zeros(gpu, label, DType::F32, shape).unwrap();
        let half_square = zeros("half square", Shape::new([count, 1]));
        let log_q = zeros("log q", Shape::new([contexts, candidates]));
        let run = RunState::new(gpu, 20_230_905).unwrap();
        let mut bench = Bench::new(gpu, "one dimension/draw");
        bench.bind(&run.bindings());
        let squares = bench.tensor(&half_square);
        let densities = bench.tensor(&log_q);
        let recording = &mut bench.recording;
        let normals = recording.scratch("normals", DType::F32, [count]);
        let stream = recording.stream("theory/one dimension").unwrap();
        random::record(recording, Distribution::Normal, stream, 0, normals).unwrap();
        recording
            .dispatch(&KernelSource::new("theory/draw.wgsl", DRAW), "draw")
            .bind("normals", normals)
            .bind("half_square", squares)
            .bind("log_q", densities)
            .set("count", count as u32)
            .set("candidates", candidates as u32)
            .set("sigma", sigma)
            .invocations(count)
            .finish()
            .unwrap();
        RunState::record_advance(recording).unwrap();
        let draw = bench.compile().plan;
        let parameter = zeros("parameter", Shape::new([1]));
        Self { gpu, contexts, candidates, objective, half_square, log_q, parameter, draw }
    }

    /// Records energies, loss and the derivatives by `a`, per context.
    fn record_derivatives(&self, bench: &mut Bench<'_>) -> (Value, Value, Value) {
        let count = self.contexts * self.candidates;
        let parameter = bench.tensor(&self.parameter);
        let half_square = bench.tensor(&self.half_square);
        let log_q = bench.tensor(&self.log_q);
        let recording = &mut bench.recording;
        let energy = recording.scratch("energy", DType::F32, [count, 1]);
        recording
            .dispatch(&KernelSource::new("theory/quadratic.wgsl", QUADRATIC), "quadratic energy")
            .bind("parameter", parameter)
            .bind("half_square", half_square)
            .bind("energy", energy)
            .set("count", count as u32)
            .invocations(count)
            .finish()
            .unwrap();
        let ranking = ranking_nce::record(recording, self.objective, energy, log_q).unwrap();
        let gradient = recording.scratch("gradient", DType::F32, [self.contexts]);
        let curvature = recording.scratch("curvature", DType::F32, [self.contexts]);
        recording
            .dispatch(&KernelSource::new("theory/terms.wgsl", TERMS), "terms")
            .bind("seed", ranking.seed)
            .bind("half_square", half_square)
            .bind("gradient", gradient)
            .bind("curvature", curvature)
            .set("contexts", self.contexts as u32)
            .set("candidates", self.candidates as u32)
            .invocations(self.contexts)
            .finish()
            .unwrap();
        (ranking.loss, gradient, curvature)
    }

    /// The minimiser of the loss on one draw: Newton's method, one recording replayed.
    fn fit(&self, start: f32) -> f64 {
        let mut bench = Bench::new(self.gpu, "one dimension/newton");
        let (_, gradient, curvature) = self.record_derivatives(&mut bench);
        let parameter = bench.tensor(&self.parameter);
        bench
            .recording
            .dispatch(&KernelSource::new("theory/newton.wgsl", NEWTON), "newton")
            .bind("gradient", gradient)
            .bind("curvature", curvature)
            .bind("parameter", parameter)
            .set("contexts", self.contexts as u32)
            .set("limit", 0.3f32)
            .workgroups([1, 1, 1])
            .finish()
            .unwrap();
        let plan = bench.compile().plan;
        self.draw.run(1).unwrap();
        self.parameter.write(self.gpu, &[start]).unwrap();
        let read = || -> f32 { self.gpu.read::<f32>(&self.parameter).unwrap()[0] };
        plan.run(3).unwrap();
        let before = read();
        plan.run(1).unwrap();
        let after = read();
        // Convergence is quadratic: what is left is about the square of the last move.
        assert!((after - before).abs() < 5e-3, "Newton's method did not converge: {before} to {after}");
        f64::from(after)
    }

    /// Losses, gradients and curvatures per context at one `a`, from `rounds` independent draws.
    fn evaluate(&self, a: f32, rounds: usize) -> [Vec<f64>; 3] {
        let mut all = [const { Vec::new() }; 3];
        self.for_each_draw(a, rounds, |read| {
            for (all, read) in all.iter_mut().zip(read) {
                all.extend(read.iter().map(|&v| f64::from(v)));
            }
        });
        all
    }

    /// Calls a function with losses, gradients and curvatures of each of `rounds` draws, while the draw lies in its tensors.
    fn for_each_draw(&self, a: f32, rounds: usize, mut each: impl FnMut(&[Vec<f32>])) {
        let mut bench = Bench::new(self.gpu, "one dimension/evaluate");
        let (loss, gradient, curvature) = self.record_derivatives(&mut bench);
        for value in [loss, gradient, curvature] {
            bench.output(value);
        }
        let compiled = bench.compile();
        self.parameter.write(self.gpu, &[a]).unwrap();
        for _ in 0..rounds {
            self.draw.run(1).unwrap();
            compiled.plan.run(1).unwrap();
            each(&compiled.read());
        }
    }
}

/// Rows that keep the standard error of the fitted `a`, `1 / sqrt(rows * information)`, below a third of the tolerances.
const ROWS: usize = 200_000;

fn fits(objective: Objective, cases: &[(f32, usize)], optimum: impl Fn(f64) -> f64, bound: f64) {
    let gpu = &common::lavapipe().gpu;
    for &(sigma, negatives) in cases {
        let expected = optimum(sigma.into());
        let start = expected as f32 - 0.3;
        // The seeds of all candidates are one binding, at most 128 MiB on some adapters.
        let rows = ROWS.min(8_000_000 / (negatives + 1));
        let found = OneDimension::new(gpu, objective, sigma, negatives, rows).fit(start);
        eprintln!("{objective:?} sigma {sigma} K {negatives}: a = {found:.5}, expected {expected:.5}");
        assert_near(&format!("a at sigma {sigma}, K {negatives}"), found, expected, bound);
    }
}

fn ratio_of_variances(sigma: f64) -> f64 {
    1.0 - 1.0 / (sigma * sigma)
}

#[test]
fn r2_ranking_nce_finds_the_data_density_for_every_proposal() {
    fits(Objective::Rnce, &[(0.8, 8), (2.0, 8)], |_| 1.0, 0.01);
}

#[test]
fn r3_infonce_finds_the_ratio_of_data_and_proposal() {
    fits(Objective::InfoNce, &[(0.8, 8), (1.5, 1)], ratio_of_variances, 0.015);
}

/// The first half of R15, that neither step moves the other's parameters, is in `training.rs`.
#[test]
fn r15_a_frozen_and_a_moving_proposal_lead_to_the_same_energy() {
    let gpu = &common::lavapipe().gpu;
    let rows = 100_000;
    let fit = |sigma, start| OneDimension::new(gpu, Objective::Rnce, sigma, 8, rows).fit(start) as f32;
    let frozen = fit(2.0, 0.7);
    // The proposal moves towards the data while the energy is fitted, from fresh draws each time.
    let moving = [2.0, 1.6, 1.3, 1.1].into_iter().fold(0.7, |a, sigma| fit(sigma, a));
    eprintln!("frozen {frozen:.5}, moving {moving:.5}");
    assert_near("a with a moving proposal", moving.into(), frozen.into(), 0.02);
    assert_near("a with a moving proposal", moving.into(), 1.0, 0.02);
}

#[test]
#[ignore = "long: all proposals and numbers of negatives of R2 and R3"]
fn r2_r3_all_combinations() {
    let negatives = [1, 8, 64];
    let cases: Vec<(f32, usize)> =
        [0.8, 1.0, 1.5, 2.0].iter().flat_map(|&sigma| negatives.map(|k| (sigma, k))).collect();
    fits(Objective::Rnce, &cases, |_| 1.0, 0.01);
    fits(Objective::InfoNce, &cases, ratio_of_variances, 0.015);
}

/// 2e-3, or three standard errors where those are more; never more than 5e-3.
fn monte_carlo_bound(error: f64) -> f64 {
    assert!(3.0 * error < 5e-3, "a standard error of {error} needs more draws");
    (3.0 * error).max(2e-3)
}

/// Draws per round of R4 and R6.
const ROUND: usize = 65_536;

fn losses(cases: &[(f32, usize, f64)], rounds: usize) {
    let gpu = &common::lavapipe().gpu;
    for &(sigma, negatives, expected) in cases {
        let model = OneDimension::new(gpu, Objective::Rnce, sigma, negatives, ROUND);
        let (found, error) = mean(&model.evaluate(1.0, rounds)[0]);
        eprintln!("sigma {sigma} K {negatives}: loss {found:.5} +- {error:.5}, expected {expected}");
        let bound = monte_carlo_bound(error);
        assert_near(&format!("loss at sigma {sigma}, K {negatives}"), found, expected, bound);
    }
}

#[test]
fn r4_a_proposal_that_equals_the_data_gives_the_log_of_the_number_of_candidates() {
    let gpu = &common::lavapipe().gpu;
    for negatives in [1, 8, 64] {
        let model = OneDimension::new(gpu, Objective::Rnce, 1.0, negatives, 4000);
        let expected = ((negatives + 1) as f64).ln();
        for loss in &model.evaluate(1.0, 1)[0] {
            let loss = *loss;
            assert_near("every loss at sigma 1", loss, expected, 1e-6);
        }
    }
}

#[test]
fn r4_losses_at_the_optimum_of_the_one_dimensional_model() {
    losses(&[(1.5, 1, 0.6226), (1.5, 64, 4.0479), (2.0, 8, 1.908)], 4);
}

#[test]
#[ignore = "long: the whole table of R4 with more draws"]
fn r4_all_losses() {
    let of_1_5 = [(1.5, 1, 0.6226), (1.5, 8, 2.0817), (1.5, 64, 4.0479)];
    let of_2 = [(2.0, 1, 0.5225), (2.0, 8, 1.908), (2.0, 64, 3.860)];
    losses(&of_1_5, 16);
    losses(&of_2, 16);
}

/// `J_K = E[Var_w(-y^2 / 2)]` at `a = 1`, and by the information equality the variance of the gradient there.
fn information(cases: &[(f32, usize, f64)], rounds: usize) {
    let gpu = &common::lavapipe().gpu;
    for &(sigma, negatives, expected) in cases {
        // As many candidates a round as one binding of the smallest adapter holds.
        let contexts = ROUND.min(8_000_000 / (negatives + 1));
        let model = OneDimension::new(gpu, Objective::Rnce, sigma, negatives, contexts);
        let [_, gradients, curvatures] = model.evaluate(1.0, rounds);
        let (found, error) = mean(&curvatures);
        eprintln!("sigma {sigma} K {negatives}: information {found:.5} +- {error:.5}, expected {expected}");
        let what = format!("information at sigma {sigma}, K {negatives}");
        assert_near(&what, found, expected, monte_carlo_bound(error));
        let squares: Vec<f64> = gradients.iter().map(|g| g * g).collect();
        let (variance, error) = mean(&squares);
        assert_near(&format!("{what}, as a variance"), variance, expected, 4.0 * error + 5e-4);
    }
}

#[test]
fn r5_information_grows_with_the_number_of_negatives() {
    information(&[(1.0, 1, 0.25), (1.0, 8, 0.4444), (1.2, 1, 0.303), (1.5, 1, 0.299), (1.5, 8, 0.466)], 4);
}

#[test]
#[ignore = "long: the whole table of R5 with more draws"]
fn r5_all_information() {
    information(&[(1.0, 1, 0.25), (1.0, 3, 0.375), (1.0, 8, 0.4444), (1.0, 64, 0.4923), (1.2, 1, 0.303)], 16);
    let of_1_5 = [(1.5, 1, 0.299), (1.5, 3, 0.416), (1.5, 8, 0.466), (1.5, 64, 0.4956)];
    information(&of_1_5, 16);
    // Fewer contexts fit a round beside as many candidates.
    information(&[(1.5, 512, 0.499)], 64);
}

/// `log mean exp(-E - log q)` over the negatives, from the losses: `sum_k>0 exp l_k = exp(l_0) (exp(loss) - 1)`.
#[test]
fn r10_the_losses_give_the_log_of_the_partition_function() {
    let gpu = &common::lavapipe().gpu;
    let (sigma, negatives) = (1.5f64, 64);
    let model = OneDimension::new(gpu, Objective::Rnce, sigma as f32, negatives, ROUND / 8);
    let constant = (sigma * (2.0 * std::f64::consts::PI).sqrt()).ln();
    for (a, expected) in [(1.0f64, 0.918_939), (2.0, 0.572_365), (0.7, 1.097_276)] {
        let (mut sum, mut count) = (0.0, 0usize);
        model.for_each_draw(a as f32, 1, |read| {
            let half_square: Vec<f32> = gpu.read(&model.half_square).unwrap();
            let log_q: Vec<f32> = gpu.read(&model.log_q).unwrap();
            for (context, &loss) in read[0].iter().enumerate() {
                let at = context * (negatives + 1);
                // The draws leave the proposal's constant out.
                let logit = -a * f64::from(half_square[at]) - f64::from(log_q[at]) + constant;
                sum += logit.exp() * f64::from(loss).exp_m1();
                count += negatives;
            }
        });
        let found = (sum / count as f64).ln();
        eprintln!("a {a}: log Z = {found:.6}, expected {expected}");
        assert_near(&format!("log Z at a = {a}"), found, expected, 3.0 / (count as f64).sqrt());
    }
}

fn gradients(cases: &[(f32, usize, f64)], rounds: usize) {
    let gpu = &common::lavapipe().gpu;
    for &(a, negatives, expected) in cases {
        let model = OneDimension::new(gpu, Objective::Rnce, 1.5, negatives, ROUND);
        let (found, error) = mean(&model.evaluate(a, rounds)[1]);
        eprintln!("a {a} K {negatives}: gradient {found:.5} +- {error:.5}, expected {expected}");
        let bound = monte_carlo_bound(error);
        assert_near(&format!("gradient at a = {a}, K {negatives}"), found, expected, bound);
    }
}

#[test]
fn r6_gradient_goes_to_that_of_maximum_likelihood_with_more_negatives() {
    gradients(&[(0.5, 1, -0.2653), (0.5, 16, -0.4740), (2.0, 1, 0.1458), (2.0, 16, 0.2436)], 4);
}

#[test]
#[ignore = "long: the whole table of R6 with more draws"]
fn r6_all_gradients() {
    // Enough for 2e-3 to be four standard errors.
    let rounds = 40;
    gradients(&[(0.5, 1, -0.2653), (0.5, 4, -0.4095), (0.5, 16, -0.4740), (0.5, 64, -0.4931)], rounds);
    gradients(&[(2.0, 1, 0.1458), (2.0, 4, 0.2228), (2.0, 16, 0.2436), (2.0, 64, 0.2484)], rounds);
}

// ---------------------------------------------------------------------------------------------------------------------
// Networks
// ---------------------------------------------------------------------------------------------------------------------

const CONTEXTS: usize = 33;
const CONTEXT_WIDTH: usize = 3;
const DIMS: usize = 2;

fn action_units() -> Affine {
    Affine { shift: vec![0.25, -0.5], scale: vec![1.5, 0.75] }
}

fn fresh_energy(gpu: &Gpu) -> NetworkEnergy {
    let inputs = vec![Input::new(CONTEXT, CONTEXT_WIDTH), Input::normalised(ACTION, action_units())];
    let network = Network::mlp(inputs, &[24, 20], Activation::Silu, 1);
    NetworkEnergy::new(Model::new(gpu, "energy", network, &RunState::new(gpu, 5).unwrap()).unwrap()).unwrap()
}

fn fresh_mixture(gpu: &Gpu, components: usize) -> Mixture {
    let shape = MixtureShape::new(components, action_units());
    let context = Affine::identity(CONTEXT_WIDTH);
    Mixture::fresh(gpu, "proposal", context, &[18], shape, &RunState::new(gpu, 6).unwrap()).unwrap()
}

fn unit_box() -> UniformBox {
    UniformBox::new(&[-2.0, -1.5], &[2.0, 1.0]).unwrap()
}

/// Records a whole contrastive gradient on fixed data; outputs loss, gradient and effective sample size.
fn record_ranking<'a>(
    gpu: &'a Gpu,
    objective: Objective,
    energy: &NetworkEnergy,
    proposal: &dyn Proposal,
    negatives: usize,
) -> (Bench<'a>, gibbs::energy::ContrastiveStep) {
    let mut bench = Bench::new(gpu, "contrastive");
    bench.bind(&energy.bindings().merge(&proposal.bindings()));
    bench.bind(&RunState::new(gpu, 7).unwrap().bindings());
    let context =
        bench.input("context", [CONTEXTS, CONTEXT_WIDTH], &common::data(8, CONTEXTS * CONTEXT_WIDTH));
    let candidates = 1 + negatives;
    let y = common::data(9, CONTEXTS * candidates * DIMS);
    let y = bench.input("candidates", [CONTEXTS, candidates, DIMS], &y);
    let recording = &mut bench.recording;
    let step = record_contrastive(recording, objective, energy, proposal, (context, y), "negatives").unwrap();
    (bench, step)
}

/// Loss per context, flat gradient, effective sample sizes.
fn contrastive(
    gpu: &Gpu,
    objective: Objective,
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

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, &v| most.max(f64::from(v).abs()))
}

#[test]
fn r7_with_a_uniform_proposal_both_objectives_are_the_same() {
    let gpu = &common::lavapipe().gpu;
    let (energy, bounds) = (fresh_energy(gpu), unit_box());
    let [loss, gradient, ess] = contrastive(gpu, Objective::Rnce, &energy, &bounds, 31);
    let [other_loss, other_gradient, other_ess] = contrastive(gpu, Objective::InfoNce, &energy, &bounds, 31);
    assert_all_near("loss", &other_loss, &loss, 2e-6);
    assert_all_near("gradient", &other_gradient, &gradient, 2e-6 * largest(&gradient));
    assert_all_near("ess", &other_ess, &ess, 2e-5);
    assert!(largest(&gradient) > 1e-3, "no gradient to compare");
    // With another proposal they differ, so the comparison can fail.
    let mixture = fresh_mixture(gpu, 3);
    let [loss, ..] = contrastive(gpu, Objective::Rnce, &energy, &mixture, 31);
    let [other_loss, ..] = contrastive(gpu, Objective::InfoNce, &energy, &mixture, 31);
    assert!((mean_f32(&loss) - mean_f32(&other_loss)).abs() > 1e-2);
}

#[test]
fn r8_a_shift_of_a_networks_energy_changes_neither_loss_nor_gradient() {
    let gpu = &common::lavapipe().gpu;
    let (energy, mixture) = (fresh_energy(gpu), fresh_mixture(gpu, 4));
    let [loss, gradient, _] = contrastive(gpu, Objective::Rnce, &energy, &mixture, 31);
    let model = energy.model();
    let bias = model.layout().slice("layers.2.bias").unwrap().offset;
    // Seeds sum to zero, so the bias that shifts all energies has no gradient.
    assert_near("gradient of the last bias", gradient[bias].into(), 0.0, 1e-6);
    let mut parameters: Vec<f32> = gpu.read(model.parameters()).unwrap();
    parameters[bias] += 8.0;
    model.parameters().write(gpu, &parameters).unwrap();
    let [other_loss, other_gradient, _] = contrastive(gpu, Objective::Rnce, &energy, &mixture, 31);
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

/// The energy of a standard Gaussian in normalised units, without its constant.
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
    // All parameters zero: mean 0 and deviation 1 in normalised units.
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
            let ranking = ranking_nce::record(recording, Objective::Rnce, energy, log_q).unwrap();
            for value in [ranking.ess, ranking.seed, ranking.loss] {
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

/// A Gaussian that does not depend on its context, with one standard deviation in normalised units.
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
    let ranking = ranking_nce::record(recording, Objective::Rnce, energy, log_q).unwrap();
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

// ---------------------------------------------------------------------------------------------------------------------
// Gradient descent
// ---------------------------------------------------------------------------------------------------------------------

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

/// Replays a recording of loss, gradient and one descent step twice on the same draws. The loss must fall, and by about
/// `rate * |gradient|^2`, which no other direction of that length reaches.
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

fn ranking_descends(objective: Objective) {
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
    ranking_descends(Objective::Rnce);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_infonce_loss() {
    ranking_descends(Objective::InfoNce);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_mixture_likelihood_loss() {
    likelihood_descends(8);
}

#[test]
fn one_step_of_gradient_descent_lowers_the_gaussian_likelihood_loss() {
    likelihood_descends(1);
}

// ---------------------------------------------------------------------------------------------------------------------
// Langevin dynamics
// ---------------------------------------------------------------------------------------------------------------------

const BOWL_VALUE: &str = r"
struct Params { rows: u32, dims: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> energy: array<f32>;

@compute @workgroup_size(64)
fn bowl_value(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        sum += y[row * params.dims + j] * y[row * params.dims + j];
    }
    energy[row] = 0.5 * sum;
}
";

const BOWL_GRADIENT: &str = r"
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn bowl_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at < params.count) {
        gradient[at] = y[at];
    }
}
";

/// `E(y) = |y|^2 / 2` by kernels of this test's own.
struct Bowl {
    dims: usize,
}

impl Energy for Bowl {
    fn dims(&self) -> usize {
        self.dims
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        if context.is_some() {
            let problem = "was given to an unconditional energy".into();
            return Err(Error::Argument { operation: "bowl".into(), argument: "context".into(), problem });
        }
        let rows = recording.shape(y)?.rows();
        let energy = recording.scratch("bowl energy", DType::F32, [rows, 1]);
        recording
            .dispatch(&KernelSource::new("theory/bowl_value.wgsl", BOWL_VALUE), "bowl")
            .bind("y", y)
            .bind("energy", energy)
            .set("rows", rows as u32)
            .set("dims", self.dims as u32)
            .invocations(rows)
            .finish()?;
        Ok(energy)
    }

    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, y: Value) -> Result<Value> {
        let shape = recording.shape(y)?.clone();
        let gradient = recording.scratch("bowl gradient", DType::F32, shape.clone());
        recording
            .dispatch(&KernelSource::new("theory/bowl_gradient.wgsl", BOWL_GRADIENT), "bowl gradient")
            .bind("y", y)
            .bind("gradient", gradient)
            .set("count", shape.len() as u32)
            .invocations(shape.len())
            .finish()?;
        Ok(gradient)
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// The variance of all coordinates after `steps` steps from exact N(0, 1), and their mean energy per coordinate.
fn langevin_variance(gpu: &Gpu, eta: f64, steps: usize, chains: usize) -> (f64, f64, usize) {
    // Four dimensions share one block of random words.
    let bowl = Bowl { dims: 4 };
    let mut bench = Bench::new(gpu, "langevin");
    bench.bind(&RunState::new(gpu, 31).unwrap().bindings());
    let recording = &mut bench.recording;
    let y = recording.scratch("y", DType::F32, [1, chains, 4]);
    let stream = recording.stream("theory/start").unwrap();
    random::record(recording, Distribution::Normal, stream, 0, y).unwrap();
    let langevin = Langevin { steps, sizes: Anneal::Constant { value: eta }, ..Langevin::default() };
    langevin.record(recording, &bowl, None, y, "theory/langevin").unwrap();
    let energy = bowl.record_value(recording, None, y).unwrap();
    bench.output(y);
    bench.output(energy);
    let read = bench.run();
    let count = read[0].len() as f64;
    let (first, second) =
        read[0].iter().map(|&v| f64::from(v)).fold((0.0, 0.0), |s, v| (s.0 + v, s.1 + v * v));
    let variance = second / count - (first / count).powi(2);
    let bound = 3.0 * (variance / count).sqrt();
    assert_near(&format!("mean at eta {eta}"), first / count, 0.0, bound);
    (variance, 2.0 * mean_f32(&read[1]) / 4.0, read[0].len())
}

#[test]
fn r14_unadjusted_langevin_has_the_stationary_variance_of_its_step_size() {
    let gpu = &common::lavapipe().gpu;
    // Steps after which what is left of the start, (v - 1) (1 - eta)^(2 steps), is below 1e-4.
    for (eta, steps, expected) in [(0.5, 12, 1.33333), (0.1, 40, 1.05263), (0.01, 200, 1.00503)] {
        let (variance, twice_energy, count) = langevin_variance(gpu, eta, steps, 1 << 18);
        let error = expected * (2.0 / count as f64).sqrt();
        eprintln!("eta {eta}: variance {variance:.5} +- {error:.5}, expected {expected}");
        assert_near(&format!("variance at eta {eta}"), variance, expected, 3.0 * error);
        assert_near(&format!("mean energy at eta {eta}"), twice_energy, expected, 3.0 * error);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Dynamics that accept or reject
// ---------------------------------------------------------------------------------------------------------------------

/// `E(y) = -ln(0.3 N(y; -1.5, 0.7^2) + 0.7 N(y; 1, 0.5^2))` up to a constant, in one dimension.
struct Wells;

const WELLS: &str = r"
struct Params { rows: u32, slope: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn wells(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let r = vec2<f32>((y[row] + 1.5) / 0.7, (y[row] - 1.0) / 0.5);
    let heights = vec2<f32>(log(0.3 / 0.7), log(0.7 / 0.5)) - 0.5 * r * r;
    let highest = max(heights.x, heights.y);
    let parts = exp(max(heights - highest, vec2<f32>(-87.0)));
    let sum = parts.x + parts.y;
    let slope = dot(parts, r / vec2<f32>(0.7, 0.5)) / sum;
    out[row] = select(-(highest + log(sum)), slope, params.slope == 1u);
}
";

impl Wells {
    fn record(&self, recording: &mut Recording, y: Value, slope: u32) -> Result<Value> {
        let shape = recording.shape(y)?.clone();
        let out = recording.scratch("wells", DType::F32, shape.clone());
        recording
            .dispatch(&KernelSource::new("theory/wells.wgsl", WELLS), "wells")
            .bind("y", y)
            .bind("out", out)
            .set("rows", shape.rows() as u32)
            .set("slope", slope)
            .invocations(shape.rows())
            .finish()?;
        Ok(out)
    }
}

impl Energy for Wells {
    fn dims(&self) -> usize {
        1
    }

    fn record_value(&self, recording: &mut Recording, _: Option<Value>, y: Value) -> Result<Value> {
        self.record(recording, y, 0)
    }

    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, y: Value) -> Result<Value> {
        self.record(recording, y, 1)
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// Where chains start: exact N(0, 1), or uniform in a box.
enum Starts<'a> {
    Normal,
    Uniform(&'a UniformBox),
}

/// Where the chains end, their mean acceptance and the learned factor on step sizes.
struct Ended {
    y: Vec<f64>,
    acceptance: f64,
    factor: f64,
}

fn walk(
    gpu: &Gpu,
    energy: &dyn Energy,
    dynamics: impl Into<Dynamics>,
    starts: Starts<'_>,
    chains: usize,
) -> Ended {
    let dynamics = dynamics.into();
    let mut bench = Bench::new(gpu, "chains");
    bench.bind(&RunState::new(gpu, 53).unwrap().bindings());
    let recording = &mut bench.recording;
    let y = recording.scratch("y", DType::F32, [1, chains, energy.dims()]);
    match starts {
        Starts::Normal => {
            let stream = recording.stream("theory/start").unwrap();
            random::record(recording, Distribution::Normal, stream, 0, y).unwrap();
        }
        Starts::Uniform(bounds) => {
            let none = recording.scratch("none", DType::F32, [1, 0]);
            let prepared = bounds.record_prepare(recording, none).unwrap();
            let draws = Draws { candidates: y, first: 0, count: chains, stream: "theory/start", inner: 0 };
            bounds.record_sample(recording, &prepared, &draws).unwrap();
        }
    }
    let walk = Walk { energy, context: None, y, stream: "theory/chain", trace: None };
    let walked = dynamics.record(recording, &walk).unwrap();
    bench.output(y);
    bench.output(walked.accepted.unwrap());
    bench.output(walked.tuner.unwrap());
    let read = bench.run();
    Ended {
        y: read[0].iter().map(|&v| v.into()).collect(),
        acceptance: mean_f32(&read[1]) / dynamics.steps() as f64,
        factor: read[2][0].into(),
    }
}

/// Mean and variance within three standard errors of independent draws, with the fourth central moment given.
#[track_caller]
fn assert_moments(what: &str, y: &[f64], expected: (f64, f64), fourth: f64) {
    let count = y.len() as f64;
    let (found, _) = mean(y);
    let variance = y.iter().map(|v| (v - found).powi(2)).sum::<f64>() / count;
    let error = ((fourth - expected.1 * expected.1) / count).sqrt();
    eprintln!("{what}: mean {found:.5}, variance {variance:.5} +- {error:.5}, expected {expected:?}");
    assert_near(&format!("mean, {what}"), found, expected.0, 3.0 * (expected.1 / count).sqrt());
    assert_near(&format!("variance, {what}"), variance, expected.1, 3.0 * error);
}

fn constant(value: f64) -> Anneal {
    Anneal::Constant { value }
}

fn adjusted(eta: f64, steps: usize) -> Mala {
    Mala { steps, sizes: constant(eta), warm_up: 0, ..Mala::default() }
}

#[test]
fn r21_adjusted_langevin_keeps_the_variance_and_accepts_as_often_as_it_should() {
    let gpu = &common::lavapipe().gpu;
    for (eta, expected) in [(0.1, 0.9929), (0.5, 0.9209), (1.0, 0.7841)] {
        let ended = walk(gpu, &Bowl { dims: 1 }, adjusted(eta, 10), Starts::Normal, 1 << 17);
        eprintln!("eta {eta}: acceptance {:.5}, expected {expected}", ended.acceptance);
        assert_near(&format!("acceptance at eta {eta}"), ended.acceptance, expected, 0.005);
        assert_moments(&format!("eta {eta}"), &ended.y, (0.0, 1.0), 3.0);
    }
}

#[test]
fn r22_hamiltonian_trajectories_keep_the_variance_and_are_accepted_as_often_as_they_should() {
    let gpu = &common::lavapipe().gpu;
    for (eps, leapfrogs, expected) in [(0.5, 5, 0.9882), (1.0, 5, 0.9208), (1.5, 3, 0.7605)] {
        let dynamics =
            Hamiltonian { steps: 6, leapfrogs, sizes: constant(eps), warm_up: 0, ..Hamiltonian::default() };
        let ended = walk(gpu, &Bowl { dims: 1 }, dynamics, Starts::Normal, 1 << 16);
        eprintln!("eps {eps}, {leapfrogs} steps: acceptance {:.5}, expected {expected}", ended.acceptance);
        assert_near(&format!("acceptance at eps {eps}"), ended.acceptance, expected, 0.005);
        assert_moments(&format!("eps {eps}, {leapfrogs} steps"), &ended.y, (0.0, 1.0), 3.0);
    }
}

/// Mean, variance and fourth central moment of `exp(-energy)` on an interval, by the midpoint rule.
fn interval_moments(low: f64, high: f64, energy: impl Fn(f64) -> f64) -> (f64, f64, f64) {
    let cells = 20_000;
    let node = |i: usize| low + (high - low) * (i as f64 + 0.5) / cells as f64;
    let sum =
        |of: &dyn Fn(f64) -> f64| (0..cells).map(|i| of(node(i)) * (-energy(node(i))).exp()).sum::<f64>();
    let total = sum(&|_| 1.0);
    let mean = sum(&|y| y) / total;
    (mean, sum(&|y| (y - mean).powi(2)) / total, sum(&|y| (y - mean).powi(4)) / total)
}

#[test]
fn in_a_box_the_adjusted_dynamics_sample_the_truncated_density() {
    let gpu = &common::lavapipe().gpu;
    let bounds = UniformBox::new(&[-0.5], &[1.5]).unwrap();
    let (mean, variance, fourth) = interval_moments(-0.5, 1.5, |y| 0.5 * y * y);
    let langevin = Mala { bounds: Some(bounds.clone()), ..adjusted(0.2, 60) };
    let hamiltonian = Hamiltonian {
        steps: 40,
        leapfrogs: 3,
        sizes: constant(0.4),
        warm_up: 0,
        bounds: Some(bounds.clone()),
        ..Hamiltonian::default()
    };
    for (what, dynamics) in
        [("adjusted Langevin", Dynamics::from(langevin)), ("Hamiltonian", hamiltonian.into())]
    {
        let ended = walk(gpu, &Bowl { dims: 1 }, dynamics, Starts::Uniform(&bounds), 1 << 15);
        assert!(ended.y.iter().all(|y| (-0.5..=1.5).contains(y)), "{what}");
        assert!((0.3..0.95).contains(&ended.acceptance), "{what}: {}", ended.acceptance);
        assert_moments(what, &ended.y, (mean, variance), fourth);
    }
}

#[test]
fn temperatures_widen_the_density_that_is_sampled() {
    let gpu = &common::lavapipe().gpu;
    // The last steps count: what came before at another temperature is forgotten.
    let temperatures = Anneal::Polynomial { first: 6.0, last: 2.0, power: 30.0 };
    let langevin = Mala { temperatures, ..adjusted(0.8, 60) };
    let hamiltonian = Hamiltonian {
        steps: 40,
        leapfrogs: 3,
        sizes: constant(0.5),
        temperatures,
        warm_up: 0,
        ..Hamiltonian::default()
    };
    for (what, dynamics) in
        [("adjusted Langevin", Dynamics::from(langevin)), ("Hamiltonian", hamiltonian.into())]
    {
        let ended = walk(gpu, &Bowl { dims: 1 }, dynamics, Starts::Normal, 1 << 16);
        assert_moments(&format!("{what} at temperature 2"), &ended.y, (0.0, 2.0), 12.0);
    }
}

#[test]
fn modes_have_their_weights() {
    let gpu = &common::lavapipe().gpu;
    let hamiltonian =
        Hamiltonian { steps: 60, leapfrogs: 4, sizes: constant(0.4), warm_up: 0, ..Hamiltonian::default() };
    for (what, dynamics) in
        [("adjusted Langevin", adjusted(0.4, 300).into()), ("Hamiltonian", Dynamics::from(hamiltonian))]
    {
        let ended = walk(gpu, &Wells, dynamics, Starts::Normal, 1 << 14);
        let (expected, variance) = (0.3 * -1.5 + 0.7, 0.3 * (0.49 + 2.25) + 0.7 * (0.25 + 1.0) - 0.25 * 0.25);
        let (found, error) = mean(&ended.y);
        eprintln!(
            "{what}: mean {found:.4} +- {error:.4}, expected {expected}; accepted {:.3}",
            ended.acceptance
        );
        assert_near(
            &format!("mean, {what}"),
            found,
            expected,
            3.5 * (variance / ended.y.len() as f64).sqrt(),
        );
        // The left mode's share: 0.3 Phi((-0.4 + 1.5) / 0.7) + 0.7 Phi((-0.4 - 1) / 0.5).
        let left = ended.y.iter().filter(|&&y| y < -0.4).count() as f64 / ended.y.len() as f64;
        let share = 0.3 * 0.941_981 + 0.7 * 0.002_555;
        assert_near(
            &format!("left mode, {what}"),
            left,
            share,
            3.5 * (0.3 * 0.7 / ended.y.len() as f64).sqrt(),
        );
    }
}

#[test]
fn the_warm_up_finds_the_step_size_of_its_target() {
    let gpu = &common::lavapipe().gpu;
    // Within what the averaged logarithm still remembers of its first steps, taken far away.
    let bowl = Bowl { dims: 16 };
    for (first, target) in [(1e-4, 0.574), (30.0, 0.574), (0.5, 0.9)] {
        let dynamics = Mala { warm_up: 200, target, ..adjusted(first, 30) };
        let ended = walk(gpu, &bowl, dynamics, Starts::Normal, 2048);
        eprintln!(
            "from {first}: {:.4}, acceptance {:.4} for {target}",
            first * ended.factor,
            ended.acceptance
        );
        assert_near(&format!("acceptance from {first}"), ended.acceptance, target, 0.03);
    }
    // Two leapfrog steps in many dimensions: a longer trajectory in a round bowl ends at its mirror image for some step
    // size, where acceptance rises again.
    let bowl = Bowl { dims: 64 };
    for (first, target) in [(1e-2, 0.8), (3.0, 0.65)] {
        let sizes = constant(first);
        let dynamics =
            Hamiltonian { steps: 20, leapfrogs: 2, sizes, warm_up: 200, target, ..Hamiltonian::default() };
        let ended = walk(gpu, &bowl, dynamics, Starts::Normal, 512);
        eprintln!(
            "from {first}: {:.4}, acceptance {:.4} for {target}",
            first * ended.factor,
            ended.acceptance
        );
        assert_near(&format!("acceptance from {first}"), ended.acceptance, target, 0.03);
    }
}

#[test]
fn derivative_free_optimisation_finds_the_minimum() {
    let gpu = &common::lavapipe().gpu;
    // Off the centre of the box; the lowest of 16384 uniform samples is typically 0.01 away, four rounds come closer.
    let bounds = UniformBox::new(&[-3.0, -1.0], &[1.0, 2.0]).unwrap();
    let best = |iterations: usize, temperature: f32| {
        let mut dfo = Dfo::new(bounds.clone());
        dfo.iterations = iterations;
        let options = ChainOptions {
            contexts: 5,
            chains: 16384,
            dynamics: dfo.into(),
            returns: Return::Lowest,
            seed: 3,
            ..ChainOptions::default()
        };
        let mut sampler = ChainSampler::new(gpu, &Bowl { dims: 2 }, &bounds, &options).unwrap();
        sampler.tune(1.0, temperature).unwrap();
        let found = sampler.sample(&[]).unwrap();
        assert_eq!(found.len(), 10);
        found.chunks_exact(2).map(|y| f64::from(y[0]).hypot(f64::from(y[1]))).sum::<f64>() / 5.0
    };
    let (one, many) = (best(1, 0.01), best(8, 0.01));
    eprintln!("mean distance after one round {one:.5}, after eight {many:.5}");
    assert!(one < 0.03 && many < 0.006 && many < one, "{one}, {many}");
}
