//! A user's energy with its own gradient (`shaders/energy/shader_energy.wgsl`).

/// Energy and gradient of every row by the user's functions of (context, point).
///
/// * `x`: `[contexts, width]`, or empty for one context `[0]`; `y`: `[rows, dims]`; row `r` belongs
///   to context `r / (rows / contexts)`.
pub fn shader_energy(
    (x, width): (&[f64], usize),
    (y, dims): (&[f64], usize),
    energy: impl Fn(&[f64], &[f64]) -> f64,
    gradient: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> (Vec<f64>, Vec<f64>) {
    let rows = rows((x, width), (y, dims));
    let values = rows.iter().map(|(x, y)| energy(x, y)).collect();
    (values, rows.iter().flat_map(|(x, y)| gradient(x, y)).collect())
}

/// Each row's context and point.
pub(crate) fn rows<'a>(
    (x, width): (&'a [f64], usize),
    (y, dims): (&'a [f64], usize),
) -> Vec<(&'a [f64], &'a [f64])> {
    let count = y.len() / dims;
    let contexts = x.len().checked_div(width).unwrap_or(1);
    assert_eq!(y.len(), count / contexts * contexts * dims, "`y` holds whole rows for each context");
    let context =
        |r: usize| if width == 0 { &[0.0][..] } else { &x[r / (count / contexts) * width..][..width] };
    y.chunks_exact(dims).enumerate().map(|(r, y)| (context(r), y)).collect()
}
