//! Floor 4: contrastive energy prediction.

use std::iter::repeat_n;

use gibbs::Error;
use gibbs::gpu::{Column, DType, DeviceClass, Recording, Shape};
use gibbs::loss::{EnergyTargets, Labels, contrastive_energy_prediction};
use gibbs_reference::loss::contrastive_energy_prediction as reference;

use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, Results, data, every_adapter, wide};

every_adapter!(
    contrastive_equals_the_reference,
    contrastive_stands_energies_far_apart,
    c3_the_contrastive_loss_has_its_published_numbers,
    c10_constants_of_energies_and_outputs,
    labels_that_underflow_leave_nothing,
    references_that_are_too_high_are_not_finite,
    bad_values_spoil_their_group_alone;
    once: groups_that_cannot_be_compared_are_refused,
);

/// Groups and their sizes, walked over by one invocation or strided by 64.
const SHAPES: [(usize, usize); 15] = [
    (1, 2),
    (7, 2),
    (65, 3),
    (257, 7),
    (130, 32),
    (3, 33),
    (1, 63),
    (7, 64),
    (5, 65),
    (3, 257),
    (65, 40),
    (1, 2048),
    (9, 257),
    (1, 129),
    (3, 2047),
];

/// Where energies lie within the tensor that the device gets.
const FIRST: usize = 3;
const STRIDE: usize = 2;

/// Adds the rows of a network and a column among other numbers.
pub fn labeled(case: &mut Case, energy: &[f32], output: &[f32], beta: f64, packed: bool) -> EnergyTargets {
    let rows = output.len();
    let output = match packed {
        true => case.packed("output", rows, 1, output),
        false => case.input("output", [rows, 1], output),
    };
    let mut spread = data(99, FIRST + STRIDE * rows);
    for (at, energy) in energy.iter().enumerate() {
        spread[FIRST + STRIDE * at] = *energy;
    }
    let value = case.input("energy", [spread.len()], &spread);
    let energies = Column { value, first: FIRST, stride: STRIDE, count: rows };
    EnergyTargets { output, energies, beta }
}

fn run(
    adapter: &Adapter,
    label: &str,
    labels: Labels,
    shape: (usize, usize),
    (energy, output): (&[f32], &[f32]),
    beta: f64,
) -> Results {
    run_tuned(adapter, adapter.gpu.capabilities().class, label, labels, shape, (energy, output), beta)
}

fn run_tuned(
    adapter: &Adapter,
    class: DeviceClass,
    label: &str,
    labels: Labels,
    shape: (usize, usize),
    (energy, output): (&[f32], &[f32]),
    beta: f64,
) -> Results {
    let name = format!("contrastive {label} {labels:?} {shape:?} beta {beta} {class:?}");
    let mut case = Case::tuned(adapter, class, name);
    let labeled = labeled(&mut case, energy, output, beta, shape.0 % 2 == 1);
    let written =
        contrastive_energy_prediction::record(&mut case.recording, labels, shape, &labeled).unwrap();
    case.output("loss", written.loss);
    case.output("output_gradient", written.output_gradient);
    case.output("ess", written.ess);
    case.expect_kernels(&["contrastive_energy_prediction"]);
    case.run()
}

fn reference_of(labels: Labels) -> Option<f64> {
    match labels {
        Labels::Normalized => None,
        Labels::Unnormalized { reference } => Some(reference),
    }
}

/// Compares with the reference. Relative errors of labels and shares in units: `exp` of an argument
/// `x` is within `3 + 2 |x|`, and `x` within 1 of itself per operation that made it; sums add the
/// root of their terms.
fn check(
    adapter: &Adapter,
    label: &str,
    labels: Labels,
    shape: (usize, usize),
    (energy, output): (&[f32], &[f32]),
    beta: f64,
) {
    for class in CLASSES {
        let results = run_tuned(adapter, class, label, labels, shape, (energy, output), beta);
        compare(&results, labels, shape, (energy, output), beta);
    }
}

