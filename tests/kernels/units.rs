//! Floor 3: rows in other units.

use gibbs::gpu::Shape;
use gibbs::math::change_units;
use gibbs::math::change_units::Change;
use gibbs::nn::Normalizer;
use gibbs_reference::math::change_units as reference;

use crate::common::{Adapter, Bound, Case, data, every_adapter, wide};
use crate::kernels::SHAPES;

every_adapter!(
    rows_in_other_units_equal_the_reference,
    what_is_not_finite_stays_so,
    long_values_are_changed_in_ranges,
);

const CHANGES: [Change; 4] =
    [Change::ToNormalized, Change::ToData, Change::GradientToNormalized, Change::GradientToData];

/// Scales over six powers of ten.
fn normalizer(dims: usize) -> Normalizer {
    let decades = [1e-3, 1.0, 1e3];
    let scale = data(32, dims).iter().enumerate().map(|(j, v)| (1.5 + v) * decades[j % 3]).collect();
    Normalizer { shift: data(31, dims).iter().map(|v| 30.0 * v).collect(), scale }
}

fn rows_in_other_units_equal_the_reference(adapter: &Adapter) {
    for (index, (rows, dims)) in SHAPES.into_iter().enumerate() {
        let normalizer = normalizer(dims);
        let values = data(33, rows * dims);
        let mut case = Case::new(adapter, format!("change units [{rows}, {dims}]"));
        let x = match index % 2 {
            0 => case.packed("x", rows, dims, &values),
            _ => case.input("x", [1, rows, dims], &values),
        };
        for (at, change) in CHANGES.into_iter().enumerate() {
            let name = format!("{change:?}");
            // Of the shape of x, or of the other.
            let recording = &mut case.recording;
            let value = match (at % 2, index % 2) {
                (0, _) => change_units::record(recording, change, Some(&normalizer), x),
                (_, 0) => {
                    let bare = Shape::new([rows, 1, dims]);
                    change_units::record_shaped(recording, change, &normalizer, x, bare)
                }
                _ => {
                    let packed = Shape::packed(rows, dims);
                    change_units::record_shaped(recording, change, &normalizer, x, packed)
                }
            };
            case.output(&name, value.unwrap());
        }
        case.expect_kernels(&["change_units"; 4]);
        let results = case.run();
        for (at, change) in CHANGES.into_iter().enumerate() {
            let name = format!("{change:?}");
            let units = wide(&change.units(&normalizer));
            let [before, factor, after] = [0, 1, 2].map(|part| &units[part * dims..][..dims]);
            let expected = reference(&wide(&values), before, factor, after);
            let magnitude: Vec<f64> = (0..values.len())
                .map(|i| {
                    let (x, j) = (f64::from(values[i]).abs(), i % dims);
                    (x + before[j].abs()) * factor[j].abs() + after[j].abs()
                })
                .collect();
            let found = if at % 2 == index % 2 { results.packed(&name) } else { results.get(&name) };
            results.expect(&name, &found, &expected, Bound::sum(&magnitude, 2));
        }
    }
}

fn long_values_are_changed_in_ranges(adapter: &Adapter) {
    let (gpu, rows, dims) = (adapter.narrow(1 << 16), 10_001, 3);
    let (values, normalizer) = (data(34, rows * dims), normalizer(dims));
    let mut case = Case::on(adapter, &gpu, gpu.capabilities().class, "change units in ranges");
    let x = case.input("x", [rows, dims], &values);
    let change = Change::ToNormalized;
    let packed = Shape::packed(rows, dims);
    let out = change_units::record_shaped(&mut case.recording, change, &normalizer, x, packed).unwrap();
    let parts = case.recording.len();
    assert!(parts > 1, "{}", case.recording.describe());
    case.output("out", out);
    case.expect_kernels(&vec!["change_units"; parts]);
    let units = wide(&change.units(&normalizer));
    let [before, factor, after] = [0, 1, 2].map(|part| &units[part * dims..][..dims]);
    let expected = reference(&wide(&values), before, factor, after);
    let magnitude: Vec<f64> = (0..values.len())
        .map(|i| (f64::from(values[i]).abs() + before[i % dims].abs()) * factor[i % dims].abs())
        .collect();
    let results = case.run();
    results.expect("out", &results.packed("out"), &expected, Bound::sum(&magnitude, 2));
}

fn what_is_not_finite_stays_so(adapter: &Adapter) {
    let x = [f32::NAN, 1.0, f32::INFINITY, 2.0, f32::NEG_INFINITY, 3.0];
    let normalizer = Normalizer { shift: vec![1.0, -1.0], scale: vec![0.25, 8.0] };
    let mut case = Case::new(adapter, "faults");
    let value = case.input("x", [3, 2], &x);
    for change in CHANGES {
        let changed = change_units::record(&mut case.recording, change, Some(&normalizer), value).unwrap();
        case.output(&format!("{change:?}"), changed);
    }
    // Nothing is recorded where nothing changes.
    for nothing in [None, Some(&Normalizer::identity(2))] {
        let same = change_units::record(&mut case.recording, Change::ToData, nothing, value).unwrap();
        assert_eq!(same, value);
    }
    let other = Normalizer::identity(3);
    let shape = Shape::new([3, 2]);
    let error = change_units::record_shaped(&mut case.recording, Change::ToData, &other, value, shape);
    assert!(error.unwrap_err().to_string().contains("rows of 3 numbers"));
    let results = case.run();
    for change in CHANGES {
        let found: Vec<f32> = results.get(&format!("{change:?}"));
        let finite: Vec<bool> = found.iter().map(|v| v.is_finite()).collect();
        assert_eq!(finite, [false, true].repeat(3), "{}: {change:?} {found:?}", adapter.name);
    }
}
