//! Floor 5: exact scores and energies, likelihoods.

use gibbs::diffusion::{MixtureScore, NoiseLevel, NoiseSchedule, Score, combine};
use gibbs_reference::diffusion as reference;
use gibbs_reference::nn::Summed;

use crate::common::{Adapter, Bound, Case, data, every_adapter, wide};

every_adapter!(
    combine_equals_the_reference,
    mixture_noise_and_products_equal_the_reference,
    a_mixture_far_away_points_at_its_likeliest_component,
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
        case.expect_kernels(&["combine"]);
        let results = case.run();
        let expected = reference::combine((a.into(), &wide(&left)), (b.into(), &wide(&right)));
        results.expect("sum", &results.packed("sum"), &expected.value, Bound::sum(&expected.magnitude, 2));
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