fn compare(
    results: &Results,
    labels: Labels,
    shape: (usize, usize),
    (energy, output): (&[f32], &[f32]),
    beta: f64,
) {
    let (groups, size) = shape;
    let (energy, output) = (wide(energy), wide(output));
    let fixed = reference_of(labels);
    let expected = reference::contrastive_energy_prediction(&energy, &output, size, beta, fixed);
    let sum = (size as f64).sqrt() + 8.0;
    let (mut losses, mut seeds, mut esses) = (Vec::new(), Vec::new(), Vec::new());
    for b in 0..groups {
        let own = b * size..(b + 1) * size;
        let low = |values: &[f64]| values[own.clone()].iter().copied().fold(f64::INFINITY, f64::min);
        let (lowest, deepest) = (low(&energy), low(&output));
        let total: f64 = expected.labels[own.clone()].iter().sum();
        // A total of labels that all underflow stands for 0.
        let weight = |at: usize| if total > 0.0 { expected.labels[at] / total } else { 0.0 };
        let of_label = |at: usize| 3.0 + 4.0 * (beta * (energy[at] - lowest)).min(90.0) + sum;
        let of_share = |at: usize| 3.0 + 3.0 * (output[at] - deepest).min(90.0) + sum;
        let label_sum: f64 = own.clone().map(|at| weight(at) * of_label(at)).sum();
        let share_sum: f64 = own.clone().map(|at| expected.shares[at] * of_share(at)).sum();
        let of_scale =
            fixed.map_or(0.0, |fixed| label_sum + 8.0 + 5.0 * (beta * (lowest - fixed)).abs().min(90.0));
        let scale = if fixed.is_some() { total } else { 1.0 };
        let mut cost = 0.0;
        let mut squares = 0.0;
        for at in own.clone() {
            let (w, p) = (weight(at), expected.shares[at]);
            let errors = w * (of_label(at) + label_sum) + p * (of_share(at) + share_sum) + (w + p) * of_scale;
            // What underflows on the way counts as 0.
            seeds.push((scale * (EPS * (errors + 2.0 * (w + p)) + 1e-37) + 1e-37) / groups as f64);
            let depth = output[at] - deepest + (size as f64).ln();
            cost += w * (depth * (of_label(at) + label_sum + of_scale + 4.0) + share_sum + 8.0);
            squares += w * w * 2.0 * (of_label(at) + label_sum);
        }
        losses.push(scale * EPS * (cost + sum) + 1e-35);
        esses.push(EPS * expected.ess[b] * (squares * expected.ess[b] + 8.0));
    }
    results.expect("loss", &results.get("loss"), &expected.loss, &losses[..]);
    results.expect("ess", &results.get("ess"), &expected.ess, &esses[..]);
    let seed = results.packed("output_gradient");
    results.expect("output_gradient", &seed, &expected.output_gradient, &seeds[..]);
    for (b, row) in seed.chunks_exact(size).enumerate() {
        let total: f64 = row.iter().map(|v| f64::from(*v)).sum();
        let bound: f64 = seeds[b * size..(b + 1) * size].iter().sum();
        assert!(total.abs() <= bound, "seeds of group {b} sum to {total:e}, bound {bound:e}");
    }
}

const BOTH: [Labels; 2] = [Labels::Normalized, Labels::Unnormalized { reference: -0.75 }];

fn contrastive_equals_the_reference(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let n = shape.0 * shape.1;
        let factor = [1.0, 5.0, 20.0][index % 3];
        let output: Vec<f32> = data(41, n).iter().map(|v| factor * v - 2.0).collect();
        for labels in BOTH {
            for beta in [0.0, 0.75, 3.0, 20.0] {
                check(adapter, "ordinary", labels, shape, (&data(42, n), &output), beta);
            }
        }
    }
}

