//! The 1-D model: data N(0, 1), energy `E_a(y) = a y^2 / 2`, proposal N(0, sigma^2).

use gibbs::Gpu;
use gibbs::gpu::run::random;
use gibbs::gpu::run::random::Distribution;
use gibbs::gpu::{DType, KernelSource, Plan, RunState, Shape, Tensor, Value};
use gibbs::loss::{RankingObjective, ranking_nce};

use super::bench::{Bench, assert_near, mean};
use crate::common;

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
    // The constant of log q is left out: it cancels, and without it the logits at sigma = a = 1 are
    // exactly 0.
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

/// Per context: the chain rule through the seeds, `dL_b/da = sum_k seed[b, k] dE/da * contexts`,
/// and the curvature, the variance of `dE/da` under the weights `w = [k = 0] - seed * contexts`.
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

/// Draws and parameter of the 1-D model on the device, and a plan that draws afresh each time it
/// runs.
struct OneDimension<'a> {
    gpu: &'a Gpu,
    contexts: usize,
    candidates: usize,
    objective: RankingObjective,
    half_square: Tensor,
    log_q: Tensor,
    parameter: Tensor,
    draw: Plan,
}

impl<'a> OneDimension<'a> {
    fn new(gpu: &'a Gpu, objective: RankingObjective, sigma: f32, negatives: usize, contexts: usize) -> Self {
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
            .bind("seed", ranking.output_gradient)
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

    /// The minimizer of the loss on one draw: Newton's method, one recording replayed.
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

    /// Calls a function with losses, gradients and curvatures of each of `rounds` draws, while the
    /// draw lies in its tensors.
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

/// Rows that keep the standard error of the fitted `a`, `1 / sqrt(rows * information)`, below a
/// third of the tolerances.
const ROWS: usize = 200_000;

fn fits(objective: RankingObjective, cases: &[(f32, usize)], optimum: impl Fn(f64) -> f64, bound: f64) {
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
    fits(RankingObjective::Rnce, &[(0.8, 8), (2.0, 8)], |_| 1.0, 0.01);
}

#[test]
fn r3_infonce_finds_the_ratio_of_data_and_proposal() {
    fits(RankingObjective::InfoNce, &[(0.8, 8), (1.5, 1)], ratio_of_variances, 0.015);
}

/// The first half of R15, that neither step moves the other's parameters, is in
/// `training/latch.rs`.
#[test]
fn r15_a_frozen_and_a_moving_proposal_lead_to_the_same_energy() {
    let gpu = &common::lavapipe().gpu;
    let rows = 100_000;
    let fit = |sigma, start| OneDimension::new(gpu, RankingObjective::Rnce, sigma, 8, rows).fit(start) as f32;
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
    fits(RankingObjective::Rnce, &cases, |_| 1.0, 0.01);
    fits(RankingObjective::InfoNce, &cases, ratio_of_variances, 0.015);
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
        let model = OneDimension::new(gpu, RankingObjective::Rnce, sigma, negatives, ROUND);
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
        let model = OneDimension::new(gpu, RankingObjective::Rnce, 1.0, negatives, 4000);
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

/// `J_K = E[Var_w(-y^2 / 2)]` at `a = 1`, and by the information equality the variance of the
/// gradient there.
fn information(cases: &[(f32, usize, f64)], rounds: usize) {
    let gpu = &common::lavapipe().gpu;
    for &(sigma, negatives, expected) in cases {
        // As many candidates a round as one binding of the smallest adapter holds.
        let contexts = ROUND.min(8_000_000 / (negatives + 1));
        let model = OneDimension::new(gpu, RankingObjective::Rnce, sigma, negatives, contexts);
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

/// `log mean exp(-E - log q)` over the negatives, from the losses:
/// `sum_k>0 exp l_k = exp(l_0) (exp(loss) - 1)`.
#[test]
fn r10_the_losses_give_the_log_of_the_partition_function() {
    let gpu = &common::lavapipe().gpu;
    let (sigma, negatives) = (1.5f64, 64);
    let model = OneDimension::new(gpu, RankingObjective::Rnce, sigma as f32, negatives, ROUND / 8);
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
        let model = OneDimension::new(gpu, RankingObjective::Rnce, 1.5, negatives, ROUND);
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
