//! Chain rule of Fourier features (`shaders/nn/passes/fourier_gradient.wgsl`, without its padding).

use std::f64::consts::TAU;

use crate::nn::{Summed, check};

/// `dx[r, i] = scale_i (2 pi sum_j B[i, j] (cos_j dz[r, 2 j + 1] - sin_j dz[r, 2 j]) + dz[r, 2
/// count + i])`, `[rows, width]`, the last term for `i < kept`.
///
/// * `dz`, `features`: `[rows, 2 count + kept]`; `matrix`: `B`, `[width, count]` with
///   `width = scale.len()`. The magnitudes take cosines and sines for 1.
pub fn fourier_gradient(dz: &[f64], features: &[f64], scale: &[f64], matrix: &[f64], kept: usize) -> Summed {
    let width = scale.len();
    let count = matrix.len() / width;
    check("matrix", matrix.len(), width * count);
    check("features", features.len(), dz.len());
    let (mut value, mut magnitude) = (Vec::new(), Vec::new());
    let encoded = 2 * count + kept;
    for (dz, features) in dz.chunks_exact(encoded).zip(features.chunks_exact(encoded)) {
        for i in 0..width {
            let (mut sum, mut size) = (0.0, 0.0);
            for j in 0..count {
                let b = matrix[i * count + j];
                sum += TAU * b * (features[2 * j] * dz[2 * j + 1] - features[2 * j + 1] * dz[2 * j]);
                size += (TAU * b).abs() * (dz[2 * j].abs() + dz[2 * j + 1].abs());
            }
            if i < kept {
                sum += dz[2 * count + i];
                size += dz[2 * count + i].abs();
            }
            value.push(sum * scale[i]);
            magnitude.push(size * scale[i].abs());
        }
    }
    Summed { value, magnitude }
}
