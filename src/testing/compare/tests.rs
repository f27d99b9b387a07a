//! The comparators must reject plausible wrong answers.

use super::*;

const ROWS: usize = 7;
const COLS: usize = 5;

/// `[ROWS, COLS]`, no symmetry, no repeated rows, no zeros.
fn table(step: f64) -> Vec<f64> {
    (0..ROWS * COLS).map(|i| (1.3 * i as f64 + 0.7 + step).sin() + 0.02 * i as f64 + 0.03).collect()
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn bounds() -> Vec<Bound> {
    let magnitudes: Vec<f64> = table(0.0).iter().map(|v| v.abs() + 1.0).collect();
    vec![Bound::sum(&magnitudes, 64), Bound::relative(1e-5, 1e-7)]
}

#[test]
fn comparator_rejects_plausible_wrong_answers() {
    let good = table(0.0);
    let previous = table(0.25);
    for bound in bounds() {
        let allowed = |i: usize| bound.at(i, good[i]).unwrap();
        assert_eq!(compare(&to_f32(&good), &good, &bound), Ok(()));

        let mut wrong: Vec<(String, Vec<f32>)> = vec![
            ("zeros".into(), vec![0.0; good.len()]),
            ("previous step".into(), to_f32(&previous)),
            ("negated".into(), good.iter().map(|&v| -v as f32).collect()),
            ("empty".into(), vec![]),
            ("one short".into(), to_f32(&good[1..])),
            ("one long".into(), to_f32(&[&good[..], &[0.0]].concat())),
        ];
        let transposed: Vec<f64> = (0..ROWS * COLS).map(|i| good[(i % ROWS) * COLS + i / ROWS]).collect();
        wrong.push(("transposed".into(), to_f32(&transposed)));
        let mut shifted = good.clone();
        shifted.rotate_right(COLS);
        wrong.push(("shifted by a row".into(), to_f32(&shifted)));
        let missing = [&good[..(ROWS - 1) * COLS], &previous[(ROWS - 1) * COLS..]].concat();
        wrong.push(("last row missing, stale".into(), to_f32(&missing)));
        let missing = [&good[..(ROWS - 1) * COLS], &[0.0; COLS]].concat();
        wrong.push(("last row missing, zero".into(), to_f32(&missing)));
        for i in 0..good.len() {
            for (name, value) in [
                ("above", good[i] + 2.0 * allowed(i)),
                ("below", good[i] - 2.0 * allowed(i)),
                ("NaN", f64::NAN),
                ("infinity", f64::INFINITY),
                ("minus infinity", f64::NEG_INFINITY),
            ] {
                let mut values = good.clone();
                values[i] = value;
                wrong.push((format!("element {i} {name}"), to_f32(&values)));
            }
        }
        for (name, wrong) in wrong {
            assert!(compare(&wrong, &good, &bound).is_err(), "comparator accepted: {name}");
        }
    }
}

#[test]
fn comparator_accepts_differences_within_the_bound() {
    let good = table(0.0);
    for bound in bounds() {
        let near: Vec<f32> = (0..good.len())
            .map(|i| {
                let side = if i % 2 == 0 { 0.5 } else { -0.5 };
                (good[i] + side * bound.at(i, good[i]).unwrap()) as f32
            })
            .collect();
        assert_eq!(compare(&near, &good, &bound), Ok(()));
    }
}

#[test]
fn unusable_references_and_bounds_are_failures() {
    let good = table(0.0);
    let found = to_f32(&good);
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let error = compare(&found, &good, |i: usize| if i == 3 { bad } else { 1e-3 });
        assert!(
            matches!(error, Err(Mismatch::Values { failures: 1, unusable: 1, first, .. }) if first.index == 3),
            "bound {bad}: {error:?}"
        );
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let mut expected = good.clone();
        expected[2] = bad;
        let mut found = found.clone();
        found[2] = bad as f32;
        let error = compare(&found, &expected, |_: usize| 1e-3);
        assert!(
            matches!(error, Err(Mismatch::Values { failures: 1, unusable: 1, .. })),
            "expected {bad} on both sides: {error:?}"
        );
        assert!(compare(&found, &expected, Bound::relative(1.0, 1.0)).is_err(), "expected {bad}");
    }
    let short = vec![1.0; good.len() - 1];
    assert!(compare(&found, &good, &short[..]).is_err(), "a bound missing for the last element");
    assert_eq!(compare(&[], &[], |_: usize| 1.0), Err(Mismatch::Empty));
}

#[test]
fn mismatch_names_first_and_worst() {
    let expected = [1.0, 2.0, 3.0, 4.0];
    let found = [1.0, 2.5, 3.0, 9.0];
    let error = compare(&found, &expected, |_: usize| 0.25).unwrap_err();
    let Mismatch::Values { failures, total, non_finite, unusable, first, worst } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*failures, *total, *non_finite, *unusable), (2, 4, 0, 0));
    assert_eq!((first.index, first.found, first.expected, first.bound), (1, 2.5, 2.0, 0.25));
    assert_eq!((worst.index, worst.found, worst.expected), (3, 9.0, 4.0));
    let text = error.to_string();
    for part in ["2 of 4 elements", "first index 1", "worst index 3", "bound 2.500e-1"] {
        assert!(text.contains(part), "`{part}` missing from: {text}");
    }

    let error = compare(&[1.0, 99.0, f32::NAN, 4.0], &expected, |_: usize| 0.25).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Mismatch::Values { worst, .. } if worst.index == 2), "{text}");
    assert!(text.contains("1 found values are NaN or infinite"), "{text}");

    let text = compare(&[1.0], &expected, |_: usize| 0.25).unwrap_err().to_string();
    assert!(text.contains("found 1 elements, expected 4"), "{text}");
}

#[test]
fn worst_is_measured_in_bounds() {
    // Element 0 is further away, element 1 breaks its bound by a larger factor.
    let bounds = [1.0, 1e-3];
    let error = compare(&[3.0, 1.5], &[1.0, 1.0], &bounds[..]).unwrap_err();
    assert!(matches!(error, Mismatch::Values { worst, .. } if worst.index == 1), "{error}");
}

#[test]
fn bounds_have_the_stated_size() {
    let eps = 2f64.powi(-23);
    assert_eq!(Bound::sum(&[2.0], 9).at(0, 0.0), Some(eps * 7.0 * 2.0 + 1e-30));
    assert_eq!(Bound::sum(&[2.0], 9).at(1, 0.0), None);
    assert_eq!(Bound::relative(0.5, 0.25).at(0, -4.0), Some(2.25));
    assert_eq!(Bound::relative(0.5, 0.25).scaled(2.0).plus(1.0).at(0, -4.0), Some(5.5));
}

#[test]
fn word_comparator_rejects_wrong_answers() {
    let good: Vec<u32> = (0..12u32).map(|i| i.wrapping_mul(0x9E37_79B9) ^ 7).collect();
    assert_eq!(compare_words(&good, &good), Ok(()));
    for i in 0..good.len() {
        for bit in [0, 31] {
            let mut wrong = good.clone();
            wrong[i] ^= 1 << bit;
            let error = compare_words(&wrong, &good).unwrap_err();
            assert!(matches!(error, Mismatch::Words { failures: 1, index, .. } if index == i), "{error}");
        }
    }
    let mut swapped = good.clone();
    swapped.swap(3, 8);
    for wrong in [&swapped[..], &[0; 12], &good[1..], &[]] {
        assert!(compare_words(wrong, &good).is_err());
    }
    assert_eq!(compare_words(&[], &[]), Err(Mismatch::Empty));
}
