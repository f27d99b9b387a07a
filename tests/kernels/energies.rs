//! Floor 2: analytic and user-written energies.

use gibbs::energy::{Energy, Gradient, MixtureEnergy, QuadraticEnergy, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::Value;
use gibbs::testing::Bound;
use gibbs_reference::energy::{DiagonalMixture, Quadratic, difference_step};
use gibbs_reference::nn::EnergyAndGradient;

use crate::EPS;
use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    quadratic_energies_equal_the_reference,
    mixture_energies_equal_the_reference,
    mixtures_are_finite_far_from_all_modes,
    written_energies_equal_the_reference,
    differences_equal_the_gradient,
    differences_survive_points_far_out,
    tensors_numbers_and_knobs_reach_the_users_text,
);

/// Contexts, chains, dimensions, width of the context.
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (7, 1, 7, 3),
    (3, 21, 2, 5),
    (1, 64, 33, 0),
    (5, 13, 64, 7),
    (1, 257, 1, 2),
    (257, 1, 2, 64),
    (13, 5, 4, 0),
    (1, 63, 5, 1),
];

/// Records what an energy is asked for, with its outputs named `energy` and `gradient`, and runs
/// it.
fn run(
    mut case: Case,
    energy: &dyn Energy,
    mode: usize,
    x: Option<Value>,
    y: Value,
    kernel: &str,
) -> Results {
    let recording = &mut case.recording;
    let (value, gradient) = match mode {
        0 => (Some(energy.record_value(recording, x, y).unwrap()), None),
        1 => (None, Some(energy.record_gradient(recording, x, y).unwrap())),
        _ => {
            let (value, gradient) = energy.record_value_and_gradient(recording, x, y).unwrap();
            (Some(value), Some(gradient))
        }
    };
    let shape = recording.shape(y).unwrap().clone();
    if let Some(value) = value {
        assert_eq!(recording.shape(value).unwrap(), &[shape.rows(), 1].into());
        case.output("energy", value);
    }
    if let Some(gradient) = gradient {
        assert_eq!(case.recording.shape(gradient).unwrap(), &shape);
        case.output("gradient", gradient);
    }
    // One dispatch for whatever is asked.
    match kernel {
        "quadratic_energy" => case.expect_kernels(&["quadratic_energy"]),
        "mixture_energy" => case.expect_kernels(&["mixture_energy"]),
        "shader_energy" => case.expect_kernels(&["shader_energy"]),
        "shader_differences" => case.expect_kernels(&["shader_differences"]),
        other => panic!("no kernel `{other}`"),
    }
    case.run()
}

/// The energy in every mode against the reference; programs of many registers compile slowly, so
/// those take both at once.
fn check(
    adapter: &Adapter,
    label: &str,
    energy: &dyn Energy,
    (x, width): (&[f32], usize),
    (y, shape): (&[f32], [usize; 3]),
    (expected, terms, kernel): (&EnergyAndGradient, usize, &str),
) {
    let wide = kernel.starts_with("shader") && shape[2].max(width) > 7;
    for mode in if wide { 2..3 } else { 0..3 } {
        let mut case = Case::new(adapter, format!("{label}, mode {mode}"));
        let context = (width > 0).then(|| case.input("x", [shape[0], width], x));
        let point = case.input("y", shape, y);
        let results = run(case, energy, mode, context, point, kernel);
        if mode != 1 {
            let bound = Bound::sum(&expected.energy_magnitude, terms);
            results.expect("energy", &results.get("energy"), &expected.energy, bound);
        }
        if mode != 0 {
            let bound = Bound::sum(&expected.gradient_magnitude, terms);
            results.expect("gradient", &results.get("gradient"), &expected.gradient, bound);
        }
    }
}

/// `B B' / dims + 1/4` in f32, without rounding: entries are multiples of 2^-12.
fn positive_matrix(dims: usize) -> Vec<f64> {
    let b = wide(&data(21, dims * dims));
    let entry =
        |i: usize, j: usize| (0..dims).map(|k| b[i * dims + k] * b[j * dims + k]).sum::<f64>() / dims as f64;
    let all = (0..dims * dims)
        .map(|at| entry(at / dims, at % dims) + f64::from(u8::from(at % (dims + 1) == 0)) / 4.0);
    all.map(|v| (v * 4096.0).round() / 4096.0).collect()
}

