//! Inputs of networks: packing, normalization, Fourier features, and their gradients.

use gibbs::gpu::Shape;
use gibbs::nn::passes::{fourier_features, fourier_gradient, pack_inputs, unpack_gradient};
use gibbs::nn::{Fourier, FourierColumns, Normalizer};
use gibbs::testing::Bound;
use gibbs_reference::nn as reference;

use super::SHAPES;
use crate::EPS;
use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    pack_inputs_normalizes_and_zeroes_its_padding,
    unpack_gradient_scales,
    fourier_features_keep_their_accuracy,
    c19_fourier_features_of_diffusion_times,
    fourier_features_are_finite_for_every_finite_input,
    fourier_features_normalize_and_keep_the_input,
    fourier_gradient_equals_the_reference,
);

fn normalizer(width: usize) -> Normalizer {
    let scale = data(71, width).iter().map(|v| 1.5 + v).collect();
    Normalizer { shift: data(70, width), scale }
}

fn pack_inputs_normalizes_and_zeroes_its_padding(adapter: &Adapter) {
    for (rows, width) in SHAPES {
        let normalizer = normalizer(width);
        let values = data(1, rows * width);
        let mut case = Case::new(adapter, format!("pack {rows}x{width}"));
        let x = case.input("x", [rows, width], &values);
        let out = pack_inputs::record(&mut case.recording, x, &normalizer).unwrap();
        case.output("out", out);
        case.expect_kernels(&["pack_inputs"]);
        let results = case.run();
        let expected =
            reference::pack_inputs(&wide(&values), &wide(&normalizer.shift), &wide(&normalizer.scale));
        // A difference and a product.
        let bound = |at: usize| {
            let j = at % width;
            2.0 * EPS * f64::from((values[at].abs() + normalizer.shift[j].abs()) * normalizer.scale[j])
        };
        results.expect("out", &results.packed("out"), &expected, bound);
    }
}

fn unpack_gradient_scales(adapter: &Adapter) {
    for (rows, width) in SHAPES {
        let normalizer = normalizer(width);
        let values = data(2, rows * width);
        let mut case = Case::new(adapter, format!("unpack {rows}x{width}"));
        let dz = case.packed("dz", rows, width, &values);
        let shape = Shape::new([rows, 1, width]);
        let out = unpack_gradient::record(&mut case.recording, dz, &normalizer, shape).unwrap();
        case.output("dx", out);
        case.expect_kernels(&["unpack_gradient"]);
        let results = case.run();
        let expected = reference::unpack_gradient(&wide(&values), &wide(&normalizer.scale));
        results.expect("dx", &results.get("dx"), &expected, Bound::relative(EPS, 0.0));
    }
}

/// Times in 0 to 1 and their negatives, the ends among them, and frequencies up to 100.
fn times(rows: usize, width: usize) -> Vec<f32> {
    let mut values = data(72, rows * width);
    let edges = [0.0, 1.0, -1.0, 0.5, 0.25, -0.125, 1e-30, -1e-7, 0.999_999_94, f32::MIN_POSITIVE];
    values.iter_mut().step_by(3).zip(edges).for_each(|(value, edge)| *value = edge);
    values
}

fn frequencies(width: usize, count: usize) -> Vec<f32> {
    let mut values: Vec<f32> = data(73, width * count).iter().map(|v| 100.0 * v).collect();
    let edges = [100.0, -100.0, 0.0, 1.0, 99.999_99, 1e-3];
    values.iter_mut().step_by(2).zip(edges).for_each(|(value, edge)| *value = edge);
    values
}

fn fourier_features_keep_their_accuracy(adapter: &Adapter) {
    for (rows, width, count) in [
        (1, 1, 1),
        (7, 1, 7),
        (63, 1, 64),
        (64, 2, 3),
        (65, 3, 65),
        (257, 5, 6),
        (257, 7, 33),
        (1025, 1, 257),
    ] {
        let fourier = Fourier { frequencies: frequencies(width, count), ..Fourier::new(vec![0.0; count]) };
        let values = times(rows, width);
        let identity = Normalizer::identity(width);
        let mut case = Case::new(adapter, format!("Fourier features {rows}x{width}x{count}"));
        let x = case.input("x", [rows, width], &values);
        let out = fourier_features::record(&mut case.recording, x, &identity, &fourier).unwrap();
        case.output("out", out);
        case.expect_kernels(&["fourier_features"]);
        let results = case.run();
        let expected = reference::fourier_features(
            &wide(&values),
            &wide(&identity.shift),
            &wide(&identity.scale),
            &wide(&fourier.frequencies),
            0,
        );
        results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 5e-7));
    }
}

/// C19: times in [0, 1] and frequencies up to 100 turns per unit; asked is 1e-4 of f64.
fn c19_fourier_features_of_diffusion_times(adapter: &Adapter) {
    let values: Vec<f32> = (0..=1000).map(|at| at as f32 / 1000.0).collect();
    let random = Fourier::gaussian(1, 16, 30.0, 1).frequencies;
    let fourier = Fourier::new(random.into_iter().chain([100.0, -100.0, 99.99, 1e-3]).collect());
    assert!(fourier.frequencies.iter().all(|frequency| frequency.abs() <= 100.0));
    let mut case = Case::new(adapter, "Fourier features of times");
    let x = case.input("x", [values.len(), 1], &values);
    let out = fourier_features::record(&mut case.recording, x, &Normalizer::identity(1), &fourier).unwrap();
    case.output("out", out);
    let results = case.run();
    let expected =
        reference::fourier_features(&wide(&values), &[0.0], &[1.0], &wide(&fourier.frequencies), 0);
    results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 1e-4));
}

