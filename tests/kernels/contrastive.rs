//! Floor 4: contrastive energy prediction and the regressions it is compared with.

use std::iter::repeat_n;

use gibbs::energy::{
    GuidanceGradient, GuidanceObjective, Labelled, Labels, Regression, TimedGroups, contrastive,
    energy_regression, record_guidance_gradient,
};
use gibbs::gpu::{
    Bindings, Column, DType, DeviceClass, MetricsRing, Recording, RunState, Shape, StepReport, Tensor,
};
use gibbs::nn::{
    ACTION, Activation, AdamOptions, CONTEXT, FlatGradient, Input, Model, Network, Optimiser, TIME,
    WatchedLoss,
};
use gibbs::{Error, Gpu};
use gibbs_reference::energy::{contrastive as reference, energy_regression as regression_reference};

use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, Results, data, every_adapter, lavapipe, poisoned, say, wide};

every_adapter!(
    contrastive_equals_the_reference,
    contrastive_stands_energies_far_apart,
    c3_the_contrastive_loss_has_its_published_numbers,
    c10_constants_of_energies_and_outputs,
    labels_that_underflow_leave_nothing,
    references_that_are_too_high_are_not_finite,
    bad_values_spoil_their_group_alone,
    regressions_equal_the_reference,
    regressions_clamp_their_exponents,
    bad_values_spoil_their_row_alone,
    a_descent_step_lowers_every_loss,
    energies_that_are_not_finite_stop_the_step;
    once: what_cannot_be_learnt_from_is_refused;
    long: c9_labels_have_the_bias_of_their_group_size,
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
fn labelled(case: &mut Case, energy: &[f32], output: &[f32], beta: f64, packed: bool) -> Labelled {
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
    Labelled { output, energies, beta }
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
    let labelled = labelled(&mut case, energy, output, beta, shape.0 % 2 == 1);
    let written = contrastive::record(&mut case.recording, labels, shape, &labelled).unwrap();
    case.output("loss", written.loss);
    case.output("seed", written.seed);
    case.output("ess", written.ess);
    case.expect_kernels(&["contrastive"]);
    case.run()
}

fn reference_of(labels: Labels) -> Option<f64> {
    match labels {
        Labels::Normalised => None,
        Labels::Unnormalised { reference } => Some(reference),
    }
}

/// Compares with the reference. Relative errors of labels and shares in units: `exp` of an argument `x` is within
/// `3 + 2 |x|`, and `x` within 1 of itself per operation that made it; sums add the root of their terms.
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
    let expected = reference::contrastive(&energy, &output, size, beta, fixed);
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
    let seed = results.packed("seed");
    results.expect("seed", &seed, &expected.seed, &seeds[..]);
    for (b, row) in seed.chunks_exact(size).enumerate() {
        let total: f64 = row.iter().map(|v| f64::from(*v)).sum();
        let bound: f64 = seeds[b * size..(b + 1) * size].iter().sum();
        assert!(total.abs() <= bound, "seeds of group {b} sum to {total:e}, bound {bound:e}");
    }
}

const BOTH: [Labels; 2] = [Labels::Normalised, Labels::Unnormalised { reference: -0.75 }];

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

/// Sums and differences of these are exact in f32, so that the reference decides ties as the device does.
fn contrastive_stands_energies_far_apart(adapter: &Adapter) {
    for shape in [(3, 2), (5, 17), (7, 65), (3, 257)] {
        let n = shape.0 * shape.1;
        for values in [[1e30f32, -1e30, 0.0], [1e30, 1e30, 0.0], [-1e30, -1e30, 0.0], [1e30, 1e30, 1e30]] {
            let pick = |seed| data(seed, n).iter().map(|v| values[(v.abs() * 3.0) as usize % 3]).collect();
            let (energy, output): (Vec<f32>, Vec<f32>) = (pick(43), pick(44));
            for beta in [1.0, 1024.0] {
                check(adapter, "huge", Labels::Normalised, shape, (&energy, &output), beta);
            }
        }
        // From certain to hopeless in steps of 16.
        let energy: Vec<f32> = (0..n).map(|at| 16.0 * ((at * 7 % 23) as f32)).collect();
        let output: Vec<f32> = (0..n).map(|at| 8.0 * ((at * 5 % 19) as f32 - 9.0)).collect();
        for labels in [Labels::Normalised, Labels::Unnormalised { reference: 32.0 }] {
            check(adapter, "apart", labels, shape, (&energy, &output), 0.5);
        }
    }
}