fn quadratic_energies_equal_the_reference(adapter: &Adapter) {
    for (contexts, chains, dims, width) in SHAPES.into_iter().chain([(3, 3, 128, 2)]) {
        let (x, y) = (data(22, contexts * width), data(23, contexts * chains * dims));
        let mean = wide(&data(24, dims));
        let slope = wide(&data(25, dims * width));
        let full = positive_matrix(dims);
        let diagonal: Vec<f64> = full.iter().step_by(dims + 1).copied().collect();
        let mut as_full = vec![0.0; dims * dims];
        as_full.iter_mut().step_by(dims + 1).zip(&diagonal).for_each(|(entry, v)| *entry = *v);
        let mut same = vec![0.0; dims * dims];
        same.iter_mut().step_by(dims + 1).for_each(|entry| *entry = 1.75);
        for (form, energy, matrix) in [
            ("full", QuadraticEnergy::full(&mean, &full), &full),
            ("diagonal", QuadraticEnergy::diagonal(&mean, &diagonal), &as_full),
            ("isotropic", QuadraticEnergy::isotropic(&mean, 1.75), &same),
        ] {
            let energy = energy.unwrap();
            let energy = if width > 0 { energy.following(&slope).unwrap() } else { energy };
            let model = Quadratic { mean: &mean, slope: &slope, inverse_covariance: matrix };
            let expected = gibbs_reference::energy::quadratic_energy(model, &wide(&x), &wide(&y));
            let label = format!("quadratic {form} {contexts}x{chains}, {dims} dims, width {width}");
            let to = (&expected, 2 * dims + width, "quadratic_energy");
            check(adapter, &label, &energy, (&x, width), (&y, [contexts, chains, dims]), to);
        }
    }
}

/// Weights, means, standard deviations.
fn mixture(components: usize, dims: usize) -> [Vec<f64>; 3] {
    let raw: Vec<f64> = data(31, components).iter().map(|v| 0.1 + f64::from(v.abs())).collect();
    let total: f64 = raw.iter().sum();
    let means = data(32, components * dims).iter().map(|v| 2.0 * f64::from(*v)).collect();
    let stds = data(33, components * dims).iter().map(|v| 0.3 + 0.5 * f64::from(v.abs())).collect();
    [raw.iter().map(|w| w / total).collect(), means, stds]
}

fn mixture_energies_equal_the_reference(adapter: &Adapter) {
    for (at, (contexts, chains, dims, _)) in SHAPES.into_iter().chain([(3, 3, 128, 0)]).enumerate() {
        let components = [1, 7, 64, 3, 2, 257, 65, 5, 8, 2][at];
        let [weights, means, stds] = mixture(components, dims);
        let y: Vec<f32> = data(34, contexts * chains * dims).iter().map(|v| 2.5 * v).collect();
        let energy = MixtureEnergy::diagonal(&weights, &means, &stds).unwrap();
        let model = DiagonalMixture { weights: &weights, means: &means, stds: &stds };
        let expected = gibbs_reference::energy::mixture_energy(model, &wide(&y));
        let label = format!("mixture of {components}, {contexts}x{chains}, {dims} dims");
        let to = (&expected, 2 * dims + components, "mixture_energy");
        check(adapter, &label, &energy, (&[], 0), (&y, [contexts, chains, dims]), to);
        for (row, y) in wide(&y).chunks_exact(dims).enumerate().step_by(7) {
            let host = energy.log_density(y).unwrap();
            assert!((host + expected.energy[row]).abs() < 1e-9 * (1.0 + host.abs()), "{host}");
        }
    }
}

fn mixtures_are_finite_far_from_all_modes(adapter: &Adapter) {
    // Far out the widest component alone counts: dE/dy = (y - mean) / std^2, whatever the narrow
    // ones say.
    let (weights, stds) = ([0.5, 0.3, 0.2], [0.25, 2.0, 0.5]);
    let means = wide(&data(36, 9));
    let energy = MixtureEnergy::isotropic(&weights, &means, &stds).unwrap();
    for distance in [30.0, 1e3, 1e6, 1e12, 1e17] {
        let y: Vec<f32> = data(35, 21).iter().map(|v| distance * (v + v.signum())).collect();
        let mut case = Case::new(adapter, format!("mixture at {distance}"));
        let point = case.input("y", [1, 7, 3], &y);
        let results = run(case, &energy, 2, None, point, "mixture_energy");
        let gradient: Vec<f64> =
            wide(&y).iter().enumerate().map(|(at, y)| (y - means[3 + at % 3]) / 4.0).collect();
        results.expect("gradient", &results.get("gradient"), &gradient, Bound::relative(4.0 * EPS, 0.0));
        let density = |y: &[f64]| -energy.log_density(y).unwrap();
        let values: Vec<f64> = wide(&y).chunks_exact(3).map(density).collect();
        results.expect("energy", &results.get("energy"), &values, Bound::relative(8.0 * EPS, 0.0));
    }
}

