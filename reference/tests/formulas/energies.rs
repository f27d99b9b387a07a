//! Ranking NCE (numbered tests of the R-NCE notes), chains and metrics.

use crate::common::{check_gradient, near, normals, uniforms};
use gibbs_reference::compose::{Mlp, ranking_nce_gradient};
use gibbs_reference::gpu::run::metrics;
use gibbs_reference::gpu::run::metrics::Ring;
use gibbs_reference::loss::ranking_nce;
use gibbs_reference::mcmc::langevin::LangevinStep;
use gibbs_reference::mcmc::{langevin, select_chain};
use gibbs_reference::nn::Activation;

/// The tables behind R4 and R6 are Monte Carlo estimates with this tolerance; "exact" values are
/// quadratures converged to all digits shown.
const PUBLISHED: f64 = 2e-3;

const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

fn near_all(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: lengths");
    for (found, expected) in found.iter().zip(expected) {
        near(name, *found, *expected, tolerance);
    }
}

#[test]
fn r1_one_row() {
    let (energy, log_q) = ([0.2, 1.0, -0.5], [-1.0, -2.0, -0.5]);
    let row = ranking_nce(&energy, &log_q, 1, 3, true);
    near("loss", row.loss[0], 1.236286696, 1e-9);
    near_all("w", &row.weights, &[0.290460787, 0.354769606, 0.354769606], 1e-9);
    near_all("dE", &row.energy_grad, &[0.709539213, -0.354769606, -0.354769606], 1e-9);
    near("ess", row.ess[0], 2.975389811, 1e-9);
    near("InfoNCE", ranking_nce(&energy, &[], 1, 3, false).loss[0], 1.242158849, 1e-9);
}

/// Loss and d(loss)/da of the 1-D model `E = a y^2 / 2`, proposal `N(0, sigma^2)`, for rows of
/// candidates `y`.
fn one_dimensional(a: f64, sigma: f64, y: &[f64], candidates: usize) -> (Vec<f64>, Vec<f64>) {
    let energy: Vec<f64> = y.iter().map(|y| 0.5 * a * y * y).collect();
    let log_q: Vec<f64> = y.iter().map(|y| -0.5 * (y / sigma).powi(2) - sigma.ln() - HALF_LN_TAU).collect();
    let contexts = y.len() / candidates;
    let result = ranking_nce(&energy, &log_q, contexts, candidates, true);
    let slopes = result
        .energy_grad
        .chunks_exact(candidates)
        .zip(y.chunks_exact(candidates))
        .map(|(output_gradient, y)| {
            contexts as f64 * output_gradient.iter().zip(y).map(|(s, y)| s * 0.5 * y * y).sum::<f64>()
        })
        .collect();
    (result.loss, slopes)
}

/// Expected loss and slope over `y_0 ~ N(0, 1)`, `y_1 ~ N(0, sigma^2)` by the midpoint rule.
fn quadrature(a: f64, sigma: f64) -> (f64, f64) {
    let cells = 300;
    let half = 8.0;
    let node = |i: usize| half * ((i as f64 + 0.5) / cells as f64 * 2.0 - 1.0);
    let width = 2.0 * half / cells as f64;
    let density = |z: f64| (-0.5 * z * z - HALF_LN_TAU).exp() * width;
    let mut y = Vec::new();
    for i in 0..cells * cells {
        y.extend([node(i / cells), sigma * node(i % cells)]);
    }
    let (loss, slope) = one_dimensional(a, sigma, &y, 2);
    let mean = |values: &[f64]| -> f64 {
        values.iter().enumerate().map(|(i, v)| v * density(node(i / cells)) * density(node(i % cells))).sum()
    };
    (mean(&loss), mean(&slope))
}

