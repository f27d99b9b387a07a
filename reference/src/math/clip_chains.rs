//! Chains moved into their box (`shaders/math/clip_chains.wgsl`).

/// `min(max(y_j, low_j), high_j)`. `y`: `[rows, dims]`, `low`, `high`: `[dims]`.
pub fn clip_chains(y: &[f64], low: &[f64], high: &[f64]) -> Vec<f64> {
    assert!(low.len() == high.len() && y.len().is_multiple_of(low.len()), "`y` is [rows, dims]");
    y.iter().enumerate().map(|(i, y)| y.clamp(low[i % low.len()], high[i % low.len()])).collect()
}