fn c3_the_contrastive_loss_has_its_published_numbers(adapter: &Adapter) {
    // To f = -output: loss, gradient.
    let known = [
        (Labels::Normalised, 0.861540701, [-0.118691569, 0.086770489, 0.031921079]),
        (Labels::Unnormalised { reference: 0.0 }, 1.295080667, [-0.178418913, 0.130434677, 0.047984236]),
    ];
    for (labels, loss, gradient) in known {
        let results = run(adapter, "c3", labels, (1, 3), (&[0.0, 1.0, 2.0], &[-0.5, 0.0, 1.0]), 1.0);
        results.expect("loss", &results.get("loss"), &[loss], |_: usize| 1e-6);
        results.expect("gradient", &results.packed("seed"), &gradient.map(|g: f64| -g), |_: usize| 3e-7);
    }
}

/// The gradient of E_t stays, because outputs are learnt up to a constant: loss and gradient see neither constant, but for the
/// scale of unnormalised labels.
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
                let both = [results.get("loss"), results.packed("seed")].concat();
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
        let labels = Labels::Unnormalised { reference: 0.0 };
        let results = run(adapter, "underflow", labels, shape, (&energy, &data(48, n)), 1e4);
        let (loss, seed): (Vec<f32>, _) = (results.get("loss"), results.packed("seed"));
        assert_eq!((loss[0], loss[2]), (0.0, 0.0));
        assert!(seed[..shape.1].iter().chain(&seed[2 * shape.1..]).all(|&seed| seed == 0.0));
        assert!(results.get::<f32>("ess").iter().all(|&ess| (1.0..1.001).contains(&ess)));
        // Normalised labels leave the lowest energy its whole weight.
        let results = run(adapter, "underflow", Labels::Normalised, shape, (&energy, &data(48, n)), 1e4);
        assert!(results.get::<f32>("loss").iter().all(|&loss| loss > 0.1));
    }
}

fn references_that_are_too_high_are_not_finite(adapter: &Adapter) {
    for size in [5, 65] {
        let (mut energy, output) = (data(49, 3 * size), data(50, 3 * size));
        energy[size + 1] = -63.9;
        energy[2 * size + 3] = -64.1;
        let labels = Labels::Unnormalised { reference: 0.0 };
        let results = run(adapter, "reference", labels, (3, size), (&energy, &output), 1.0);
        let finite = |values: Vec<f32>| values.iter().map(|v| v.is_finite()).collect::<Vec<_>>();
        assert_eq!(finite(results.get("loss")), [true, true, false]);
        assert_eq!(finite(results.get("ess")), [true, true, false]);
        let expected: Vec<bool> = repeat_n(true, 2 * size).chain(repeat_n(false, size)).collect();
        assert_eq!(finite(results.packed("seed")), expected);
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
                    let seeds = finite(results.packed("seed"));
                    assert!(
                        seeds.chunks(size).enumerate().all(|(b, row)| row.iter().all(|f| *f == (b != 1)))
                    );
                }
            }
        }
    }
}

fn regress(adapter: &Adapter, regression: Regression, energy: &[f32], output: &[f32], beta: f64) -> Results {
    let rows = output.len();
    let mut case = Case::new(adapter, format!("{regression:?} {rows} beta {beta}"));
    let labelled = labelled(&mut case, energy, output, beta, rows % 2 == 1);
    let written = energy_regression::record(&mut case.recording, regression, rows, &labelled).unwrap();
    case.output("loss", written.loss);
    case.output("seed", written.seed);
    case.expect_kernels(&["energy_regression"]);
    case.run()
}

