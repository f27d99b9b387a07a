//! Floor 5: exact scores and energies, likelihoods.

use gibbs::diffusion::{
    Divergence, EmpiricalEnergy, EmpiricalScore, EnergyScore, FlowMethod, IntermediateEnergy, Likelihood,
    LikelihoodOptions, MixtureScore, NoiseLevel, NoiseSchedule, Score, ScoreNetwork, combine,
};
use gibbs::energy::{Gradient, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, RunState, Shape, Value};
use gibbs::nn::{ACTION, Activation, CONTEXT, Input, Model, Network, TIME};
use gibbs::ode::flow_stage::{Flow, Place, Stage};
use gibbs::ode::{Probe, flow_density, flow_divergence, flow_probe, flow_stage};
use gibbs_reference::compose;
use gibbs_reference::compose::likelihood::{HEUN, RUNGE_KUTTA_4};
use gibbs_reference::compose::{Block, flow_log_density};
use gibbs_reference::diffusion as reference;
use gibbs_reference::gpu::run::random::{Draw, normal, uniform};
use gibbs_reference::nn::Summed;

use crate::common::{Adapter, Bound, Case, compare, data, every_adapter, wide};

every_adapter!(
    combine_equals_the_reference,
    mixture_noise_and_products_equal_the_reference,
    a_mixture_far_away_points_at_its_likeliest_component,
    finite_energies_equal_the_reference,
    c15_energies_of_1000_points_are_those_of_f64,
    energies_beyond_all_weights_choose_the_wanted_point,
    the_last_of_the_most_points_and_components_counts,
    faults_show_in_scores_and_energies,
    a_written_energy_is_a_score,
    flow_stages_equal_the_reference,
    traces_and_densities_equal_the_reference,
    probes_equal_the_reference,
    likelihoods_are_those_of_the_mixture,
    likelihoods_converge_with_the_order_of_their_method,
    estimated_traces_are_right_on_average,
    likelihoods_of_a_conditional_network_equal_the_reference,
);

/// Levels from clean to noise alone.
fn levels() -> [NoiseLevel; 4] {
    [0.0, 0.05, 0.4, 1.0].map(|time| NoiseSchedule::default().at(time))
}

/// A mixture with full covariances.
struct Mixture {
    weights: Vec<f64>,
    means: Vec<f64>,
    covariances: Vec<f64>,
}

impl Mixture {
    fn new(components: usize, dims: usize) -> Self {
        let raw: Vec<f64> = wide(&data(11, components)).iter().map(|w| 0.1 + w.abs()).collect();
        let total: f64 = raw.iter().sum();
        let b = wide(&data(12, components * dims * dims));
        let entry = |k: usize, i: usize, j: usize| {
            let row = |i: usize| &b[(k * dims + i) * dims..][..dims];
            let product: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
            product / dims as f64 + if i == j { 0.15 } else { 0.0 }
        };
        Self {
            weights: raw.iter().map(|w| w / total).collect(),
            means: wide(&data(13, components * dims)).iter().map(|m| 1.5 * m).collect(),
            covariances: (0..components * dims * dims)
                .map(|at| entry(at / (dims * dims), at / dims % dims, at % dims))
                .collect(),
        }
    }

    fn score(&self) -> MixtureScore {
        MixtureScore::full(&self.weights, &self.means, &self.covariances).unwrap()
    }

    fn reference(&self) -> reference::GaussianMixture<'_> {
        reference::GaussianMixture {
            weights: &self.weights,
            means: &self.means,
            covariances: &self.covariances,
        }
    }
}

fn combine_equals_the_reference(adapter: &Adapter) {
    for (index, [rows, dims]) in
        [[1, 1], [7, 7], [63, 2], [64, 4], [65, 5], [257, 3], [5, 64], [3, 65], [2, 257]]
            .into_iter()
            .enumerate()
    {
        let (a, b) = (1.75 - index as f32, 0.3 * index as f32);
        let (left, right) = (data(1, rows * dims), data(2, rows * dims));
        let mut case = Case::new(adapter, format!("combine [{rows}, {dims}]"));
        let packed = |case: &mut Case, name: &str, values: &[f32]| case.packed(name, rows, dims, values);
        let plain = |case: &mut Case, name: &str, values: &[f32]| case.input(name, [1, rows, dims], values);
        let x = if index % 2 == 0 { packed(&mut case, "x", &left) } else { plain(&mut case, "x", &left) };
        let y = if index % 3 == 0 { packed(&mut case, "y", &right) } else { plain(&mut case, "y", &right) };
        let sum = combine::record(&mut case.recording, "sum", (a, x), (b, y)).unwrap();
        case.output("sum", sum);
        let shape = Shape::new([rows, 1, dims]);
        let bare = combine::record_shaped(&mut case.recording, "bare", shape, (a, x), (b, y)).unwrap();
        case.output("bare", bare);
        case.expect_kernels(&["combine", "combine"]);
        let results = case.run();
        let expected = reference::combine((a.into(), &wide(&left)), (b.into(), &wide(&right)));
        results.expect("sum", &results.packed("sum"), &expected.value, Bound::sum(&expected.magnitude, 2));
        results.expect("bare", &results.get("bare"), &expected.value, Bound::sum(&expected.magnitude, 2));
    }
}