/// Means and their standard errors by `rows` random rows, with `l_0` and its slope, whose means are
/// known exactly, as control variates.
fn monte_carlo(a: f64, sigma: f64, negatives: usize, rows: usize) -> [(f64, f64); 2] {
    let candidates = negatives + 1;
    let z = normals(31, rows * candidates);
    let y: Vec<f64> =
        z.iter().enumerate().map(|(i, z)| if i % candidates == 0 { *z } else { sigma * z }).collect();
    let (loss, slope) = one_dimensional(a, sigma, &y, candidates);
    // -l_0 = (a - 1/sigma^2) y0^2 / 2 - ln sigma - 0.5 ln 2 pi, and its slope y0^2 / 2, with
    // E[y0^2] = 1.
    let excess = |r: usize| 0.5 * (y[r * candidates].powi(2) - 1.0);
    let summary = |values: Vec<f64>| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, (variance / n).sqrt())
    };
    let factor = a - sigma.powi(-2);
    [
        summary(loss.iter().enumerate().map(|(r, v)| v - factor * excess(r)).collect()),
        summary(slope.iter().enumerate().map(|(r, v)| v - excess(r)).collect()),
    ]
}

#[test]
fn r4_loss_at_the_optimum() {
    for negatives in [1, 8, 64] {
        let candidates = negatives + 1;
        let (loss, _) = one_dimensional(1.0, 1.0, &normals(32, 5 * candidates), candidates);
        near_all("sigma 1", &loss, &[(candidates as f64).ln(); 5], 1e-12);
    }
    for (sigma, published, exact) in [(1.5, 0.6226, 0.622276539), (2.0, 0.5225, 0.522970385)] {
        let (loss, slope) = quadrature(1.0, sigma);
        near("K 1, published", loss, published, PUBLISHED);
        near("K 1, exact", loss, exact, 1e-9);
        near("the optimum", slope, 0.0, 1e-12);
    }
    for (sigma, negatives, rows, expected) in
        [(1.5, 8, 20_000, 2.0817), (1.5, 64, 4000, 4.0479), (2.0, 8, 20_000, 1.908), (2.0, 64, 4000, 3.860)]
    {
        let [(loss, error), _] = monte_carlo(1.0, sigma, negatives, rows);
        assert!(error < 5e-3, "the estimate says something: {error}");
        near(&format!("sigma {sigma}, K {negatives}"), loss, expected, 4.0 * error + PUBLISHED);
    }
}

#[test]
fn r4_all_weights_equal_where_proposal_is_model() {
    let y = normals(33, 65);
    let energy: Vec<f64> = y.iter().map(|y| 0.5 * y * y).collect();
    let log_q: Vec<f64> = y.iter().map(|y| -0.5 * y * y - HALF_LN_TAU).collect();
    let row = ranking_nce(&energy, &log_q, 1, 65, true);
    near_all("w", &row.weights, &[1.0 / 65.0; 65], 1e-14);
    near("ess", row.ess[0], 65.0, 1e-10);
}

#[test]
fn r6_gradient_of_the_one_dimensional_model() {
    for (a, exact, expected) in [
        (0.5, -0.265458663, [-0.2653, -0.4095, -0.4740, -0.4931]),
        (2.0, 0.145828519, [0.1458, 0.2228, 0.2436, 0.2484]),
    ] {
        let found = quadrature(a, 1.5).1;
        near("K 1, published", found, expected[0], PUBLISHED);
        near("K 1, exact", found, exact, 1e-9);
        for (negatives, rows, expected) in
            [(4, 40_000, expected[1]), (16, 12_000, expected[2]), (64, 4000, expected[3])]
        {
            let [_, (slope, error)] = monte_carlo(a, 1.5, negatives, rows);
            assert!(error < 5e-3, "the estimate says something: {error}");
            near(&format!("a {a}, K {negatives}"), slope, expected, 4.0 * error + PUBLISHED);
        }
    }
}

#[test]
fn r7_a_uniform_proposal_needs_no_correction() {
    let energy = normals(34, 7 * 9);
    let constant = vec![-2.3; 7 * 9];
    let corrected = ranking_nce(&energy, &constant, 7, 9, true);
    let plain = ranking_nce(&energy, &constant, 7, 9, false);
    near_all("loss", &corrected.loss, &plain.loss, 1e-13);
    near_all("gradient", &corrected.energy_grad, &plain.energy_grad, 1e-14);
}

