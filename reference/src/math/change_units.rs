//! Rows in other units (`shaders/math/change_units.wgsl`).

/// `(x_j - before_j) factor_j + after_j`. `x`: `[rows, dims]`, the others: `[dims]`.
pub fn change_units(x: &[f64], before: &[f64], factor: &[f64], after: &[f64]) -> Vec<f64> {
    let dims = before.len();
    assert!(
        factor.len() == dims && after.len() == dims && x.len().is_multiple_of(dims),
        "`x` is [rows, dims]"
    );
    x.iter().enumerate().map(|(i, x)| (x - before[i % dims]) * factor[i % dims] + after[i % dims]).collect()
}