/// Sums and differences of these are exact in f32, so that the reference decides ties as the device
/// does.
fn contrastive_stands_energies_far_apart(adapter: &Adapter) {
    for shape in [(3, 2), (5, 17), (7, 65), (3, 257)] {
        let n = shape.0 * shape.1;
        for values in [[1e30f32, -1e30, 0.0], [1e30, 1e30, 0.0], [-1e30, -1e30, 0.0], [1e30, 1e30, 1e30]] {
            let pick = |seed| data(seed, n).iter().map(|v| values[(v.abs() * 3.0) as usize % 3]).collect();
            let (energy, output): (Vec<f32>, Vec<f32>) = (pick(43), pick(44));
            for beta in [1.0, 1024.0] {
                check(adapter, "huge", Labels::Normalized, shape, (&energy, &output), beta);
            }
        }
        // From certain to hopeless in steps of 16.
        let energy: Vec<f32> = (0..n).map(|at| 16.0 * ((at * 7 % 23) as f32)).collect();
        let output: Vec<f32> = (0..n).map(|at| 8.0 * ((at * 5 % 19) as f32 - 9.0)).collect();
        for labels in [Labels::Normalized, Labels::Unnormalized { reference: 32.0 }] {
            check(adapter, "apart", labels, shape, (&energy, &output), 0.5);
        }
    }
}

fn c3_the_contrastive_loss_has_its_published_numbers(adapter: &Adapter) {
    // To f = -output: loss, gradient.
    let known = [
        (Labels::Normalized, 0.861540701, [-0.118691569, 0.086770489, 0.031921079]),
        (Labels::Unnormalized { reference: 0.0 }, 1.295080667, [-0.178418913, 0.130434677, 0.047984236]),
    ];
    for (labels, loss, gradient) in known {
        let results = run(adapter, "c3", labels, (1, 3), (&[0.0, 1.0, 2.0], &[-0.5, 0.0, 1.0]), 1.0);
        results.expect("loss", &results.get("loss"), &[loss], |_: usize| 1e-6);
        results.expect(
            "gradient",
            &results.packed("output_gradient"),
            &gradient.map(|g: f64| -g),
            |_: usize| 3e-7,
        );
    }
}

/// The gradient of E_t stays, because outputs are learnt up to a constant: loss and gradient see
/// neither constant, but for the scale of unnormalized labels.
fn c10_constants_of_energies_and_outputs(adapter: &Adapter) {
    for shape in [(5, 7), (3, 65)] {
        let n = shape.0 * shape.1;
        // Multiples of 1/64, so that sums with the constants are exact.
        let coarse = |seed| -> Vec<f32> { data(seed, n).iter().map(|v| (v * 64.0).round() / 64.0).collect() };
        let add = |values: &[f32], constant: f32| values.iter().map(|v| v + constant).collect::<Vec<f32>>();
        let (energy, output) = (coarse(45), coarse(46));
        let (beta, constant) = (1.5, 2.0);
        for labels in BOTH {
            let read = |energy: &[f32], output: &[f32]| {
                let results = run(adapter, "c10", labels, shape, (energy, output), beta);
                let both = [results.get("loss"), results.packed("output_gradient")].concat();
                (results, both)
            };
            let (_, plain) = read(&energy, &output);
            let (results, moved) = read(&energy, &add(&output, 1024.0));
            results.expect("outputs moved", &moved, &wide(&plain), |_: usize| 0.0);
            let (results, shifted) = read(&add(&energy, constant as f32), &output);
            let factor = reference_of(labels).map_or(1.0, |_| (-beta * constant).exp());
            let expected: Vec<f64> = plain.iter().map(|v| factor * f64::from(*v)).collect();
            let bound = if factor == 1.0 { 0.0 } else { 40.0 * EPS };
            results.expect("energies shifted", &shifted, &expected, |at: usize| bound * expected[at].abs());
        }
    }
}

fn labels_that_underflow_leave_nothing(adapter: &Adapter) {
    for shape in [(3, 5), (3, 65)] {
        let n = shape.0 * shape.1;
        // The middle group reaches the reference.
        let energy: Vec<f32> =
            data(47, n).iter().enumerate().map(|(at, v)| v.abs() + f32::from(at / shape.1 != 1)).collect();
        let labels = Labels::Unnormalized { reference: 0.0 };
        let results = run(adapter, "underflow", labels, shape, (&energy, &data(48, n)), 1e4);
        let (loss, seed): (Vec<f32>, _) = (results.get("loss"), results.packed("output_gradient"));
        assert_eq!((loss[0], loss[2]), (0.0, 0.0));
        assert!(seed[..shape.1].iter().chain(&seed[2 * shape.1..]).all(|&seed| seed == 0.0));
        assert!(results.get::<f32>("ess").iter().all(|&ess| (1.0..1.001).contains(&ess)));
        // Normalized labels leave the lowest energy its whole weight.
        let results = run(adapter, "underflow", Labels::Normalized, shape, (&energy, &data(48, n)), 1e4);
        assert!(results.get::<f32>("loss").iter().all(|&loss| loss > 0.1));
    }
}

