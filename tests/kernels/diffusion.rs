//! Floor 5: exact scores and energies, likelihoods.

use gibbs::diffusion::{
    EnergyScore, FiniteEnergy, FiniteScore, IntermediateEnergy, MixtureScore, NoiseLevel, NoiseSchedule,
    Score, combine,
};
use gibbs::gpu::{Shape, Value};
use gibbs::nn::{Gradient, ShaderEnergy, ShaderEnergyOptions};
use gibbs_reference::diffusion as reference;
use gibbs_reference::nn::Summed;

use crate::common::{Adapter, Bound, Case, data, every_adapter, wide};

every_adapter!(
    combine_equals_the_reference,
    mixture_noise_and_products_equal_the_reference,
    a_mixture_far_away_points_at_its_likeliest_component,
    finite_energies_equal_the_reference,
    c15_energies_of_1000_points_are_those_of_f64,
    energies_beyond_all_weights_choose_the_wanted_point,
    a_written_energy_is_a_score,
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
fn run_finite(case: &mut Case, energy: &FiniteEnergy, score: &FiniteScore, x: Value, level: &NoiseLevel) {
    let recording = &mut case.recording;
    let value = energy.record_value(recording, None, x, level).unwrap();
    let gradient = energy.record_gradient(recording, None, x, level).unwrap();
    let noise = score.record_noise(recording, None, x, level).unwrap();
    case.output("energy", value);
    case.output("gradient", gradient);
    case.output("noise", noise);
    case.expect_kernels(&["finite_energy", "finite_energy", "finite_energy"]);
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
        let energy = FiniteEnergy::new(dims, &wide(&points), &wide(&energies), beta).unwrap();
        let score = FiniteScore::new(dims, &wide(&points)).unwrap();
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
        let expected = reference::finite_energy(&points, &energies, place, dims, &x);
        let bound = |magnitude: &[f64]| Bound::sum(magnitude, dims);
        results.expect("energy", &results.get("energy"), &expected.energy, bound(&expected.energy_magnitude));
        results.expect(
            "gradient",
            &results.packed("gradient"),
            &expected.gradient,
            bound(&expected.gradient_magnitude),
        );
        let noise = reference::finite_noise(&points, place, dims, &x);
        results.expect("noise", &results.packed("noise"), &noise.value, bound(&noise.magnitude));
    }
}

fn c15_energies_of_1000_points_are_those_of_f64(adapter: &Adapter) {
    let (count, dims, rows, beta) = (1000, 2, 129, 3.0);
    let points: Vec<f32> = data(24, count * dims).iter().map(|p| 3.0 * p).collect();
    let energies: Vec<f32> = data(25, count).iter().map(|e| -e.abs()).collect();
    let energy = FiniteEnergy::new(dims, &wide(&points), &wide(&energies), beta).unwrap();
    let score = FiniteScore::new(dims, &wide(&points)).unwrap();
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
        let expected = reference::finite_energy(&wide(&points), &scaled, place, dims, &wide(&x));
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
    let energy = FiniteEnergy::new(2, &points, &energies, 1.0).unwrap();
    let level = NoiseSchedule::default().at(0.5);
    let x = [0.3f32, -0.7, -1.1, 0.2];
    let mut case = Case::new(adapter, "steep energies");
    let value = case.input("x", [1, 2, 2], &x);
    run_finite(&mut case, &energy, &FiniteScore::new(2, &points).unwrap(), value, &level);
    let results = case.run();
    let expected = reference::finite_energy(&points, &energies, (level.alpha(), level.sigma()), 2, &wide(&x));
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
