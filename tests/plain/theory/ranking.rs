//! The loss kernel on its own.

use gibbs::Gpu;
use gibbs::loss::{RankingLoss, RankingObjective, ranking_nce};

use super::bench::{Bench, assert_all_near, assert_near, largest};
use crate::common;

/// Loss, seeds and effective sample sizes of given energies and log densities.
fn rank(
    gpu: &Gpu,
    objective: RankingObjective,
    energy: &[f32],
    log_q: &[f32],
    candidates: usize,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let contexts = energy.len() / candidates;
    let mut bench = Bench::new(gpu, "rank");
    let energy = bench.input("energy", [contexts * candidates, 1], energy);
    let log_q = bench.input("log q", [contexts, candidates], log_q);
    let RankingLoss { loss, output_gradient, ess } =
        ranking_nce::record(&mut bench.recording, objective, energy, log_q).unwrap();
    for value in [loss, output_gradient, ess] {
        bench.output(value);
    }
    let [loss, output_gradient, ess] = <[Vec<f32>; 3]>::try_from(bench.run()).unwrap();
    (loss, output_gradient, ess)
}

#[test]
fn r1_one_row_has_the_hand_computed_loss_seed_and_sample_size() {
    let gpu = &common::lavapipe().gpu;
    let (energy, log_q) = ([0.2, 1.0, -0.5], [-1.0, -2.0, -0.5]);
    let (loss, output_gradient, ess) = rank(gpu, RankingObjective::Rnce, &energy, &log_q, 3);
    assert_near("loss", loss[0].into(), 1.236286696, 1e-6);
    for (found, expected) in output_gradient.iter().zip([0.709539213, -0.354769606, -0.354769606]) {
        assert_near("output_gradient", f64::from(*found), expected, 1e-6);
    }
    assert_eq!(output_gradient.len(), 3);
    assert_near("effective sample size", ess[0].into(), 2.975389811, 3e-6);
    let (loss, ..) = rank(gpu, RankingObjective::InfoNce, &energy, &log_q, 3);
    assert_near("loss without correction", loss[0].into(), 1.242158849, 1e-6);
}

#[test]
fn r8_a_shift_per_context_changes_no_bit_of_loss_and_seed() {
    let gpu = &common::lavapipe().gpu;
    // Multiples of 2^-10 below 2^12: every sum is exact, so that rounding cannot hide a dependence
    // on the shift.
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
        let plain = rank(gpu, RankingObjective::Rnce, &energy, &log_q, candidates);
        assert_eq!(plain, rank(gpu, RankingObjective::Rnce, &moved_energy, &log_q, candidates), "E + c(x)");
        assert_eq!(
            plain,
            rank(gpu, RankingObjective::Rnce, &energy, &moved_log_q, candidates),
            "log q + c(x)"
        );
        assert_eq!(plain, rank(gpu, RankingObjective::Rnce, &moved_energy, &moved_log_q, candidates), "both");
        let plain = rank(gpu, RankingObjective::InfoNce, &energy, &log_q, candidates);
        assert_eq!(plain, rank(gpu, RankingObjective::InfoNce, &moved_energy, &log_q, candidates), "InfoNCE");
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
        for objective in [RankingObjective::Rnce, RankingObjective::InfoNce] {
            let (loss, output_gradient, ess) = rank(gpu, objective, &energy, &log_q, candidates);
            for (context, row) in output_gradient.chunks_exact(candidates).enumerate() {
                let sum: f64 = row.iter().map(|&s| f64::from(s)).sum();
                assert_near(
                    &format!("sum of output_gradient row {context}"),
                    sum * contexts as f64,
                    0.0,
                    1e-6,
                );
            }
            assert!(largest(&output_gradient) * contexts as f64 > 1e-2, "no gradient to compare");
            let (energy, log_q) = (reordered(&energy), reordered(&log_q));
            let (other_loss, other_seed, other_ess) = rank(gpu, objective, &energy, &log_q, candidates);
            for at in 0..contexts {
                let bound = |value: f32| 1e-6 * f64::from(value).max(1.0);
                assert_near("loss", other_loss[at].into(), loss[at].into(), bound(loss[at]));
                assert_near("ess", other_ess[at].into(), ess[at].into(), 2.0 * bound(ess[at]));
            }
            assert_all_near(
                "output_gradient",
                &other_seed,
                &reordered(&output_gradient),
                1e-6 / contexts as f64,
            );
        }
    }
}
