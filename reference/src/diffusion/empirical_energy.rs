//! The intermediate energy and the noise of a finite data set
//! (`shaders/diffusion/empirical_energy.wgsl`).

use crate::nn::{EnergyAndGradient, Summed, check};
use crate::proposal::log_sum_exp;

/// A point of the data seen from a noised sample.
struct Seen {
    /// `-|x - alpha point|^2 / (2 sigma^2)`
    l: f64,
    /// Size of its terms.
    size: f64,
    /// `x - alpha point`
    apart: Vec<f64>,
    /// `|x| + |alpha point|`
    reach: Vec<f64>,
}

fn seen(points: &[f64], (alpha, sigma): (f64, f64), x: &[f64]) -> Vec<Seen> {
    points
        .chunks_exact(x.len())
        .map(|point| {
            let apart: Vec<f64> = x.iter().zip(point).map(|(x, p)| x - alpha * p).collect();
            let reach: Vec<f64> = x.iter().zip(point).map(|(x, p)| x.abs() + (alpha * p).abs()).collect();
            let half_precision = 0.5 / (sigma * sigma);
            let squares: f64 = apart.iter().map(|d| d * d).sum();
            let moved: f64 = apart.iter().zip(&reach).map(|(d, r)| d * d + 2.0 * d.abs() * r).sum();
            Seen { l: -half_precision * squares, size: half_precision * moved, apart, reach }
        })
        .collect()
}

/// Weighted mean of `x - alpha point`, its size, and the log of the sum of weights with its size.
fn mean(seen: &[Seen], tilt: impl Fn(usize) -> f64) -> (Summed, f64, f64) {
    let joint: Vec<f64> = seen.iter().enumerate().map(|(i, seen)| seen.l - tilt(i)).collect();
    let total = log_sum_exp(&joint);
    let weights: Vec<f64> = joint.iter().map(|l| (l - total).exp()).collect();
    let off = |i: usize| seen[i].size + tilt(i).abs();
    let spread: f64 = weights.iter().enumerate().map(|(i, w)| w * off(i)).sum();
    let dims = seen[0].apart.len();
    let sum = |term: &dyn Fn(usize) -> f64| (0..seen.len()).map(|i| weights[i] * term(i)).sum::<f64>();
    let value: Vec<f64> = (0..dims).map(|j| sum(&|i| seen[i].apart[j])).collect();
    let magnitude = (0..dims)
        .map(|j| {
            sum(&|i| (1.0 + off(i) + spread) * (seen[i].apart[j].abs() + value[j].abs()) + seen[i].reach[j])
        })
        .collect();
    (Summed { value, magnitude }, total, spread)
}

/// `E_t(x) = logsumexp_i(l_i) - logsumexp_i(l_i - e_i)`,
/// `l_i = -|x - alpha point_i|^2 / (2 sigma^2)`, and its gradient
/// `(alpha / sigma^2) (mean of points under softmax(l) - mean under softmax(l - e))`.
///
/// * `points`: `[points, dims]`, `energies`: `[points]`, beta included; `x`: `[rows, dims]`.
pub fn empirical_energy(
    points: &[f64],
    energies: &[f64],
    level: (f64, f64),
    dims: usize,
    x: &[f64],
) -> EnergyAndGradient {
    check("points", points.len(), energies.len() * dims);
    let precision = 1.0 / (level.1 * level.1);
    let mut result = EnergyAndGradient::default();
    for x in x.chunks_exact(dims) {
        let seen = seen(points, level, x);
        let (plain, total, spread) = mean(&seen, |_| 0.0);
        let (tilted, tilted_total, tilted_spread) = mean(&seen, |i| energies[i]);
        result.energy.push(total - tilted_total);
        result.energy_magnitude.push(spread + tilted_spread + 1.0);
        for j in 0..dims {
            result.gradient.push(precision * (tilted.value[j] - plain.value[j]));
            result.gradient_magnitude.push(precision * (tilted.magnitude[j] + plain.magnitude[j]));
        }
    }
    result
}

/// `eps = -sigma grad log q_t` for `q_t(x) = mean_i N(x; alpha point_i, sigma^2)`: the mean of
/// `x - alpha point_i` under `softmax(l)`, divided by sigma.
pub fn empirical_noise(points: &[f64], level: (f64, f64), dims: usize, x: &[f64]) -> Summed {
    let mut result = Summed { value: Vec::new(), magnitude: Vec::new() };
    for x in x.chunks_exact(dims) {
        let (plain, _, _) = mean(&seen(points, level, x), |_| 0.0);
        result.value.extend(plain.value.iter().map(|v| v / level.1));
        result.magnitude.extend(plain.magnitude.iter().map(|v| v / level.1));
    }
    result
}