fn mixture_noise_and_products_equal_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples, dims, components]) in [
        [1, 1, 1, 1],
        [7, 1, 7, 3],
        [3, 21, 2, 65],
        [1, 64, 4, 2],
        [13, 5, 5, 7],
        [1, 257, 3, 4],
        [1, 63, 9, 3],
        [5, 1, 16, 5],
    ]
    .into_iter()
    .enumerate()
    {
        let (rows, mixture, level) =
            (contexts * samples, Mixture::new(components, dims), levels()[index % 4]);
        let x: Vec<f32> = data(14, rows * dims).iter().map(|x| 2.0 * x).collect();
        let directions = [data(15, rows * dims), data(16, rows * dims)];
        let mut case = Case::new(adapter, format!("mixture {rows} x {dims}, {components}, t {}", level.time));
        // Any rows are taken, packed ones too.
        let value = match index % 2 {
            0 => case.input("x", [contexts, samples, dims], &x),
            _ => case.packed("x", rows, dims, &x),
        };
        let given = [0, 1].map(|at| case.packed(["first", "second"][at], rows, dims, &directions[at]));
        let score = mixture.score();
        let (noise, products) = score
            .record_noise_and_vjps(&mut case.recording, None, value, &level, &mut |_, _| Ok(given.to_vec()))
            .unwrap();
        case.output("noise", noise);
        case.output("product 0", products[0]);
        case.output("product 1", products[1]);
        case.expect_kernels(&["mixture_score", "mixture_score", "mixture_score"]);
        let results = case.run();
        let place = (level.alpha(), level.sigma());
        let expected = reference::mixture_score(mixture.reference(), place, &wide(&x));
        let bound = |sum: &Summed| Bound::sum(&sum.magnitude, dims * components).scaled(2.0);
        results.expect("noise", &results.packed("noise"), &expected.value, bound(&expected));
        for (at, direction) in directions.iter().enumerate() {
            let expected =
                reference::mixture_score_product(mixture.reference(), place, &wide(&x), &wide(direction));
            let name = format!("product {at}");
            results.expect(&name, &results.packed(&name), &expected.value, bound(&expected));
        }
    }
}

fn a_mixture_far_away_points_at_its_likeliest_component(adapter: &Adapter) {
    // The wide component wins far out: eps = sigma (x - alpha mean) / (alpha^2 16 + sigma^2).
    let score = MixtureScore::isotropic(&[1.0, 1e-6], &[1.0, -1.0, 3.0, 0.5], &[0.5, 4.0]).unwrap();
    let x = [1e4f32, -3e4, -2e3, 1e6, 1e9, 0.0];
    let level = NoiseSchedule::default().at(0.2);
    let mut case = Case::new(adapter, "mixture far away");
    let value = case.input("x", [1, 3, 2], &x);
    let noise = score.record_noise(&mut case.recording, None, value, &level).unwrap();
    case.output("noise", noise);
    let results = case.run();
    let (alpha, sigma) = (level.alpha(), level.sigma());
    let expected: Vec<f64> = (0..6)
        .map(|at| {
            sigma * (f64::from(x[at]) - alpha * [3.0, 0.5][at % 2]) / (16.0 * alpha * alpha + sigma * sigma)
        })
        .collect();
    results.expect("noise", &results.packed("noise"), &expected, Bound::relative(4e-6, 1e-6));
}

