//! Gradient of a layer norm to its gain and bias, in parts
//! (`shaders/nn/passes/layer_norm_weight_gradient.wgsl`).

use std::ops::Range;

use super::layer_norm::{LayerNorm, NormShape};
use crate::nn::{Summed, check};

/// Result of [`layer_norm_weight_gradient`], one part per split, each `[splits, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormWeightGradient {
    /// Of the gain.
    pub gain: Summed,
    /// Of the bias.
    pub bias: Summed,
}

/// `dgain_s[j] = sum_{r in s} dz[r, j] (h[r, j] - mean[r]) rstd[r]` and `dbias_s[j] = sum_{r in s}
/// dz[r, j]`.
///
/// * `dz`, `h`: `[rows, width]`; `forward`: what [`super::layer_norm()`] gave for `h`. An empty
///   range gives zeros.
pub fn layer_norm_weight_gradient(
    shape: NormShape,
    h: &[f64],
    forward: &LayerNorm,
    dz: &[f64],
    splits: &[Range<usize>],
) -> LayerNormWeightGradient {
    let NormShape { rows, width, .. } = shape;
    check("h", h.len(), rows * width);
    check("dz", dz.len(), rows * width);
    let zeros =
        || Summed { value: vec![0.0; splits.len() * width], magnitude: vec![0.0; splits.len() * width] };
    let (mut gain, mut bias) = (zeros(), zeros());
    for (s, split) in splits.iter().enumerate() {
        for r in split.clone() {
            for j in 0..width {
                let at = s * width + j;
                let output_gradient = dz[r * width + j];
                let term = output_gradient * (h[r * width + j] - forward.mean[r]) * forward.rstd[r];
                gain.value[at] += term;
                gain.magnitude[at] += term.abs();
                bias.value[at] += output_gradient;
                bias.magnitude[at] += output_gradient.abs();
            }
        }
    }
    LayerNormWeightGradient { gain, bias }
}