fn references_that_are_too_high_are_not_finite(adapter: &Adapter) {
    for size in [5, 65] {
        let (mut energy, output) = (data(49, 3 * size), data(50, 3 * size));
        energy[size + 1] = -63.9;
        energy[2 * size + 3] = -64.1;
        let labels = Labels::Unnormalized { reference: 0.0 };
        let results = run(adapter, "reference", labels, (3, size), (&energy, &output), 1.0);
        let finite = |values: Vec<f32>| values.iter().map(|v| v.is_finite()).collect::<Vec<_>>();
        assert_eq!(finite(results.get("loss")), [true, true, false]);
        assert_eq!(finite(results.get("ess")), [true, true, false]);
        let expected: Vec<bool> = repeat_n(true, 2 * size).chain(repeat_n(false, size)).collect();
        assert_eq!(finite(results.packed("output_gradient")), expected);
    }
}

fn bad_values_spoil_their_group_alone(adapter: &Adapter) {
    for size in [5, 65] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e36, -2e36] {
            for labels in BOTH {
                for of_energy in [true, false] {
                    let (mut energy, mut output) = (data(51, 3 * size), data(52, 3 * size));
                    let spoilt = if of_energy { &mut energy } else { &mut output };
                    spoilt[size + 2] = bad;
                    let results = run(adapter, "bad", labels, (3, size), (&energy, &output), 2.0);
                    let finite = |values: Vec<f32>| values.iter().map(|v| v.is_finite()).collect::<Vec<_>>();
                    assert_eq!(finite(results.get("loss")), [true, false, true]);
                    assert_eq!(finite(results.get("ess")), [true, false, true]);
                    let seeds = finite(results.packed("output_gradient"));
                    assert!(
                        seeds.chunks(size).enumerate().all(|(b, row)| row.iter().all(|f| *f == (b != 1)))
                    );
                }
            }
        }
    }
}

fn groups_that_cannot_be_compared_are_refused() {
    let mut recording = Recording::new("refused");
    let mut slot = |name: &str, shape: Shape| recording.slot(name, DType::F32, shape).unwrap();
    let (output, short) = (slot("output", Shape::packed(12, 1)), slot("short", [11].into()));
    let energy = slot("energy", [12].into());
    let good = EnergyTargets { output, energies: Column::all(&recording, energy).unwrap(), beta: 2.0 };
    let beta = |beta| EnergyTargets { beta, ..good };
    let count = EnergyTargets { energies: Column { count: 11, ..good.energies }, ..good };
    let outside = EnergyTargets { energies: Column { value: short, ..good.energies }, ..good };
    let named = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error}");
    let labels = Labels::Normalized;
    for (shape, labeled, words) in [
        ((12, 1), good, "2 to 32768 samples"),
        ((0, 12), good, "2 to 32768 samples"),
        ((1, 40_000), good, "2 to 32768 samples"),
        ((3, 5), good, "one energy per sample"),
        ((3, 4), count, "one per sample"),
        ((3, 4), outside, "column"),
        ((3, 4), beta(-1.0), "beta"),
        ((3, 4), beta(f64::NAN), "beta"),
        ((3, 4), beta(1e60), "beta"),
    ] {
        named(
            contrastive_energy_prediction::record(&mut recording, labels, shape, &labeled).unwrap_err(),
            words,
        );
    }
    for reference in [f64::NAN, f64::INFINITY, -1e37] {
        let labels = Labels::Unnormalized { reference };
        named(
            contrastive_energy_prediction::record(&mut recording, labels, (3, 4), &good).unwrap_err(),
            "reference",
        );
    }
    assert!(recording.is_empty());
    contrastive_energy_prediction::record(&mut recording, labels, (3, 4), &good).unwrap();
}