/// Energy, gradient and noise of one case on the device.
fn run_finite(
    case: &mut Case,
    energy: &EmpiricalEnergy,
    score: &EmpiricalScore,
    x: Value,
    level: &NoiseLevel,
) {
    let recording = &mut case.recording;
    let value = energy.record_value(recording, None, x, level).unwrap();
    let gradient = energy.record_gradient(recording, None, x, level).unwrap();
    let noise = score.record_noise(recording, None, x, level).unwrap();
    case.output("energy", value);
    case.output("gradient", gradient);
    case.output("noise", noise);
    case.expect_kernels(&["empirical_energy", "empirical_energy", "empirical_energy"]);
}

fn finite_energies_equal_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples, dims, count]) in [
        [1, 1, 1, 1],
        [7, 1, 7, 3],
        [3, 21, 2, 257],
        [1, 64, 4, 65],
        [13, 5, 5, 7],
        [1, 257, 3, 64],
        [1, 7, 9, 63],
        [5, 1, 16, 5],
    ]
    .into_iter()
    .enumerate()
    {
        let (rows, level) = (contexts * samples, levels()[1 + index % 3]);
        let (points, energies) = (data(21, count * dims), data(22, count));
        let beta = [1.0, 8.0][index % 2];
        let x: Vec<f32> = data(23, rows * dims).iter().map(|x| 1.2 * x).collect();
        let energy = EmpiricalEnergy::new(dims, &wide(&points), &wide(&energies), beta).unwrap();
        let score = EmpiricalScore::new(dims, &wide(&points)).unwrap();
        let mut case =
            Case::new(adapter, format!("finite {rows} x {dims}, {count} points, t {}", level.time));
        let value = match index % 2 {
            0 => case.input("x", [contexts, samples, dims], &x),
            _ => case.packed("x", rows, dims, &x),
        };
        run_finite(&mut case, &energy, &score, value, &level);
        let results = case.run();
        let (place, points, x) = ((level.alpha(), level.sigma()), wide(&points), wide(&x));
        let energies: Vec<f64> = energies.iter().map(|e| beta * f64::from(*e)).collect();
        let expected = reference::empirical_energy(&points, &energies, place, dims, &x);
        let bound = |magnitude: &[f64]| Bound::sum(magnitude, dims);
        results.expect("energy", &results.get("energy"), &expected.energy, bound(&expected.energy_magnitude));
        results.expect(
            "gradient",
            &results.packed("gradient"),
            &expected.gradient,
            bound(&expected.gradient_magnitude),
        );
        let noise = reference::empirical_noise(&points, place, dims, &x);
        results.expect("noise", &results.packed("noise"), &noise.value, bound(&noise.magnitude));
    }
}

fn c15_energies_of_1000_points_are_those_of_f64(adapter: &Adapter) {
    let (count, dims, rows, beta) = (1000, 2, 129, 3.0);
    let points: Vec<f32> = data(24, count * dims).iter().map(|p| 3.0 * p).collect();
    let energies: Vec<f32> = data(25, count).iter().map(|e| -e.abs()).collect();
    let energy = EmpiricalEnergy::new(dims, &wide(&points), &wide(&energies), beta).unwrap();
    let score = EmpiricalScore::new(dims, &wide(&points)).unwrap();
    let scaled: Vec<f64> = energies.iter().map(|e| f64::from((beta * f64::from(*e)) as f32)).collect();
    for time in [0.01, 0.05, 0.2, 0.5, 1.0] {
        let level = NoiseSchedule::default().at(time);
        // Where samples of q_t are: a noised point each, up to 2.5 standard deviations away.
        let moves = data(26, rows * dims);
        let x: Vec<f32> = (0..rows * dims)
            .map(|at| {
                level.alpha() as f32 * points[at * 7 % points.len()] + 2.5 * level.sigma() as f32 * moves[at]
            })
            .collect();
        let mut case = Case::new(adapter, format!("1000 points at {time}"));
        let value = case.input("x", [1, rows, dims], &x);
        run_finite(&mut case, &energy, &score, value, &level);
        let results = case.run();
        let place = (level.alpha(), level.sigma());
        let expected = reference::empirical_energy(&wide(&points), &scaled, place, dims, &wide(&x));
        results.expect("energy", &results.get("energy"), &expected.energy, |_| 1e-4);
        // Per unit of noise, as guidance takes it.
        let sigma = level.sigma();
        let pull = |values: Vec<f64>| values.iter().map(|g| sigma * g).collect::<Vec<f64>>();
        let found: Vec<f32> = pull(wide(&results.packed("gradient"))).iter().map(|&g| g as f32).collect();
        results.expect("sigma gradient", &found, &pull(expected.gradient), |_| 1e-4);
    }
}

