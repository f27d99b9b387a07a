//! Which chains are lost (`shaders/mcmc/mark_lost.wgsl`).

/// 1 for the rows with a coordinate that is not finite, else 0. `y`: `[rows, dims]`.
pub fn mark_lost(y: &[f64], dims: usize) -> Vec<f64> {
    assert!(y.len().is_multiple_of(dims), "`y` is [rows, dims]");
    y.chunks_exact(dims).map(|row| f64::from(u8::from(row.iter().any(|v| !v.is_finite())))).collect()
}
