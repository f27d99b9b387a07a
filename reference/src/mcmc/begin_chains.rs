//! The memory of Metropolis chains at their start (`shaders/mcmc/begin_chains.wgsl`).

/// Rows `[energy, 0, 0, 0, 0, 0, dead, 0, 0, gradient..]`, and a last one `[0 .., scales..]`;
/// `dead` is 1 where the energy or a number of the gradient or of `y` is not finite. `energy`:
/// `[rows]`, `gradient`, `y`: `[rows, dims]`, `scales`: `[dims]`.
pub fn begin_chains(energy: &[f64], gradient: &[f64], scales: &[f64], y: &[f64]) -> Vec<f64> {
    assert!(gradient.len().is_multiple_of(energy.len()), "`gradient` is [rows, dims]");
    assert_eq!(gradient.len(), y.len(), "`y` has the shape of `gradient`");
    let dims = gradient.len() / energy.len();
    let rows = energy.iter().zip(gradient.chunks_exact(dims)).zip(y.chunks_exact(dims));
    let row = |((&energy, energy_gradient), y): ((&f64, &[f64]), &[f64])| {
        let living = energy.is_finite() && energy_gradient.iter().chain(y).all(|v| v.is_finite());
        let dead = f64::from(u8::from(!living));
        [&[energy, 0.0, 0.0, 0.0, 0.0, 0.0, dead, 0.0, 0.0], energy_gradient].concat()
    };
    rows.flat_map(row).chain([0.0; 9]).chain(scales.iter().copied()).collect()
}
