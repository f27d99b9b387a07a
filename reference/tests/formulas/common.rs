//! Data and checks common to the tests.

use gibbs_reference::gpu::run::random::{Draw, normal, uniform};
use gibbs_reference::nn::Activation;

/// Whether differences over any points tell an activation's slope: kinks lie where no data of a
/// deep network can be kept from.
pub fn is_smooth(activation: &Activation) -> bool {
    !matches!(activation, Activation::Relu | Activation::LeakyRelu | Activation::Elu)
}

fn draw(seed: u64) -> Draw {
    Draw { seed, step: 3, stream: 5, inner: 1 }
}

/// `n` standard normals, different for every seed.
pub fn normals(seed: u64, n: usize) -> Vec<f64> {
    let mut values = normal(draw(seed), n.div_ceil(4) as u32);
    values.truncate(n);
    values
}

/// `n` uniform numbers in (0, 1), different for every seed.
pub fn uniforms(seed: u64, n: usize) -> Vec<f64> {
    let mut values = uniform(draw(seed), n.div_ceil(4) as u32);
    values.truncate(n);
    values
}

/// `sum_i c_i v_i`: the rest of a graph, with coefficients other than 1 that belong to one element
/// each.
pub fn downstream(values: &[f64]) -> f64 {
    values.iter().zip(coefficients(values.len())).map(|(v, c)| v * c).sum()
}

/// Gradient of [`downstream`].
pub fn coefficients(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.6 + 0.9 * (1.7 * i as f64 + 0.4).sin()).collect()
}

/// Central differences (step 1e-6) of `f` at `point` against `gradient`, element by element.
pub fn check_gradient(name: &str, point: &[f64], gradient: &[f64], f: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-6;
    assert_eq!(point.len(), gradient.len(), "{name}: lengths");
    assert!(gradient.iter().any(|g| g.abs() > 1e-4), "{name}: a gradient of zeros checks nothing");
    // Rounding of f over the step, plus a relative part.
    let noise = 4.0 * f64::EPSILON * (f(point).abs() + 1.0) / STEP;
    for i in 0..point.len() {
        let mut moved = point.to_vec();
        moved[i] = point[i] + STEP;
        let above = f(&moved);
        moved[i] = point[i] - STEP;
        let below = f(&moved);
        let difference = (above - below) / (2.0 * STEP);
        assert!(
            (difference - gradient[i]).abs() <= noise + 1e-7 * gradient[i].abs(),
            "{name}: element {i}: analytic {}, difference quotient {difference}",
            gradient[i]
        );
    }
}

/// Checks `|found - expected| <= tolerance`.
pub fn near(name: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{name}: found {found}, expected {expected}, tolerance {tolerance}"
    );
}
