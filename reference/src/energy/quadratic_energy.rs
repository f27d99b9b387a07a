//! A quadratic energy (`shaders/energy/quadratic_energy.wgsl`).

use crate::nn::{EnergyAndGradient, check};

/// A Gaussian's energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadratic<'a> {
    /// `[dims]`: the mean without a context.
    pub mean: &'a [f64],
    /// `[dims, width]`, empty without a context.
    pub slope: &'a [f64],
    /// `[dims, dims]`, symmetric.
    pub inverse_covariance: &'a [f64],
}

/// `E = d' A d / 2`, `dE/dy = A d`, `d = y - mean - slope x`.
///
/// * `x`: `[contexts, width]`, `y`: `[rows, dims]`; row `r` belongs to context
///   `r / (rows / contexts)`.
pub fn quadratic_energy(energy: Quadratic<'_>, x: &[f64], y: &[f64]) -> EnergyAndGradient {
    let dims = energy.mean.len();
    let width = energy.slope.len() / dims;
    check("inverse_covariance", energy.inverse_covariance.len(), dims * dims);
    let contexts = x.len().checked_div(width).unwrap_or(1);
    let rows = y.len() / dims;
    check("y", y.len(), rows / contexts * contexts * dims);
    let mut result = EnergyAndGradient::default();
    for (r, y) in y.chunks_exact(dims).enumerate() {
        let x = &x[r / (rows / contexts) * width..][..width];
        let mut d = Vec::new();
        let mut size = Vec::new();
        for (j, y) in y.iter().enumerate() {
            let shift = x.iter().zip(&energy.slope[j * width..]).map(|(x, m)| x * m);
            d.push(y - energy.mean[j] - shift.clone().sum::<f64>());
            size.push(y.abs() + energy.mean[j].abs() + shift.map(f64::abs).sum::<f64>());
        }
        let (mut value, mut magnitude) = (0.0, 0.0);
        for i in 0..dims {
            let row = &energy.inverse_covariance[i * dims..][..dims];
            let g: f64 = row.iter().zip(&d).map(|(a, d)| a * d).sum();
            let g_size: f64 = row.iter().zip(&size).map(|(a, s)| a.abs() * s).sum();
            value += 0.5 * d[i] * g;
            magnitude += size[i] * g_size;
            result.gradient.push(g);
            result.gradient_magnitude.push(g_size);
        }
        result.energy.push(value);
        result.energy_magnitude.push(magnitude);
    }
    result
}