fn energies_beyond_all_weights_choose_the_wanted_point(adapter: &Adapter) {
    // exp(-beta E) underflows for the second point: what is left is the first, as if it were alone.
    let (points, energies) = ([1.0, 0.5, -1.0, 0.25], [-1e4, 2e4]);
    let energy = EmpiricalEnergy::new(2, &points, &energies, 1.0).unwrap();
    let level = NoiseSchedule::default().at(0.5);
    let x = [0.3f32, -0.7, -1.1, 0.2];
    let mut case = Case::new(adapter, "steep energies");
    let value = case.input("x", [1, 2, 2], &x);
    run_finite(&mut case, &energy, &EmpiricalScore::new(2, &points).unwrap(), value, &level);
    let results = case.run();
    let expected =
        reference::empirical_energy(&points, &energies, (level.alpha(), level.sigma()), 2, &wide(&x));
    results.expect("energy", &results.get("energy"), &expected.energy, Bound::relative(1e-6, 0.0));
    results.expect("gradient", &results.packed("gradient"), &expected.gradient, Bound::relative(1e-5, 1e-5));
}

fn a_written_energy_is_a_score(adapter: &Adapter) {
    let text = "
fn spread(x: array<f32, CONTEXT>) -> f32 {
    return 0.25 * x[1] * x[1] + x[2] * x[2];
}
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    let a = y[0] - x[1] * 0.5;
    return 0.5 * (a * a + y[1] * y[1]) / spread(x);
}
fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    return array<f32, DIMS>((y[0] - x[1] * 0.5) / spread(x), y[1] / spread(x));
}
";
    let covariances = [0.25, 0.0, 0.0, 0.25];
    let bell = reference::GaussianMixture { weights: &[1.0], means: &[0.5, 0.0], covariances: &covariances };
    for (shape, level) in [[1, 1, 2], [7, 9, 2], [3, 65, 2]].into_iter().zip(levels().into_iter().skip(1)) {
        let options = ShaderEnergyOptions::new(3, 2, Gradient::Written);
        let score = EnergyScore::new(ShaderEnergy::new("bell", "test/bell.wgsl", text, options).unwrap());
        let x = data(31, shape[0] * shape[1] * 2);
        let mut case = Case::new(adapter, format!("written score {shape:?}, t {}", level.time));
        let value = case.input("x", shape, &x);
        let noise = score.record_noise(&mut case.recording, None, value, &level).unwrap();
        case.output("noise", noise);
        case.expect_kernels(&["shader_energy", "combine"]);
        let results = case.run();
        let expected = reference::mixture_score(bell, (level.alpha(), level.sigma()), &wide(&x));
        results.expect(
            "noise",
            &results.packed("noise"),
            &expected.value,
            Bound::sum(&expected.magnitude, 2),
        );

        let mut case = Case::new(adapter, "a flat shape");
        let flat = case.input("x", [6, 2], &x[..2].repeat(6));
        let refusal = score.record_noise(&mut case.recording, None, flat, &level).unwrap_err();
        assert!(refusal.to_string().contains("[contexts, samples, 2]"), "{refusal}");
    }
}

