//! Normalization of network inputs (`shaders/nn/passes/pack_inputs.wgsl`, without its padding).

use crate::nn::check;

/// `out[r, j] = (x[r, j] - shift[j]) * scale[j]`, `[rows, width]` with `width = shift.len()`.
pub fn pack_inputs(x: &[f64], shift: &[f64], scale: &[f64]) -> Vec<f64> {
    let width = shift.len();
    check("scale", scale.len(), width);
    assert!(x.len().is_multiple_of(width), "`x` has {} elements, not rows of {width}", x.len());
    x.chunks_exact(width)
        .flat_map(|row| row.iter().zip(shift).zip(scale).map(|((x, shift), scale)| (x - shift) * scale))
        .collect()
}