#[test]
fn r8_constants_of_the_context_cancel() {
    let (contexts, candidates) = (7, 9);
    let energy = normals(35, contexts * candidates);
    let log_q = normals(36, contexts * candidates);
    let base = ranking_nce(&energy, &log_q, contexts, candidates, true);
    let shifted = |values: &[f64]| -> Vec<f64> {
        values.iter().enumerate().map(|(i, v)| v + 3.0 * ((i / candidates) as f64 + 0.3).sin()).collect()
    };
    for (energy, log_q) in [(shifted(&energy), log_q.clone()), (energy.clone(), shifted(&log_q))] {
        let moved = ranking_nce(&energy, &log_q, contexts, candidates, true);
        near_all("loss", &moved.loss, &base.loss, 1e-13);
        near_all("gradient", &moved.energy_grad, &base.energy_grad, 1e-14);
        near_all("ess", &moved.ess, &base.ess, 1e-12);
    }
    // A constant per candidate does not cancel.
    let tilted: Vec<f64> =
        energy.iter().enumerate().map(|(i, v)| v + 0.1 * (i % candidates) as f64).collect();
    assert!((ranking_nce(&tilted, &log_q, contexts, candidates, true).loss[0] - base.loss[0]).abs() > 1e-3);
}

#[test]
fn r9_row_sums_permutations_and_differences() {
    for (contexts, candidates) in [(1, 2), (5, 9), (3, 64)] {
        let n = contexts * candidates;
        let (energy, log_q) = (normals(37, n), normals(38, n));
        for correction in [true, false] {
            let result = ranking_nce(&energy, &log_q, contexts, candidates, correction);
            for row in result.energy_grad.chunks_exact(candidates) {
                near("row sum", row.iter().sum(), 0.0, 1e-14);
            }
            for row in result.weights.chunks_exact(candidates) {
                near("weights", row.iter().sum(), 1.0, 1e-13);
            }
            // Negatives in reverse order, the data in front.
            let permuted = |values: &[f64]| -> Vec<f64> {
                values
                    .chunks_exact(candidates)
                    .flat_map(|row| row[..1].iter().chain(row[1..].iter().rev()).copied().collect::<Vec<_>>())
                    .collect()
            };
            let other = ranking_nce(&permuted(&energy), &permuted(&log_q), contexts, candidates, correction);
            near_all("loss", &other.loss, &result.loss, 1e-12);
            near_all("gradient", &other.energy_grad, &permuted(&result.energy_grad), 1e-14);

            let scaled: Vec<f64> = result.energy_grad.iter().map(|g| 2.5 * g).collect();
            check_gradient("energy_grad", &energy, &scaled, |energy| {
                let loss = ranking_nce(energy, &log_q, contexts, candidates, correction).loss;
                2.5 * loss.iter().sum::<f64>() / contexts as f64
            });
        }
    }
}

#[test]
fn r9_whole_network() {
    let (contexts, candidates, dx, dy) = (3, 5, 2, 2);
    let widths = [dx + dy, 6, 5, 1];
    let network = Mlp::new(&widths, Activation::Silu, &uniforms(39, Mlp::parameter_count(&widths)));
    let x = normals(40, contexts * dx);
    let y = normals(41, contexts * candidates * dy);
    let log_q = normals(42, contexts * candidates);
    for correction in [true, false] {
        let step =
            |network: &Mlp| ranking_nce_gradient(network, &x, &y, &log_q, contexts, candidates, correction);
        let found = step(&network);
        let point = network.parameters();
        let scaled: Vec<f64> = found.gradient.iter().map(|g| 1.9 * g).collect();
        check_gradient("parameters", &point, &scaled, |p| 1.9 * step(&network.with_parameters(p)).loss);
        // A bias of the last layer is a constant of the context: its gradient is zero.
        near("last bias", found.gradient[point.len() - 1], 0.0, 1e-14);
        let moved: Vec<f64> = point.iter().zip(&found.gradient).map(|(p, g)| p - 1e-2 * g).collect();
        assert!(step(&network.with_parameters(&moved)).loss < found.loss);
        assert!((1.0..=candidates as f64).contains(&found.ess));
    }
}