const COST: &str = "
//#include \"lib/finite.wgsl\"
fn bowl(j: u32, y: f32) -> f32 { return stiffness * (1.0 + 0.25 * f32(j)) * y * y; }
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    var shift = 0.0;
    for (var k = 0u; k < CONTEXT; k++) { shift += f32(k + 1u) * x[k]; }
    var sum = 0.0;
    for (var j = 0u; j < DIMS; j++) {
        sum += bowl(j, y[j] - shift);
        if (j > 0u) { sum += y[j] * y[j] * y[j - 1u]; }
    }
    if (!is_finite(sum)) { sum = 0.0; }
    return sum;
}
";

const COST_GRADIENT: &str = "
fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    var shift = 0.0;
    for (var k = 0u; k < CONTEXT; k++) { shift += f32(k + 1u) * x[k]; }
    var slopes: array<f32, DIMS>;
    for (var j = 0u; j < DIMS; j++) {
        slopes[j] = 2.0 * stiffness * (1.0 + 0.25 * f32(j)) * (y[j] - shift);
        if (j > 0u) { slopes[j] += 2.0 * y[j] * y[j - 1u]; }
        if (j + 1u < DIMS) { slopes[j] += y[j + 1u] * y[j + 1u]; }
    }
    return slopes;
}
";

const STIFFNESS: f64 = 0.625;

/// The same in f64: energy and gradient, and with absolute terms their sizes.
fn cost(x: &[f64], y: &[f64], sizes: bool) -> (f64, Vec<f64>) {
    let size = |v: f64| if sizes { v.abs() } else { v };
    let shift: f64 = x.iter().enumerate().map(|(k, x)| size((k + 1) as f64 * x)).sum();
    let (mut sum, mut slopes) = (0.0, vec![0.0; y.len()]);
    for j in 0..y.len() {
        let stiffness = STIFFNESS * (1.0 + 0.25 * j as f64);
        let d = if sizes { y[j].abs() + shift } else { y[j] - shift };
        sum += stiffness * d * d;
        slopes[j] += 2.0 * stiffness * d;
        if j > 0 {
            sum += size(y[j] * y[j] * y[j - 1]);
            slopes[j] += size(2.0 * y[j] * y[j - 1]);
            slopes[j - 1] += y[j] * y[j];
        }
    }
    (sum, slopes)
}

fn cost_energy(width: usize, dims: usize, gradient: Gradient) -> ShaderEnergy {
    let text = match gradient {
        Gradient::Written => format!("{COST}{COST_GRADIENT}"),
        Gradient::CentralDifferences { .. } => COST.into(),
    };
    let options = ShaderEnergyOptions::new(width, dims, gradient).number("stiffness", STIFFNESS as f32);
    ShaderEnergy::new("cost", "test/cost.wgsl", &text, options).unwrap()
}

fn cost_reference((x, width): (&[f32], usize), (y, dims): (&[f32], usize)) -> EnergyAndGradient {
    let (x, y) = (wide(x), wide(y));
    let of = |sizes: bool| {
        gibbs_reference::energy::shader_energy(
            (&x, width),
            (&y, dims),
            |x, y| cost(x, y, sizes).0,
            |x, y| cost(x, y, sizes).1,
        )
    };
    let ((energy, gradient), (energy_magnitude, gradient_magnitude)) = (of(false), of(true));
    EnergyAndGradient { energy, energy_magnitude, gradient, gradient_magnitude }
}

fn written_energies_equal_the_reference(adapter: &Adapter) {
    for (contexts, chains, dims, width) in SHAPES {
        let energy = cost_energy(width, dims, Gradient::Written);
        let (x, y) = (data(41, contexts * width), data(42, contexts * chains * dims));
        let expected = cost_reference((&x, width), (&y, dims));
        let label = format!("written {contexts}x{chains}, {dims} dims, width {width}");
        let to = (&expected, 3 * dims + width, "shader_energy");
        check(adapter, &label, &energy, (&x, width), (&y, [contexts, chains, dims]), to);
    }
}

