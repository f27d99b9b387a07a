//! Energies of chains that may be chosen by them (`shaders/mcmc/usable_energy.wgsl`).

/// The energy of each row, NaN where a coordinate is not finite. `energy`: `[rows]`, `y`:
/// `[rows, dims]`.
pub fn usable_energy(energy: &[f64], y: &[f64], dims: usize) -> Vec<f64> {
    assert_eq!(y.len(), energy.len() * dims, "`y` is [rows, dims]");
    let of = |(&energy, y): (&f64, &[f64])| if y.iter().all(|v| v.is_finite()) { energy } else { f64::NAN };
    energy.iter().zip(y.chunks_exact(dims)).map(of).collect()
}
