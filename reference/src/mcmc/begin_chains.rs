//! The memory of Metropolis chains at their start (`shaders/mcmc/begin_chains.wgsl`).

/// Rows `[energy, 0, 0, 0, 0, 0, gradient..]`. `energy`: `[rows]`, `gradient`: `[rows, dims]`.
pub fn begin_chains(energy: &[f64], gradient: &[f64]) -> Vec<f64> {
    assert!(gradient.len().is_multiple_of(energy.len()), "`gradient` is [rows, dims]");
    let dims = gradient.len() / energy.len();
    let rows = energy.iter().zip(gradient.chunks_exact(dims));
    rows.flat_map(|(&energy, energy_gradient)| [&[energy, 0.0, 0.0, 0.0, 0.0, 0.0], energy_gradient].concat())
        .collect()
}