fn check_regression(adapter: &Adapter, regression: Regression, energy: &[f32], output: &[f32], beta: f64) {
    let results = regress(adapter, regression, energy, output, beta);
    let fixed = match regression {
        Regression::Energy => None,
        Regression::Exponential { reference } => Some(reference),
    };
    let (energy, output) = (wide(energy), wide(output));
    let (losses, seeds) = regression_reference(&energy, &output, beta, fixed);
    // Error and size of the residual and of what it is multiplied with.
    let parts = |at: usize| match fixed {
        None => {
            let target = beta * energy[at];
            (3.0 * (target.abs() + output[at].abs()), 1.0, (output[at] - target).abs())
        }
        Some(reference) => {
            let f = -output[at];
            let (model, exponent) = (f.min(40.0).exp(), -beta * (energy[at] - reference));
            let target = exponent.min(4.0).exp();
            let of = |value: f64, x: f64| value * (4.0 + 4.0 * x.abs().min(90.0));
            let slope = model * (5.0 + 2.0 * f.abs().min(90.0));
            (of(model, f) + of(target, exponent) + 1e-30, slope, (model - target).abs())
        }
    };
    let bound = |at: usize| {
        let (error, _, residual) = parts(at);
        EPS * (2.0 * residual * error + EPS * error * error + 4.0 * residual * residual) + 1e-36
    };
    results.expect("loss", &results.get("loss"), &losses, bound);
    let bound = |at: usize| {
        let (error, slope, residual) = parts(at);
        (EPS * (2.0 * slope * (error + residual)) + 1e-36) / output.len() as f64 + 4.0 * EPS * seeds[at].abs()
    };
    results.expect("seed", &results.packed("seed"), &seeds, bound);
}

const REGRESSIONS: [Regression; 2] = [Regression::Energy, Regression::Exponential { reference: -0.75 }];

fn regressions_equal_the_reference(adapter: &Adapter) {
    for rows in [1, 7, 63, 64, 65, 257] {
        let output: Vec<f32> = data(53, rows).iter().map(|v| 3.0 * v).collect();
        for regression in REGRESSIONS {
            for beta in [0.0, 0.75, 3.0, 20.0] {
                check_regression(adapter, regression, &data(54, rows), &output, beta);
            }
        }
    }
}

fn regressions_clamp_their_exponents(adapter: &Adapter) {
    // Exponents of the model on both sides of 40, far below, and ordinary; of the target beyond 4 and below -100.
    let output = [-39.0f32, -41.0, -2e5, 95.0, 2e5, -0.5, 0.25];
    let energy = [-3.0f32, -5.0, -2e5, 99.0, 2e5, 101.0, 0.5];
    let regression = Regression::Exponential { reference: 0.0 };
    check_regression(adapter, regression, &energy, &output, 1.0);
    let results = regress(adapter, regression, &energy, &output, 1.0);
    let seeds = results.packed("seed");
    assert!(seeds[0] < 0.0 && seeds[1] == 0.0 && seeds[2] == 0.0, "{seeds:?}");
}

fn bad_values_spoil_their_row_alone(adapter: &Adapter) {
    for regression in REGRESSIONS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e36] {
            for of_energy in [true, false] {
                let (mut energy, mut output) = (data(55, 7), data(56, 7));
                if of_energy {
                    energy[4] = bad
                } else {
                    output[4] = bad
                }
                let results = regress(adapter, regression, &energy, &output, 2.0);
                for values in [results.get::<f32>("loss"), results.packed("seed")] {
                    assert!(
                        values.iter().enumerate().all(|(at, v)| v.is_finite() == (at != 4)),
                        "{values:?}"
                    );
                }
            }
        }
    }
    // The square of a residual that f32 cannot hold.
    let results = regress(adapter, Regression::Energy, &[1e20, 1.0], &[0.0, 0.5], 1.0);
    let loss: Vec<f32> = results.get("loss");
    assert!(!loss[0].is_finite() && loss[1] == 0.25, "{loss:?}");
}

const OBJECTIVES: [GuidanceObjective; 4] = [
    GuidanceObjective::Contrastive { labels: Labels::Normalised },
    GuidanceObjective::Contrastive { labels: Labels::Unnormalised { reference: -1.0 } },
    GuidanceObjective::Mse,
    GuidanceObjective::ExponentialMse { reference: -1.0 },
];

/// Seven groups of nine samples in the plane, with contexts of three numbers.
const GROUPS: usize = 7;
const SIZE: usize = 9;

/// A small network, its samples, and the recording of an objective's gradient.
struct Lesson {
    gpu: Gpu,
    model: Model,
    run: RunState,
    recording: Recording,
    bindings: Bindings,
    gradient: GuidanceGradient,
}

