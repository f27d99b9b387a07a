//! Log-density of a uniform box (`shaders/proposal/uniform_log_density.wgsl`).

/// Log-density outside the box, in place of minus infinity.
pub const OUTSIDE: f64 = -1.0e30;

/// `log q(y) = -sum_j ln(high_j - low_j)` inside the closed box, [`OUTSIDE`] elsewhere. `y`:
/// `[rows, dims]`.
pub fn uniform_log_density(low: &[f64], high: &[f64], y: &[f64]) -> Vec<f64> {
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
