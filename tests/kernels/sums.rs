//! Sums over candidates and over partial gradients.

use gibbs::gpu::{DType, Shape};
use gibbs::nn::GradientMode;
use gibbs::nn::passes::sum_candidates::{CandidateRange, Carry};
use gibbs::nn::passes::{reduce_partials, sum_candidates};
use gibbs::testing::Bound;
use gibbs_reference::nn as reference;

use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    sum_candidates_equals_the_reference,
    sums_of_ranges_of_rows_equal_those_of_all,
    sums_over_more_candidates_than_a_loop_may_count,
    reduce_partials_equals_the_reference,
);

fn sum_candidates_equals_the_reference(adapter: &Adapter) {
    for (contexts, candidates, width) in
        [(1, 1, 1), (7, 2, 1), (1, 257, 7), (65, 17, 63), (7, 64, 65), (3, 65, 257), (257, 7, 64)]
    {
        let values = data(11, contexts * candidates * width);
        let mut case = Case::new(adapter, format!("sum candidates {contexts}x{candidates}x{width}"));
        let x = case.packed("x", contexts * candidates, width, &values);
        let out = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
        case.output("out", out);
        case.expect_kernels(&["sum_candidates"]);
        let results = case.run();
        let expected = reference::sum_candidates(&wide(&values), contexts, candidates, width);
        let bound = Bound::sum(&expected.magnitude, candidates);
        results.expect("out", &results.packed("out"), &expected.value, bound);
    }
}

/// Cuts at multiples of 64 rows, before, at and within contexts.
fn sums_of_ranges_of_rows_equal_those_of_all(adapter: &Adapter) {
    for (contexts, candidates, width) in [(1, 257, 7), (65, 17, 63), (7, 64, 5), (3, 65, 257), (257, 7, 1)] {
        let rows = contexts * candidates;
        let values = data(11, rows * width);
        let mut case = Case::new(adapter, format!("sum ranges {contexts}x{candidates}x{width}"));
        let x = case.packed("x", rows, width, &values);
        let whole = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
        case.output("whole", whole);
        let carried = case.poisoned("carried", DType::F32, Shape::packed(contexts, width));
        let mut fresh = Vec::new();
        let step = 64 * (1 + rows / 400);
        for first in (0..rows).step_by(step) {
            let count = step.min(rows - first);
            let part = case.recording.rows(x, first, count).unwrap();
            let carry = if first == 0 { Carry::Fresh } else { Carry::Continue };
            let range = CandidateRange { candidates, first_row: first, carry };
            sum_candidates::record_range(&mut case.recording, part, &range, carried).unwrap();
            // The contexts from the first that this range reaches.
            let begin = first / candidates;
            let own = (first + count).div_ceil(candidates) - begin;
            let name = format!("fresh {first}");
            let out = case.poisoned(&name, DType::F32, Shape::packed(own, width));
            let range =
                CandidateRange { candidates, first_row: first - begin * candidates, carry: Carry::Fresh };
            sum_candidates::record_range(&mut case.recording, part, &range, out).unwrap();
            fresh.push((name, first, count, begin, own));
        }
        let results = case.run();
        results.expect_words("carried", &results.bits("carried"), &results.bits("whole"));
        for (name, first, count, begin, own) in fresh {
            // The same sum with zeros for the rows of other ranges.
            let mut masked = vec![0.0; own * candidates * width];
            for row in first..first + count {
                let to = (row - begin * candidates) * width;
                masked[to..to + width].copy_from_slice(&wide(&values[row * width..][..width]));
            }
            let expected = reference::sum_candidates(&masked, own, candidates, width);
            let bound = Bound::sum(&expected.magnitude, candidates);
            results.expect(&name, &results.packed(&name), &expected.value, bound);
        }
    }
}

fn sums_over_more_candidates_than_a_loop_may_count(adapter: &Adapter) {
    let (contexts, candidates, width) = (2, 70_001, 3);
    let values = data(11, contexts * candidates * width);
    let mut case = Case::new(adapter, "sum of 70001 candidates");
    let x = case.packed("x", contexts * candidates, width, &values);
    let out = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
    case.output("out", out);
    assert!(case.recording.len() > 1, "{}", case.recording.describe());
    let results = case.run();
    let expected = reference::sum_candidates(&wide(&values), contexts, candidates, width);
    let bound = Bound::sum(&expected.magnitude, candidates);
    results.expect("out", &results.packed("out"), &expected.value, bound);
}

fn reduce_partials_equals_the_reference(adapter: &Adapter) {
    for (splits, parameters) in [(1, 4), (7, 28), (32, 252), (5, 260), (3, 1028), (2, 4 * 257)] {
        let values = data(12, splits * parameters);
        let mut case = Case::new(adapter, format!("reduce {splits}x{parameters}"));
        let partials = case.input("partials", [splits, parameters], &values);
        let out = reduce_partials::record(&mut case.recording, partials, GradientMode::Overwrite).unwrap();
        case.output("gradient", out);
        case.expect_kernels(&["reduce_partials"]);
        let results = case.run();
        let expected = reference::reduce_partials(&wide(&values), splits, parameters);
        let bound = Bound::sum(&expected.magnitude, splits);
        results.expect("gradient", &results.get("gradient"), &expected.value, bound);
    }
}