fn flow_stages_equal_the_reference(adapter: &Adapter) {
    let places = [
        (Place::First, gibbs_reference::ode::FlowPlace::First),
        (Place::Between, gibbs_reference::ode::FlowPlace::Between),
        (Place::Last, gibbs_reference::ode::FlowPlace::Last),
    ];
    for (index, shape) in [[1, 1, 1], [7, 1, 7], [3, 21, 2], [1, 64, 4], [13, 5, 5], [1, 257, 3], [1, 7, 65]]
        .into_iter()
        .enumerate()
    {
        let (rows, dims) = (shape[0] * shape[1], shape[2]);
        let n = rows * dims;
        let [slope, y, total] = [41, 42, 43].map(|seed| data(seed, n));
        for (place, expected_place) in places {
            let (weight, ahead, alpha) = (1.7, -0.6, 0.3);
            let mut case = Case::new(adapter, format!("flow {shape:?}, {place:?}"));
            let slope_value = match index % 2 {
                0 => case.packed("slope", rows, dims, &slope),
                _ => case.input("slope", shape, &slope),
            };
            let y_value = match index % 3 {
                0 => case.input("y", shape, &y),
                _ => case.packed("y", rows, dims, &y),
            };
            let total_value = match place {
                Place::First => case.poisoned("total", DType::F32, shape),
                _ => case.input("total", shape, &total),
            };
            let x_value = case.poisoned("x", DType::F32, shape);
            let flow = Flow { y: y_value, total: total_value, x: x_value };
            let stage = Stage { place, weight, ahead, alpha };
            flow_stage::record(&mut case.recording, &flow, slope_value, &stage).unwrap();
            case.expect_kernels(&["flow_stage"]);
            let results = case.run();
            let [weight, ahead, alpha] = [weight, ahead, alpha].map(|v| f64::from(v as f32));
            let stage = gibbs_reference::ode::FlowStage { place: expected_place, weight, ahead, alpha };
            let expected = gibbs_reference::ode::flow_stage(&wide(&slope), &wide(&y), &wide(&total), stage);
            // Sums of three terms of size 2 at most.
            let bound = || Bound::relative(0.0, 1e-6);
            let moved: Vec<f32> = match index % 3 {
                0 => results.get("y"),
                _ => results.packed("y"),
            };
            results.expect("y", &moved, &expected.y, bound());
            results.expect("x", &results.get("x"), &expected.x, bound());
            if place != Place::Last {
                results.expect("total", &results.get("total"), &expected.total, bound());
            }
        }
    }
}

fn traces_and_densities_equal_the_reference(adapter: &Adapter) {
    for (index, [rows, dims]) in
        [[1, 1], [7, 7], [63, 2], [64, 4], [65, 5], [257, 3], [5, 64], [3, 65], [2, 257]]
            .into_iter()
            .enumerate()
    {
        let [first, second, third] = [44, 45, 46].map(|seed| data(seed, rows * dims));
        let mut case = Case::new(adapter, format!("trace [{rows}, {dims}]"));
        let probe = case.packed("probe", rows, dims, &first);
        let plain = case.input("plain", [rows, dims], &second);
        let packed = case.packed("packed", rows, dims, &third);
        let log_det = case.recording.scratch("sums", DType::F32, [rows, 1]);
        let (weight, constant) = (0.7 - index as f64, 3.25);
        flow_divergence::record(&mut case.recording, probe, plain, log_det, weight).unwrap();
        flow_divergence::record(&mut case.recording, plain, packed, log_det, -1.5).unwrap();
        let density = flow_density::record(&mut case.recording, packed, log_det, constant).unwrap();
        case.output("log_det", log_det);
        case.output("density", density);
        case.expect_kernels(&["flow_divergence", "flow_divergence", "flow_density"]);
        let results = case.run();
        let weight = f64::from(weight as f32);
        let begun =
            gibbs_reference::ode::flow_divergence(&wide(&first), &wide(&second), &vec![0.0; rows], weight);
        let sums = gibbs_reference::ode::flow_divergence(&wide(&second), &wide(&third), &begun.value, -1.5);
        let sizes: Vec<f64> = begun.magnitude.iter().zip(&sums.magnitude).map(|(a, b)| a + b).collect();
        results.expect("log_det", &results.get("log_det"), &sums.value, Bound::sum(&sizes, 2 * dims));
        let expected = gibbs_reference::ode::flow_density(&wide(&third), &sums.value, constant);
        let sizes: Vec<f64> = sizes.iter().zip(&expected.magnitude).map(|(a, b)| a + b).collect();
        results.expect("density", &results.get("density"), &expected.value, Bound::sum(&sizes, 2 * dims));
    }
}

fn probes_equal_the_reference(adapter: &Adapter) {
    let (seed, step) = (99, (3 << 32) + 5);
    for [rows, dims] in [[1, 1], [7, 7], [63, 2], [64, 4], [65, 5], [257, 3], [3, 65]] {
        for probe in [Probe::Rademacher, Probe::Normal] {
            let mut case = Case::new(adapter, format!("{probe:?} [{rows}, {dims}]"));
            case.run_state(seed, step);
            let stream = case.recording.stream("test/probe").unwrap();
            let probes = flow_probe::record(&mut case.recording, probe, (rows, dims), stream, 2).unwrap();
            case.output("probe 0", probes[0]);
            case.output("probe 1", probes[1]);
            case.expect_kernels(&["flow_probe", "flow_probe"]);
            let results = case.run();
            for inner in 0..2 {
                let draw = Draw { seed, step, stream: u32::from(stream_id("test/probe")), inner };
                let elements = (rows * dims.div_ceil(4)) as u32;
                let numbers =
                    if probe == Probe::Normal { normal(draw, elements) } else { uniform(draw, elements) };
                let expected = gibbs_reference::ode::flow_probe(&numbers, dims, probe == Probe::Normal);
                let name = format!("probe {inner}");
                results.expect(&name, &results.packed(&name), &expected, Bound::relative(4e-7, 4e-7));
            }
        }
    }
}