#[test]
fn ranking_nce_is_finite_for_huge_values() {
    let sizes = [1e30, -1e30, 0.0, 3.0];
    for (i, &positive) in sizes.iter().enumerate() {
        for &negative in &sizes {
            let energy = [positive, negative, 1.0, sizes[(i + 1) % 4]];
            let log_q = [negative, positive, -1e30, 1e30];
            for correction in [true, false] {
                let r = ranking_nce(&energy, &log_q, 1, 4, correction);
                let all = r.loss.iter().chain(&r.energy_grad).chain(&r.ess).chain(&r.weights);
                assert!(all.clone().all(|v| v.is_finite()), "{energy:?} {log_q:?}: {r:?}");
                assert!(r.loss[0] >= 0.0 && (1.0..=4.0).contains(&r.ess[0]));
            }
        }
    }
    assert_eq!(ranking_nce(&[1e30, -1e30], &[0.0, 0.0], 1, 2, true).loss, [2e30]);
}

#[test]
fn langevin_by_hand_and_its_stationary_variance() {
    let step = LangevinStep { eta: 0.5, noise_scale: 1.0 };
    let (y, g, n) = ([1.0, -1.0, 0.0, 5.0], [2.0, 0.0, -1.0, -4.0], [0.5, 1.0, 0.0, 0.0]);
    assert_eq!(langevin(&y, &g, &n, &[1.0; 2], step, None), [0.5, 0.0, 0.5, 7.0]);
    let (low, high) = ([0.6, -0.25], [4.0, 6.0]);
    assert_eq!(langevin(&y, &g, &n, &[1.0; 2], step, Some((&low, &high))), [0.6, 0.0, 0.6, 6.0]);
    let quiet = LangevinStep { noise_scale: 0.0, ..step };
    assert_eq!(langevin(&y, &g, &n, &[1.0; 2], quiet, None), [0.0, -1.0, 0.5, 7.0]);

    // E = y^2 / 2: the chain is linear, its variance converges to 1 / (1 - eta / 2) (R14).
    for (eta, expected) in [(0.5, 1.33333), (0.1, 1.05263)] {
        let step = LangevinStep { eta, noise_scale: 1.0 };
        let start = langevin(&[1.0], &[1.0], &[0.0], &[1.0], step, None)[0];
        let noise = langevin(&[0.0], &[0.0], &[1.0], &[1.0], step, None)[0];
        let variance = (0..2000).fold(0.0, |v, _| start * start * v + noise * noise);
        near("variance", variance, expected, 1e-5);
    }
}

#[test]
fn best_chain_is_the_first_of_the_lowest() {
    let energy = [3.0, 1.0, 1.0, -2.0, 0.0, -2.0];
    let y: Vec<f64> = (0..12).map(f64::from).collect();
    let best = select_chain(&y, &energy, 3, 2);
    assert_eq!(best.chain, [1, 0]);
    assert_eq!(best.y, [2.0, 3.0, 6.0, 7.0]);
    assert_eq!(best.energy, [1.0, -2.0]);
}

#[test]
fn metrics_ring_wraps_stamps_and_latches() {
    let mut ring = Ring::new(3, 2);
    assert_eq!(metrics(&mut ring, 4, 1, &[1.0, 2.0, 6.0], 2.0, 0.5), 6.5);
    assert_eq!(ring.values, [0.0, 0.0, 0.0, 6.5, 0.0, 0.0]);
    assert_eq!((ring.stamps.clone(), ring.latch), (vec![None, Some(4), None], None));
    metrics(&mut ring, 7, 1, &[f64::NAN, 1.0], 1.0, 0.0);
    assert_eq!((ring.stamps[1], ring.latch), (Some(7), Some(7)));
    metrics(&mut ring, 8, 0, &[f64::INFINITY], 1.0, 0.0);
    assert_eq!(ring.latch, Some(7));
    let mut ring = Ring::new(2, 1);
    metrics(&mut ring, 1, 0, &[1e39], 1.0, 0.0);
    assert_eq!(ring.latch, Some(1), "not finite in f32");
}
