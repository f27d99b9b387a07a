//! Draws from a uniform box (`shaders/proposal/uniform_sample.wgsl`).

/// `y_j = low_j + (high_j - low_j) u_j`, `[rows, dims]`. `low`, `high`: `[dims]`, `u`:
/// `[rows, dims]` in (0, 1).
pub fn uniform_sample(low: &[f64], high: &[f64], u: &[f64]) -> Vec<f64> {
    let dims = low.len();
    assert!(
        high.len() == dims && u.len().is_multiple_of(dims),
        "`low`, `high` are [dims], `u` is [rows, dims]"
    );
    u.iter().enumerate().map(|(i, u)| low[i % dims] + (high[i % dims] - low[i % dims]) * u).collect()
}
