//! Fourier features of a normalized input (`shaders/nn/passes/fourier_features.wgsl`, without its
//! padding).

use super::pack_inputs;
use crate::nn::check;

/// `[rows, 2 count + kept]` with `count = matrix.len() / width`: `cos`, `sin` of
/// `2 pi sum_i u[r, i] B[i, j]` in turn for each `j`, then the first `kept` of `u`, where
/// `u = (x - shift) scale`.
///
/// * `x`: `[rows, width]` with `width = shift.len()`; `matrix`: `B`, `[width, count]`.
pub fn fourier_features(x: &[f64], shift: &[f64], scale: &[f64], matrix: &[f64], kept: usize) -> Vec<f64> {
    let width = shift.len();
    let count = matrix.len() / width;
    check("matrix", matrix.len(), width * count);
    let mut out = Vec::new();
    for u in pack_inputs(x, shift, scale).chunks_exact(width) {
        for j in 0..count {
            let phase: f64 = (0..width).map(|i| (u[i] * matrix[i * count + j]).rem_euclid(1.0)).sum();
            let (sin, cos) = (std::f64::consts::TAU * phase).sin_cos();
            out.extend([cos, sin]);
        }
        out.extend(&u[..kept]);
    }
    out
}
