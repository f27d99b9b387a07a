//! The energy of a mixture of diagonal Gaussians (`shaders/energy/mixture_energy.wgsl`).

use crate::nn::{EnergyAndGradient, check};
use crate::proposal::{HALF_LN_TAU, log_sum_exp};

/// Weights (which sum to 1), means and standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiagonalMixture<'a> {
    /// `[components]`
    pub weights: &'a [f64],
    /// `[components, dims]`
    pub means: &'a [f64],
    /// `[components, dims]`
    pub stds: &'a [f64],
}

/// `E = -log sum_c w_c N(y; mean_c, std_c^2)`, `dE/dy_j = sum_c r_c (y_j - mean_cj) / std_cj^2`,
/// `y`: `[rows, dims]`.
///
/// Magnitudes are the sizes of the terms of the likeliest components, cancellation in `y - mean`
/// included.
pub fn mixture_energy(mixture: DiagonalMixture<'_>, y: &[f64]) -> EnergyAndGradient {
    let components = mixture.weights.len();
    let dims = mixture.means.len() / components;
    check("stds", mixture.stds.len(), components * dims);
    check("y", y.len(), y.len() / dims * dims);
    let mut result = EnergyAndGradient::default();
    for y in y.chunks_exact(dims) {
        let mut joint = Vec::new();
        let mut size = Vec::new();
        for c in 0..components {
            let mut coefficient = mixture.weights[c].ln() - dims as f64 * HALF_LN_TAU;
            let (mut squares, mut squares_size) = (0.0, 0.0);
            for (j, y) in y.iter().enumerate() {
                let (mean, std) = (mixture.means[c * dims + j], mixture.stds[c * dims + j]);
                let t = (y - mean) / std;
                coefficient -= std.ln();
                squares += 0.5 * t * t;
                // Rounding y - mean and 1 / std moves t by about (|y| + |mean|) / std.
                squares_size += t.abs() * (t.abs() + (y.abs() + mean.abs()) / std);
            }
            joint.push(coefficient - squares);
            size.push(coefficient.abs() + squares_size);
        }
        let total = log_sum_exp(&joint);
        let r: Vec<f64> = joint.iter().map(|l| (l - total).exp()).collect();
        let spread: f64 = r.iter().zip(&size).map(|(r, s)| r * s).sum();
        result.energy.push(-total);
        result.energy_magnitude.push(spread + 1.0);
        for (j, y) in y.iter().enumerate() {
            let (mut g, mut g_size) = (0.0, 0.0);
            for c in 0..components {
                let (mean, std) = (mixture.means[c * dims + j], mixture.stds[c * dims + j]);
                let t = (y - mean) / std;
                g += r[c] * t / std;
                // An error of a log-density is a relative error of its responsibility.
                let uncertain = r[c] * (1.0 + size[c] + spread);
                g_size += (uncertain * t.abs() + r[c] * (y.abs() + mean.abs()) / std) / std;
            }
            result.gradient.push(g);
            result.gradient_magnitude.push(g_size);
        }
    }
    result
}