/// A mixture of mean 0, of which the end of the flow keeps least.
const CENTRED: reference::GaussianMixture<'_> = reference::GaussianMixture {
    weights: &[0.4, 0.6],
    means: &[0.9, -0.6, -0.6, 0.4],
    covariances: &[0.3, 0.12, 0.12, 0.2, 0.15, -0.05, -0.05, 0.4],
};

fn centered() -> MixtureScore {
    MixtureScore::full(CENTRED.weights, CENTRED.means, CENTRED.covariances).unwrap()
}

/// The same flow in f64.
fn flow_in_f64(options: &LikelihoodOptions, x: &[f32]) -> Vec<f64> {
    let stages = match options.method {
        FlowMethod::RungeKutta4 => &RUNGE_KUTTA_4[..],
        FlowMethod::Heun => &HEUN[..],
    };
    let units = [[1.0, 0.0], [0.0, 1.0]].map(|unit| unit.repeat(x.len() / 2));
    let lambdas = [options.first_time, options.schedule.end()].map(|time| options.schedule.at(time).lambda());
    flow_log_density(
        stages,
        ((lambdas[0], lambdas[1]), options.steps),
        (&wide(x), 2),
        (&units, 1.0),
        |level, x| reference::mixture_score(CENTRED, level, x).value,
        |level, x, v| reference::mixture_score_product(CENTRED, level, x, v).value,
    )
}

fn likelihoods_are_those_of_the_mixture(adapter: &Adapter) {
    let schedules = [NoiseSchedule::default(), NoiseSchedule::cosine()];
    for (shape, schedule) in [[1, 1], [3, 7], [1, 65]].into_iter().zip(schedules.into_iter().cycle()) {
        let [contexts, samples] = shape;
        let x: Vec<f32> = data(51, contexts * samples * 2).iter().map(|x| 2.0 * x).collect();
        let options = LikelihoodOptions::default()
            .with_schedule(schedule)
            .with_contexts(contexts)
            .with_samples(samples);
        let mut likelihood = Likelihood::new(&adapter.gpu, &centered(), &options).unwrap();
        let found = likelihood.log_density(&[], &x).unwrap();
        compare(&found, &flow_in_f64(&options, &x), |_| 1e-4).unwrap();
        let level = schedule.at(options.first_time);
        let closed: Vec<f64> =
            wide(&x).chunks_exact(2).map(|x| centered().log_density(x, &level).unwrap()).collect();
        compare(&found, &closed, |_| 1e-3).unwrap();
        assert!(likelihood.log_density(&[], &x[1..]).is_err() && likelihood.log_density(&[1.0], &x).is_err());
    }
}

fn likelihoods_converge_with_the_order_of_their_method(adapter: &Adapter) {
    let x = [0.3f32, -0.2, -1.1, 0.9, 1.6, 0.4, 2.5, -1.5, 0.0, -1.2];
    let base = LikelihoodOptions::default().with_samples(x.len() / 2);
    let fine = flow_in_f64(&base.with_steps(320), &x);
    for (method, steps, order) in [(FlowMethod::RungeKutta4, 20, 4.0), (FlowMethod::Heun, 40, 2.0)] {
        let error = |steps: usize| {
            let options = base.with_method(method).with_steps(steps);
            let mut likelihood = Likelihood::new(&adapter.gpu, &centered(), &options).unwrap();
            let found = wide(&likelihood.log_density(&[], &x).unwrap());
            let squares: f64 = found.iter().zip(&fine).map(|(a, b)| (a - b).powi(2)).sum();
            (squares / fine.len() as f64).sqrt()
        };
        let found = (error(steps) / error(2 * steps)).log2();
        assert!((found - order).abs() < 0.2, "{}: {method:?} has order {found}", adapter.name);
    }
}

