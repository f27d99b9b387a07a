//! Chain rule of the input normalization (`shaders/nn/passes/unpack_gradient.wgsl`, without its
//! padding).

/// `dx[r, j] = dz[r, j] * scale[j]`, `[rows, width]` with `width = scale.len()`.
pub fn unpack_gradient(dz: &[f64], scale: &[f64]) -> Vec<f64> {
    let width = scale.len();
    assert!(dz.len().is_multiple_of(width), "`dz` has {} elements, not rows of {width}", dz.len());
    dz.chunks_exact(width).flat_map(|row| row.iter().zip(scale).map(|(dz, scale)| dz * scale)).collect()
}
