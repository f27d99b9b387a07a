//! Uniform draws from a box (`shaders/proposal/uniform_box.wgsl`).

/// Log-density outside the box, in place of minus infinity.
pub const OUTSIDE: f64 = -1.0e30;

/// Result of [`uniform_box`].
#[derive(Clone, Debug, PartialEq)]
pub struct UniformBox {
    /// `[rows, dims]`
    pub y: Vec<f64>,
    /// `[rows]`
    pub log_density: Vec<f64>,
}

/// `y_j = low_j + (high_j - low_j) u_j` and its log-density. `low`, `high`: `[dims]`, `u`: `[rows, dims]` in (0, 1).
pub fn uniform_box(low: &[f64], high: &[f64], u: &[f64]) -> UniformBox {
    let dims = low.len();
    assert!(
        high.len() == dims && u.len().is_multiple_of(dims),
        "`low`, `high` are [dims], `u` is [rows, dims]"
    );
    let y: Vec<f64> =
        u.iter().enumerate().map(|(i, u)| low[i % dims] + (high[i % dims] - low[i % dims]) * u).collect();
    let log_density = log_density(low, high, &y);
    UniformBox { y, log_density }
}

/// `log q(y) = -sum_j ln(high_j - low_j)` inside the closed box, [`OUTSIDE`] elsewhere. `y`: `[rows, dims]`.
pub fn log_density(low: &[f64], high: &[f64], y: &[f64]) -> Vec<f64> {
    let dims = low.len();
    assert!(
        high.len() == dims && y.len().is_multiple_of(dims),
        "`low`, `high` are [dims], `y` is [rows, dims]"
    );
    let inside = -low.iter().zip(high).map(|(low, high)| (high - low).ln()).sum::<f64>();
    y.chunks_exact(dims)
        .map(|y| {
            let within = y.iter().zip(low).zip(high).all(|((y, low), high)| low <= y && y <= high);
            if within { inside } else { OUTSIDE }
        })
        .collect()
}