fn estimated_traces_are_right_on_average(adapter: &Adapter) {
    let samples = 257;
    let x = [1.1f32, -0.4].repeat(samples);
    let base = LikelihoodOptions::default().with_samples(samples).with_steps(30).with_seed(7);
    let exact =
        wide(&Likelihood::new(&adapter.gpu, &centered(), &base).unwrap().log_density(&[], &x).unwrap());
    for draws in [Probe::Rademacher, Probe::Normal] {
        let options = base.with_trace(Divergence::Hutchinson { probes: 3, draws });
        let make = || Likelihood::new(&adapter.gpu, &centered(), &options).unwrap();
        let mut likelihood = make();
        let first = likelihood.log_density(&[], &x).unwrap();
        let second = likelihood.log_density(&[], &x).unwrap();
        assert_eq!(make().log_density(&[], &x).unwrap(), first, "{draws:?}: the seed decides");
        assert_ne!(first, second, "{draws:?}: a run draws probes of its own");
        let all: Vec<f64> = first.iter().chain(&second).map(|&v| f64::from(v) - exact[0]).collect();
        let count = all.len() as f64;
        let mean = all.iter().sum::<f64>() / count;
        let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        assert!(error > 1e-4, "{draws:?}: an estimate without spread estimates nothing");
        assert!(mean.abs() < 4.0 * error, "{}: {draws:?}: {mean} off, standard error {error}", adapter.name);
    }
}

/// A loop that a driver ends early would miss them.
fn the_last_of_the_most_points_and_components_counts(adapter: &Adapter) {
    let level = NoiseSchedule::default().at(0.1);
    let place = (level.alpha(), level.sigma());
    let x = [2.9f32, -3.1, 3.2, -2.8, -0.1, 0.2];
    // All but the last are around the origin.
    let spread = |count: usize| -> Vec<f64> {
        let mut all = wide(&data(61, 2 * count));
        all[2 * count - 2..].copy_from_slice(&[3.0, -3.0]);
        all
    };
    let points = spread(60_000);
    let mut energies = vec![0.0; 60_000];
    energies[59_999] = -4.0;
    let energy = EmpiricalEnergy::new(2, &points, &energies, 1.0).unwrap();
    let score = EmpiricalScore::new(2, &points).unwrap();
    let mut case = Case::new(adapter, "60000 points");
    let value = case.input("x", [1, 3, 2], &x);
    run_finite(&mut case, &energy, &score, value, &level);
    let results = case.run();
    let expected = reference::empirical_energy(&points, &energies, place, 2, &wide(&x));
    assert!(expected.energy[0] < -3.9, "the last point decides at the first row");
    results.expect("energy", &results.get("energy"), &expected.energy, |_| 2e-3);
    let noise = reference::empirical_noise(&points, place, 2, &wide(&x));
    results.expect("noise", &results.packed("noise"), &noise.value, |_| 1e-3);

    let count = 3120;
    let (weights, means) = (vec![1.0 / count as f64; count], spread(count));
    let score = MixtureScore::isotropic(&weights, &means, &vec![0.1; count]).unwrap();
    let covariances = [0.1f64.powi(2), 0.0, 0.0, 0.1f64.powi(2)].repeat(count);
    let mixture = reference::GaussianMixture { weights: &weights, means: &means, covariances: &covariances };
    let v = [0.4f32, -1.3, 0.7, 0.2, -0.6, 1.1];
    let mut case = Case::new(adapter, "3120 components");
    let value = case.input("x", [1, 3, 2], &x);
    let direction = case.packed("v", 3, 2, &v);
    let (noise, products) = score
        .record_noise_and_vjps(&mut case.recording, None, value, &level, &mut |_, _| Ok(vec![direction]))
        .unwrap();
    case.output("noise", noise);
    case.output("product", products[0]);
    let results = case.run();
    let noise = reference::mixture_score(mixture, place, &wide(&x));
    results.expect("noise", &results.packed("noise"), &noise.value, |_| 1e-3);
    let product = reference::mixture_score_product(mixture, place, &wide(&x), &wide(&v));
    results.expect("product", &results.packed("product"), &product.value, |_| 1e-2);
}