impl Lesson {
    fn new(gpu: &Gpu, objective: GuidanceObjective, energy: &[f32]) -> Self {
        let inputs = vec![Input::new(ACTION, 2), Input::new(TIME, 1), Input::new(CONTEXT, 3)];
        let network = Network::mlp(inputs, &[16, 16], Activation::Silu, 1);
        let run = RunState::at(gpu, 5, 0).unwrap();
        let model = Model::new(gpu, "energy", network, &run).unwrap();
        let mut recording = Recording::tuned("lesson", gpu.target());
        let mut bindings = model.bindings();
        let mut input = |label: &str, shape: Shape, values: &[f32]| {
            bindings.insert(label, &Tensor::from_slice(gpu, label, shape.clone(), values).unwrap());
            recording.slot(label, DType::F32, shape).unwrap()
        };
        let x = input("x", [GROUPS, SIZE, 2].into(), &data(61, GROUPS * SIZE * 2));
        let time = input("time", [GROUPS, 1].into(), &data(62, GROUPS));
        let context = input("context", [GROUPS, 3].into(), &data(63, GROUPS * 3));
        let energy = input("energies", [GROUPS, SIZE].into(), energy);
        let groups = TimedGroups::new(&recording, x, time, Some(context)).unwrap();
        let energies = Column::all(&recording, energy).unwrap();
        let gradient =
            record_guidance_gradient(&mut recording, objective, &model, &groups, energies, 1.5).unwrap();
        Self { gpu: gpu.clone(), model, run, recording, bindings, gradient }
    }
}

/// The mean loss falls by the step times the square of the gradient's norm, to first order.
fn a_descent_step_lowers_every_loss(adapter: &Adapter) {
    for objective in OBJECTIVES {
        let mut lesson = Lesson::new(&adapter.gpu, objective, &data(64, GROUPS * SIZE));
        let contrastive = matches!(objective, GuidanceObjective::Contrastive { .. });
        assert_eq!(lesson.gradient.ess.is_some(), contrastive);
        assert_eq!(lesson.gradient.loss.count, if contrastive { GROUPS } else { GROUPS * SIZE });
        let FlatGradient::Whole(gradient) = lesson.gradient.gradient else { panic!("{objective:?}") };
        let mut outputs = Vec::new();
        for (label, value) in [("loss", lesson.gradient.loss.value), ("gradient", gradient)] {
            let shape = lesson.recording.shape(value).unwrap().clone();
            lesson.recording.expose(value, label).unwrap();
            let tensor = poisoned(&lesson.gpu, label, DType::F32, shape);
            lesson.bindings.insert(label, &tensor);
            outputs.push(tensor);
        }
        let plan = lesson.recording.compile(&lesson.gpu, &lesson.bindings).unwrap();
        let evaluate = || {
            plan.run(1).unwrap();
            let loss: Vec<f32> = lesson.gpu.read(&outputs[0]).unwrap();
            let mean = loss.iter().map(|v| f64::from(*v)).sum::<f64>() / loss.len() as f64;
            (mean, lesson.gpu.read::<f32>(&outputs[1]).unwrap())
        };
        let (before, gradient) = evaluate();
        let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let step = 1e-3 / square.sqrt();
        let old: Vec<f32> = lesson.gpu.read(lesson.model.parameters()).unwrap();
        let new: Vec<f32> =
            old.iter().zip(&gradient).map(|(p, g)| (f64::from(*p) - step * f64::from(*g)) as f32).collect();
        lesson.model.set_parameters(&lesson.gpu, &new).unwrap();
        let (after, _) = evaluate();
        let ratio = (before - after) / (step * square);
        assert!((0.97..1.03).contains(&ratio), "{objective:?}: {before} to {after}, ratio {ratio}");
    }
}

fn energies_that_are_not_finite_stop_the_step(adapter: &Adapter) {
    for objective in OBJECTIVES {
        for bad in [Some(f32::NAN), Some(f32::NEG_INFINITY), None] {
            let mut energy = data(64, GROUPS * SIZE);
            energy[SIZE + 2] = bad.unwrap_or(0.5);
            let Lesson { gpu, model, run, mut recording, bindings, gradient } =
                Lesson::new(&adapter.gpu, objective, &energy);
            let optimiser = Optimiser::new(&gpu, &model, AdamOptions::default()).unwrap();
            let ring = MetricsRing::new(&gpu, &["loss", "norm"], 0).unwrap();
            let watched = WatchedLoss { losses: gradient.loss, metric: ring.slot("loss").unwrap() };
            let norm = ring.slot("norm").unwrap();
            let prepared = optimiser
                .record_watched_step(&mut recording, &model, gradient.gradient, norm, Some(watched))
                .unwrap();
            let report = StepReport { prepared, loss: Some("loss"), norm: "norm" };
            ring.record_finish(&mut recording, &[report], None).unwrap();
            let before: Vec<f32> = gpu.read(model.parameters()).unwrap();
            let all = bindings.merge(&optimiser.bindings()).merge(&ring.bindings()).merge(&run.bindings());
            recording.compile(&gpu, &all).unwrap().run(1).unwrap();
            let after: Vec<f32> = gpu.read(model.parameters()).unwrap();
            match bad {
                None => ring.check_latch().unwrap(),
                Some(_) => {
                    let error = ring.check_latch().unwrap_err();
                    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
                    assert!(error.to_string().contains("loss"), "{error}");
                }
            }
            assert_eq!(before == after, bad.is_some(), "{objective:?} {bad:?}");
        }
    }
}