fn fourier_features_are_finite_for_every_finite_input(adapter: &Adapter) {
    let edges = [0.0, f32::MIN_POSITIVE, 1e-20, 1e-3, 0.3, 1.0, 4097.3, 1.6e7, 2.9e9, 1e20, 3e30, f32::MAX];
    let values: Vec<f32> = edges.iter().flat_map(|&v| [v, -v]).collect();
    let fourier = Fourier::new(values.clone());
    let mut case = Case::new(adapter, "Fourier features far out");
    let x = case.input("x", [values.len(), 1], &values);
    let out = fourier_features::record(&mut case.recording, x, &Normalizer::identity(1), &fourier).unwrap();
    case.output("out", out);
    // Products of 1e36 and more overflow in the normalizer: any finite feature will do.
    let wild = Normalizer { shift: vec![-f32::MAX], scale: vec![1e36] };
    let out = fourier_features::record(&mut case.recording, x, &wild, &fourier).unwrap();
    case.output("wild", out);
    let stray = case.input("stray", [3, 2], &[1.0, 0.5, f32::NAN, 0.5, 0.5, f32::INFINITY]);
    let fusable = Fourier { frequencies: vec![1.0, 2.0], ..Fourier::new(vec![0.0; 1]) };
    let out =
        fourier_features::record(&mut case.recording, stray, &Normalizer::identity(2), &fusable).unwrap();
    case.output("strays", out);
    let results = case.run();
    // Exact at any size: products of two f32 are exact in f64, and so is their remainder.
    let at = wide(&values);
    let expected = reference::fourier_features(&at, &[0.0], &[1.0], &at, 0);
    results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 5e-7));
    assert!(results.packed("wild").iter().all(|v| v.abs() <= 1.000_001), "{}", adapter.name);
    let strays: Vec<f32> = results.get("strays");
    let finite: Vec<bool> =
        strays.chunks_exact(4).map(|row| row[..2].iter().all(|v| v.is_finite())).collect();
    assert_eq!(finite, [true, false, false], "{}: a non-finite input must show", adapter.name);
}

fn fourier_features_normalize_and_keep_the_input(adapter: &Adapter) {
    for (rows, width) in SHAPES.into_iter().filter(|(_, width)| *width < 100) {
        let normalizer = normalizer(width);
        let count = 1 + rows % 5;
        let fourier = Fourier::gaussian(width, count, 2.0, 9).with_columns(FourierColumns::FeaturesAndInput);
        let values = data(74, rows * width);
        let mut case = Case::new(adapter, format!("Fourier features with input {rows}x{width}x{count}"));
        let x = case.input("x", [rows, 1, width], &values);
        let out = fourier_features::record(&mut case.recording, x, &normalizer, &fourier).unwrap();
        case.output("out", out);
        let results = case.run();
        let matrix = wide(&fourier.frequencies);
        let (shift, scale) = (wide(&normalizer.shift), wide(&normalizer.scale));
        let expected = reference::fourier_features(&wide(&values), &shift, &scale, &matrix, width);
        // The normalizer's difference and product round, and the frequency multiplies that.
        let rounding = |i: usize, row: usize| {
            2.0 * EPS * (wide(&values)[row * width + i].abs() + shift[i].abs()) * scale[i]
        };
        let encoded = 2 * count + width;
        let bounds: Vec<f64> = (0..rows * encoded)
            .map(|at| match (at / encoded, at % encoded) {
                (row, j) if j >= 2 * count => rounding(j - 2 * count, row),
                (row, j) => {
                    let moved = |i: usize| matrix[i * count + j / 2].abs() * rounding(i, row);
                    5e-7 + std::f64::consts::TAU * (0..width).map(moved).sum::<f64>()
                }
            })
            .collect();
        results.expect("out", &results.packed("out"), &expected, |at: usize| bounds[at]);
    }
}

fn fourier_gradient_equals_the_reference(adapter: &Adapter) {
    for (index, (rows, width)) in SHAPES.into_iter().enumerate() {
        let normalizer = normalizer(width);
        let count = [1, 7, 64, 33, 5, 65, 2, 257, 3][index];
        let columns = [FourierColumns::Features, FourierColumns::FeaturesAndInput][index % 2];
        let kept = if index % 2 == 0 { 0 } else { width };
        let fourier = Fourier { frequencies: frequencies(width, count), count, columns };
        let encoded = 2 * count + kept;
        let (dz, features) = (data(75, rows * encoded), data(76, rows * encoded));
        let mut case = Case::new(adapter, format!("Fourier gradient {rows}x{width}x{count}"));
        let seed = case.packed("dz", rows, encoded, &dz);
        let given = case.packed("features", rows, encoded, &features);
        let shape = Shape::new([rows, 1, width]);
        let recording = &mut case.recording;
        let dx = fourier_gradient::record(recording, seed, given, &normalizer, &fourier, shape).unwrap();
        case.output("dx", dx);
        case.expect_kernels(&["fourier_gradient"]);
        let results = case.run();
        let (scale, matrix) = (wide(&normalizer.scale), wide(&fourier.frequencies));
        let expected = reference::fourier_gradient(&wide(&dz), &wide(&features), &scale, &matrix, kept);
        let bound = Bound::sum(&expected.magnitude, 2 * count + 4);
        results.expect("dx", &results.get("dx"), &expected.value, bound);
    }
}