fn faults_show_in_scores_and_energies(adapter: &Adapter) {
    let x = [0.3f32, 0.1, f32::NAN, 0.2, 0.5, f32::INFINITY, -0.4, 0.6];
    let points = [1.0, -0.5, 0.25, 0.5];
    let energy = EmpiricalEnergy::new(2, &points, &[0.5, -1.0], 1.0).unwrap();
    let mut case = Case::new(adapter, "faults");
    let value = case.input("x", [1, 4, 2], &x);
    let level = NoiseSchedule::default().at(0.3);
    run_finite(&mut case, &energy, &EmpiricalScore::new(2, &points).unwrap(), value, &level);
    let mixture = MixtureScore::isotropic(&[0.4, 0.6], &points, &[0.5, 0.2]).unwrap();
    let noise = mixture.record_noise(&mut case.recording, None, value, &level).unwrap();
    case.output("mixture", noise);
    let results = case.run();
    let energies: Vec<f32> = results.get("energy");
    let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
    for (row, energy) in energies.iter().enumerate() {
        let sound = finite(&x[2 * row..][..2]);
        assert_eq!(energy.is_finite(), sound, "{}: energy {row}", adapter.name);
        for name in ["gradient", "noise", "mixture"] {
            let values: Vec<f32> = results.get(name);
            assert_eq!(finite(&values[4 * row..][..2]), sound, "{}: {name} {row}", adapter.name);
        }
    }
}

fn likelihoods_of_a_conditional_network_equal_the_reference(adapter: &Adapter) {
    let (contexts, samples, width) = (3, 5, 2);
    let inputs = vec![Input::new(CONTEXT, width), Input::new(ACTION, 2), Input::new(TIME, 1)];
    let network = Network::mlp(inputs, &[9], Activation::Tanh, 2);
    let model = Model::new(&adapter.gpu, "score", network, &RunState::new(&adapter.gpu, 5).unwrap()).unwrap();
    let flat: Vec<f32> = adapter.gpu.read(model.parameters()).unwrap();
    let layout = model.layout();
    let parameters: Vec<f64> =
        layout.slices.iter().flat_map(|slice| wide(&layout.extract(slice, &flat))).collect();
    let dense = |inputs: usize, outputs: usize, activation| Block::Dense {
        weights: vec![0.0; inputs * outputs],
        bias: vec![0.0; outputs],
        activation,
    };
    let layers = vec![
        dense(width + 3, 9, gibbs_reference::nn::Activation::Tanh),
        dense(9, 2, gibbs_reference::nn::Activation::Identity),
    ];
    let twin = compose::Network { layers }.with_parameters(&parameters);

    let (context, x) = (data(71, contexts * width), data(72, contexts * samples * 2));
    let options = LikelihoodOptions::default()
        .with_contexts(contexts)
        .with_context_width(width)
        .with_samples(samples)
        .with_steps(20)
        .with_first_time(0.01);
    let score = ScoreNetwork::new(model).unwrap();
    let mut likelihood = Likelihood::new(&adapter.gpu, &score, &options).unwrap();
    let found = likelihood.log_density(&context, &x).unwrap();

    let rows = contexts * samples;
    let trace = |(alpha, sigma): (f64, f64), x: &[f64]| {
        let time = options.schedule.at_lambda((alpha / sigma).ln()).time;
        let row = |(at, x): (usize, &[f64])| {
            [&wide(&context)[at / samples * width..][..width], x, &[time]].concat()
        };
        let input: Vec<f64> = x.chunks_exact(2).enumerate().flat_map(row).collect();
        twin.forward(&input, rows)
    };
    let product = |level: (f64, f64), x: &[f64], v: &[f64]| -> Vec<f64> {
        let gradient = twin.backward(&trace(level, x), v).inputs;
        gradient.chunks_exact(width + 3).flat_map(|row| row[width..width + 2].to_vec()).collect()
    };
    let lambdas = [options.first_time, options.schedule.end()].map(|time| options.schedule.at(time).lambda());
    let units = [[1.0, 0.0], [0.0, 1.0]].map(|unit| unit.repeat(rows));
    let expected = flow_log_density(
        &RUNGE_KUTTA_4,
        ((lambdas[0], lambdas[1]), options.steps),
        (&wide(&x), 2),
        (&units, 1.0),
        |level, x| trace(level, x).output,
        product,
    );
    compare(&found, &expected, |_| 1e-3).unwrap();
    // The trace alone, which a bounded network makes small beside the change of scale, is compared
    // too.
    let still = flow_log_density(
        &RUNGE_KUTTA_4,
        ((lambdas[0], lambdas[1]), options.steps),
        (&wide(&x), 2),
        (&units, 1.0),
        |level, x| trace(level, x).output,
        |_, x, _| vec![0.0; x.len()],
    );
    let moved = expected.iter().zip(&still).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved > 0.05, "{}: the trace counts for {moved} alone", adapter.name);
}
