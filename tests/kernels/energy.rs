//! Floor 4: the ranking losses.

use gibbs::gpu::MAX_MAGNITUDE;
use gibbs::loss::{RankingObjective, ranking_nce};
use gibbs_reference::loss::ranking_nce as reference;
use gibbs_reference::loss::ranking_nce::RankingNce;

use crate::EPS;
use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    ranking_equals_the_reference,
    ranking_stands_huge_energies_and_densities,
    ranking_stands_logits_far_apart,
);

/// Contexts and candidates; candidates are strided by 64 on the device.
const SHAPES: [(usize, usize); 9] =
    [(1, 2), (7, 2), (1, 17), (3, 17), (63, 64), (7, 64), (5, 65), (65, 7), (3, 257)];

fn run(
    adapter: &Adapter,
    label: &str,
    objective: RankingObjective,
    energy: &[f32],
    log_q: &[f32],
    shape: (usize, usize),
    packed: bool,
) -> Results {
    let (contexts, candidates) = shape;
    let mut case = Case::new(adapter, format!("ranking {label} {objective:?} {shape:?} {packed}"));
    // Energies come packed from a network, or plain from a caller.
    let energy = match packed {
        true => case.packed("energy", energy.len(), 1, energy),
        false => case.input("energy", [energy.len(), 1], energy),
    };
    let log_q = case.input("log_q", [contexts, candidates], log_q);
    let written = ranking_nce::record(&mut case.recording, objective, energy, log_q).unwrap();
    case.output("loss", written.loss);
    case.output("output_gradient", written.output_gradient);
    case.output("ess", written.ess);
    case.expect_kernels(&["ranking_nce"]);
    case.run()
}

/// Compares with the reference. An error `e` of a logit is a relative error `e` of its weight;
/// `exp` of an argument `x` is within `3 + 2 |x|` units, `log` within 4. `exact` says that the
/// logits have no rounding error.
fn expect(
    results: &Results,
    expected: &RankingNce,
    logits: &[f64],
    sizes: &[f64],
    candidates: usize,
    exact: bool,
) {
    let contexts = expected.loss.len();
    let (mut losses, mut seeds, mut esses) = (Vec::new(), Vec::new(), Vec::new());
    for b in 0..contexts {
        let row = b * candidates..(b + 1) * candidates;
        let largest = logits[row.clone()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let rounding =
            |at: usize| if exact { 0.0 } else { 2.0 * sizes[at] + (largest - logits[at]).min(90.0) };
        // Relative error of the weights, in units.
        let weight = |at: usize| {
            let x = (largest - logits[at]).min(90.0);
            rounding(at) + 2.0 * (3.0 + 2.0 * x) + (candidates as f64).sqrt() + 8.0
        };
        let spread: f64 = row.clone().map(|at| expected.weights[at] * weight(at)).sum();
        let first = largest - logits[row.start];
        let own = if exact { 0.0 } else { 2.0 * sizes[row.start] };
        losses.push(EPS * (own + first + spread + 4.0 * expected.loss[b].abs() + 4.0));
        for at in row.clone() {
            let positive = f64::from(u8::from(at == row.start));
            let w = expected.weights[at];
            seeds.push((EPS * (w * (weight(at) + spread) + positive) + 1e-37) / contexts as f64);
        }
        let squares: f64 = row.map(|at| expected.weights[at].powi(2) * 2.0 * (weight(at) + spread)).sum();
        esses.push(EPS * expected.ess[b] * (squares * expected.ess[b] + 4.0));
    }
    results.expect("loss", &results.get("loss"), &expected.loss, &losses[..]);
    results.expect("ess", &results.get("ess"), &expected.ess, &esses[..]);
    let seed = results.packed("output_gradient");
    results.expect("output_gradient", &seed, &expected.energy_grad, &seeds[..]);
    for (b, row) in seed.chunks_exact(candidates).enumerate() {
        let sum: f64 = row.iter().map(|v| f64::from(*v)).sum();
        let bound: f64 = seeds[b * candidates..(b + 1) * candidates].iter().sum();
        assert!(sum.abs() <= bound, "seeds of context {b} sum to {sum:e}, bound {bound:e}");
    }
}

fn check(adapter: &Adapter, label: &str, energy: &[f32], log_q: &[f32], shape: (usize, usize), exact: bool) {
    let (contexts, candidates) = shape;
    for objective in [RankingObjective::Rnce, RankingObjective::InfoNce] {
        let correction = objective == RankingObjective::Rnce;
        let (wide_energy, wide_q) = (wide(energy), wide(log_q));
        let expected = reference(&wide_energy, &wide_q, contexts, candidates, correction);
        let q = |at: usize| if correction { wide_q[at] } else { 0.0 };
        let logits: Vec<f64> = (0..energy.len()).map(|at| -wide_energy[at] - q(at)).collect();
        let sizes: Vec<f64> = (0..energy.len()).map(|at| wide_energy[at].abs() + q(at).abs()).collect();
        for packed in [true, false] {
            let results = run(adapter, label, objective, energy, log_q, shape, packed);
            expect(&results, &expected, &logits, &sizes, candidates, exact);
        }
    }
}

fn ranking_equals_the_reference(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let n = shape.0 * shape.1;
        let factor = [1.0, 5.0, 20.0][index % 3];
        let energy: Vec<f32> = data(31, n).iter().map(|v| factor * v).collect();
        let log_q: Vec<f32> = data(32, n).iter().map(|v| 3.0 * v - 1.5).collect();
        check(adapter, "ordinary", &energy, &log_q, shape, false);
    }
}

/// Sums and differences of these are exact in f32, so that the reference decides ties as the device
/// does.
fn ranking_stands_huge_energies_and_densities(adapter: &Adapter) {
    for shape in [(3, 2), (5, 17), (7, 65), (3, 257)] {
        let n = shape.0 * shape.1;
        for huge in [1e30, MAX_MAGNITUDE] {
            for (label, values) in [
                ("both signs", [huge, -huge, 0.0]),
                ("high", [huge, huge, 0.0]),
                ("low", [-huge, -huge, 0.0]),
                ("equal", [huge, huge, huge]),
            ] {
                let pick = |seed| {
                    let value = |v: &f32| values[(v.abs() * 3.0) as usize % 3];
                    data(seed, n).iter().map(value).collect::<Vec<f32>>()
                };
                check(adapter, label, &pick(33), &pick(34), shape, true);
            }
        }
    }
}

fn ranking_stands_logits_far_apart(adapter: &Adapter) {
    for shape in [(3, 17), (7, 65)] {
        let n = shape.0 * shape.1;
        // Steps of 16: from certain to hopeless, the demonstration anywhere between. Exact in f32.
        let energy: Vec<f32> = (0..n).map(|at| 16.0 * ((at * 7 % 23) as f32 - 11.0)).collect();
        let log_q: Vec<f32> = (0..n).map(|at| 0.5 * ((at * 5 % 19) as f32)).collect();
        check(adapter, "far apart", &energy, &log_q, shape, true);
    }
}