fn what_cannot_be_learnt_from_is_refused() {
    let mut recording = Recording::new("refused");
    let mut slot = |name: &str, shape: Shape| recording.slot(name, DType::F32, shape).unwrap();
    let (output, short) = (slot("output", Shape::packed(12, 1)), slot("short", [11].into()));
    let energy = slot("energy", [12].into());
    let good = Labelled { output, energies: Column::all(&recording, energy).unwrap(), beta: 2.0 };
    let beta = |beta| Labelled { beta, ..good };
    let count = Labelled { energies: Column { count: 11, ..good.energies }, ..good };
    let outside = Labelled { energies: Column { value: short, ..good.energies }, ..good };
    let named = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error}");
    let labels = Labels::Normalised;
    for (shape, labelled, words) in [
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
        named(contrastive::record(&mut recording, labels, shape, &labelled).unwrap_err(), words);
    }
    for reference in [f64::NAN, f64::INFINITY, -1e37] {
        let labels = Labels::Unnormalised { reference };
        named(contrastive::record(&mut recording, labels, (3, 4), &good).unwrap_err(), "reference");
        let regression = Regression::Exponential { reference };
        named(energy_regression::record(&mut recording, regression, 12, &good).unwrap_err(), "reference");
    }
    for (rows, labelled, words) in [
        (0, good, "one energy per sample"),
        (11, good, "one energy per sample"),
        (12, count, "one per sample"),
        (12, beta(-0.1), "beta"),
        (12, beta(f64::INFINITY), "beta"),
    ] {
        let refused = energy_regression::record(&mut recording, Regression::Energy, rows, &labelled);
        named(refused.unwrap_err(), words);
    }
    assert!(recording.is_empty());
    contrastive::record(&mut recording, labels, (3, 4), &good).unwrap();
}

/// Half a million pairs of the model below: bins of `x_t` and labels.
struct Bins {
    state: u64,
    alpha: f64,
    sigma: f64,
}

/// Bins of the tabular energy, from -3 to 3.
const BINS: usize = 60;

impl Bins {
    fn centre(bin: usize) -> f64 {
        -3.0 + 6.0 * (bin as f64 + 0.5) / BINS as f64
    }

    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 * 2f64.powi(-53) + 2f64.powi(-54)
    }

    /// The bin of `alpha x_0 + sigma eps` for `x_0 = 1` or -1 with equal chance, and whether it was 1.
    fn draw(&mut self) -> (usize, bool) {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let eps = radius * (std::f64::consts::TAU * self.uniform()).cos();
        let positive = self.uniform() < 0.5;
        let x = if positive { self.alpha } else { -self.alpha } + self.sigma * eps;
        ((((x + 3.0) * BINS as f64 / 6.0).floor()).clamp(0.0, BINS as f64 - 1.0) as usize, positive)
    }
}

