//! Gradient of a layer norm to its input (`shaders/nn/passes/layer_norm_gradient.wgsl`, slope and
//! skip apart).

use super::layer_norm::{LayerNorm, NormShape};
use crate::nn::{Summed, check};

/// `dh[r, j] = rstd (g[j] - mean_i g[i] - n[j] mean_i g[i] n[i])` with `g = dz[r] gain` and `n =
/// (h[r] - mean) rstd`, `[rows, width]`.
///
/// * `dz`: `[rows, width]`, gradient of the norm's output; `forward`: what [`super::layer_norm()`]
///   gave for `h`.
pub fn layer_norm_gradient(
    shape: NormShape,
    h: &[f64],
    gain: &[f64],
    forward: &LayerNorm,
    dz: &[f64],
) -> Summed {
    let NormShape { rows, width, .. } = shape;
    check("h", h.len(), rows * width);
    check("dz", dz.len(), rows * width);
    check("gain", gain.len(), width);
    let n = width as f64;
    let mut value = Vec::with_capacity(rows * width);
    let mut magnitude = Vec::with_capacity(rows * width);
    for r in 0..rows {
        let (mean, rstd) = (forward.mean[r], forward.rstd[r]);
        let g: Vec<f64> = (0..width).map(|j| dz[r * width + j] * gain[j]).collect();
        let normal: Vec<f64> = (0..width).map(|j| (h[r * width + j] - mean) * rstd).collect();
        let plain = g.iter().sum::<f64>() / n;
        let weighted = g.iter().zip(&normal).map(|(g, x)| g * x).sum::<f64>() / n;
        let plain_size = g.iter().map(|g| g.abs()).sum::<f64>() / n;
        let weighted_size = g.iter().zip(&normal).map(|(g, x)| (g * x).abs()).sum::<f64>() / n;
        for j in 0..width {
            value.push(rstd * (g[j] - plain - normal[j] * weighted));
            magnitude.push(rstd * (g[j].abs() + plain_size + normal[j].abs() * weighted_size));
        }
    }
    Summed { value, magnitude }
}
