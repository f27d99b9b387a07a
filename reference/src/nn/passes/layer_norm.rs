//! Layer norm over the features of a row (`shaders/nn/passes/layer_norm.wgsl`, its activation
//! apart).

use crate::nn::check;

/// Shape of a layer norm applied to a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// Rows of the batch.
    pub rows: usize,
    /// Features of a row.
    pub width: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Result of [`layer_norm`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// `[rows, width]`: `gain (h - mean) rstd + bias`
    pub output: Vec<f64>,
    /// `[rows]`: mean of each row.
    pub mean: Vec<f64>,
    /// `[rows]`: `rstd = 1 / sqrt(variance + epsilon)` of each row.
    pub rstd: Vec<f64>,
    /// `[rows, width]`: `|gain| (|h| + mean of |h|) rstd + |bias|`
    pub magnitude: Vec<f64>,
}

/// `gain[j] (h[r, j] - mean) / sqrt(variance + epsilon) +
/// bias[j]` with mean and (biased) variance of row `r` (Ba, Kiros and Hinton 2016).
///
/// * `h`: `[rows, width]`, `gain`, `bias`: `[width]`.
pub fn layer_norm(shape: NormShape, h: &[f64], gain: &[f64], bias: &[f64]) -> LayerNorm {
    let NormShape { rows, width, epsilon } = shape;
    check("h", h.len(), rows * width);
    check("gain", gain.len(), width);
    check("bias", bias.len(), width);
    let n = width as f64;
    let mut all = LayerNorm { output: vec![], mean: vec![], rstd: vec![], magnitude: vec![] };
    for row in h.chunks_exact(width) {
        let mean = row.iter().sum::<f64>() / n;
        let size = row.iter().map(|h| h.abs()).sum::<f64>() / n;
        let variance = row.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n;
        let rstd = 1.0 / (variance + epsilon).sqrt();
        for (j, h) in row.iter().enumerate() {
            all.output.push(gain[j] * (h - mean) * rstd + bias[j]);
            all.magnitude.push(gain[j].abs() * (h.abs() + size) * rstd + bias[j].abs());
        }
        all.mean.push(mean);
        all.rstd.push(rstd);
    }
    all
}