fn differences_equal_the_gradient(adapter: &Adapter) {
    let step = 1.0 / 256.0;
    for (contexts, chains, dims, width) in SHAPES {
        let energy = cost_energy(width, dims, Gradient::CentralDifferences { step });
        let (x, y) = (data(43, contexts * width), data(44, contexts * chains * dims));
        let mut expected = cost_reference((&x, width), (&y, dims));
        let cost = |x: &[f64], y: &[f64]| cost(x, y, false).0;
        expected.gradient =
            gibbs_reference::energy::shader_differences((&wide(&x), width), (&wide(&y), dims), step, cost).1;
        // The rounding of two energies over 2 h. The cubic has third derivatives of mixed variables
        // only: no other error.
        for (at, size) in expected.gradient_magnitude.iter_mut().enumerate() {
            *size += expected.energy_magnitude[at / dims] / difference_step(step, f64::from(y[at]));
        }
        let label = format!("differences {contexts}x{chains}, {dims} dims, width {width}");
        let to = (&expected, 3 * dims + width, "shader_differences");
        check(adapter, &label, &energy, (&x, width), (&y, [contexts, chains, dims]), to);
    }
}

fn differences_survive_points_far_out(adapter: &Adapter) {
    // The given step is far below the spacing of f32 at these points.
    let options = ShaderEnergyOptions::new(0, 2, Gradient::CentralDifferences { step: 1e-6 });
    let text = "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return 3.0 * y[0] - 0.5 * y[1] + x[0]; }";
    let energy = ShaderEnergy::new("plane", "test/plane.wgsl", text, options).unwrap();
    let mut case = Case::new(adapter, "far out");
    let y = case.input("y", [1, 2, 2], &[1e6, -3e7, -4e9, 2e4]);
    let results = run(case, &energy, 1, None, y, "shader_differences");
    // Of each energy half a spacing, over 2 h = |y_j| / 2048.
    let sizes = [3e6 + 1.5e7, 3e6 + 1.5e7, 1.2e10 + 1e4, 1.2e10 + 1e4];
    let steps = [1e6, 3e7, 4e9, 2e4].map(|y: f64| y / 4096.0);
    results.expect("gradient", &results.get("gradient"), &[3.0, -0.5, 3.0, -0.5], |at: usize| {
        2.0 * EPS * sizes[at] / steps[at] + 1e-3
    });
}

fn tensors_numbers_and_knobs_reach_the_users_text(adapter: &Adapter) {
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            var sum = f32(bias) * tenth + f32(sign) * 0.5 + f32(least + 2147483647) + x[0];
            for (var k = 0u; k < count; k++) {
                sum += knobs.weight * weights[order[k]] * y[k] + knobs.shift * offsets[k];
            }
            return sum;
        }";
    let (dims, rows, count) = (5, 9, 4u32);
    let (weights, offsets, y) = (data(51, 7), data(52, 4), data(53, rows * dims));
    let order = [6u32, 2, 0, 3];
    let step = 0.25;
    let mut case = Case::new(adapter, "names");
    // Slots that the caller binds, as a simulator does.
    let options = ShaderEnergyOptions::new(0, dims, Gradient::CentralDifferences { step })
        .number("bias", 3u32)
        .number("tenth", -0.1f32)
        .number("sign", -3i32)
        .number("least", i32::MIN)
        .number("count", count)
        .knob("weight", 0.5)
        .knob("shift", 2.0)
        .slot::<f32>("weights", [7])
        .slot::<u32>("order", [4])
        .slot::<f32>("offsets", [2, 2]);
    let energy = ShaderEnergy::new("names", "test/names.wgsl", text, options).unwrap();
    assert_eq!(energy.slot("weights"), "names/weights");
    case.input("names/weights", [7], &weights);
    case.input("names/order", [4], &order);
    case.input("names/offsets", [2, 2], &offsets);
    let point = case.input("y", [1, rows, dims], &y);
    let weight = energy.knob(&mut case.recording, "weight").unwrap();
    // `shift` stays what it was at first.
    case.knob(weight, 0.75);
    let results = run(case, &energy, 2, None, point, "shader_differences");
    let slope = |k: usize| order.get(k).map_or(0.0, |&at| 0.75 * f64::from(weights[at as usize]));
    let shift: f64 = wide(&offsets).iter().map(|v| 2.0 * v).sum();
    let values: Vec<f64> = wide(&y)
        .chunks_exact(dims)
        .map(|y| -0.3 - 1.5 - 1.0 + shift + (0..4).map(|k| slope(k) * y[k]).sum::<f64>())
        .collect();
    // At most fifteen roundings of sums below 16, and for differences those of two energies over 2
    // h.
    results.expect("energy", &results.get("energy"), &values, |_: usize| 100.0 * EPS);
    let slopes: Vec<f64> = (0..rows * dims).map(|at| slope(at % dims)).collect();
    results.expect("gradient", &results.get("gradient"), &slopes, |_: usize| 100.0 * EPS / step);
}