/// 1-D: `x_0` is 1 or -1 with equal chance, `exp(-beta E)` is `e^3` and 1 there, `t = 0.25`, and the energy is a table over 60
/// bins of `x_t`. The kernels give the gradients; the table follows them, each bin by its share of the labels, and the mean of
/// its last values is what was learnt. Known: RMS errors of centred tables under `q_t`.
fn c9_labels_have_the_bias_of_their_group_size() {
    let (alpha, sigma, span) = (0.723_657_19f64, 0.690_159_6f64, 3.0f64);
    let density = |bin: usize| {
        let normal = |mean: f64| (-0.5 * ((Bins::centre(bin) - mean) / sigma).powi(2)).exp();
        normal(alpha) + normal(-alpha)
    };
    let mass: f64 = (0..BINS).map(density).sum();
    let centred = |f: &dyn Fn(usize) -> f64| {
        let mean: f64 = (0..BINS).map(|bin| density(bin) / mass * f(bin)).sum();
        (0..BINS).map(|bin| f(bin) - mean).collect::<Vec<f64>>()
    };
    let exact = centred(&|bin| {
        let positive = 1.0 / (1.0 + (-2.0 * alpha * Bins::centre(bin) / (sigma * sigma)).exp());
        -(1.0 - positive + positive * span.exp()).ln()
    });
    let gpu = &lavapipe().gpu;
    let rows = 65_536;
    let output = Tensor::zeros(gpu, "output", DType::F32, [rows, 1]).unwrap();
    let energy = Tensor::zeros(gpu, "energy", DType::F32, [rows]).unwrap();
    let seed = Tensor::zeros(gpu, "seed", DType::F32, Shape::packed(rows, 1)).unwrap();
    let bindings =
        [&output, &energy, &seed].into_iter().fold(Bindings::new(), |all, t| all.with(t.label(), t));
    // Energies -1.5 and 0 at beta 2: labels of 1 and exp(-3) with the lowest energy as reference.
    let (low, beta) = (-1.5f32, 2.0);
    let learn = |labels: Option<Labels>, size: usize| {
        let mut recording = Recording::tuned("c9", gpu.target());
        let value = recording.slot("energy", DType::F32, [rows]).unwrap();
        let energies = Column::all(&recording, value).unwrap();
        let output_value = recording.slot("output", DType::F32, [rows, 1]).unwrap();
        let labelled = Labelled { output: output_value, energies, beta };
        let written = match labels {
            Some(labels) => {
                contrastive::record(&mut recording, labels, (rows / size, size), &labelled).unwrap().seed
            }
            None => {
                energy_regression::record(&mut recording, Regression::Energy, rows, &labelled).unwrap().seed
            }
        };
        recording.expose(written, "seed").unwrap();
        let plan = recording.compile(gpu, &bindings).unwrap();
        let mut draws = Bins { state: 17, alpha, sigma };
        let (mut table, mut mean, mut weights) = (vec![0.0f64; BINS], vec![0.0; BINS], vec![0.0; BINS]);
        let (warm, rounds) = (60, 260);
        for round in 0..rounds {
            let drawn: Vec<(usize, bool)> = (0..rows).map(|_| draws.draw()).collect();
            let values: Vec<f32> = drawn.iter().map(|&(bin, _)| table[bin] as f32).collect();
            output.write(gpu, &values).unwrap();
            let values: Vec<f32> = drawn.iter().map(|&(_, up)| if up { low } else { 0.0 }).collect();
            energy.write(gpu, &values).unwrap();
            plan.run(1).unwrap();
            let seeds: Vec<f32> = gpu.read(&seed).unwrap();
            let mut slope = vec![0.0f64; BINS];
            for (&(bin, up), seed) in drawn.iter().zip(seeds.chunks_exact(4)) {
                slope[bin] += f64::from(seed[0]);
                if round == 0 {
                    // How steeply a bin's gradient answers to its energy: its labels; in the first round all shares are equal.
                    weights[bin] += match labels {
                        Some(Labels::Normalised) => f64::from(seed[0]) + 1.0 / rows as f64,
                        Some(_) if up => size as f64 / rows as f64,
                        Some(_) => (-span).exp() * size as f64 / rows as f64,
                        None => 1.0 / rows as f64,
                    };
                }
            }
            let rate = if round < warm { 0.7 } else { 0.25 };
            for bin in 0..BINS {
                table[bin] -= (rate * slope[bin] / weights[bin].max(1e-9)).clamp(-0.5, 0.5);
                if round >= warm {
                    mean[bin] += table[bin] / f64::from(rounds - warm);
                }
            }
        }
        let learnt = centred(&|bin| mean[bin]);
        let squares = (0..BINS).map(|bin| density(bin) / mass * (learnt[bin] - exact[bin]).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let fixed = Labels::Unnormalised { reference: f64::from(low) };
    for (labels, size, known) in [
        (Some(Labels::Normalised), 2, 0.327),
        (Some(Labels::Normalised), 4, 0.162),
        (Some(Labels::Normalised), 16, 0.027),
        (Some(Labels::Normalised), 64, 0.0064),
        (Some(fixed), 2, 0.0032),
        (Some(fixed), 16, 0.0039),
        (None, 1, 0.349),
    ] {
        let begun = std::time::Instant::now();
        let found = learn(labels, size);
        say(&format!("c9 {labels:?} {size}: {found:.4}, known {known}, {:?}", begun.elapsed()));
        let tolerance = f64::max(0.15 * known, 0.005);
        assert!((found - known).abs() <= tolerance, "{labels:?}, groups of {size}: {found}, known {known}");
    }
}
