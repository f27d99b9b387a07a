//! The log-density at the end of a flow, carried back (`shaders/diffusion/flow_density.wgsl`).

use crate::nn::Summed;

/// `volume + constant - |x|^2 / 2` per row; `x`: `[rows, dims]`, `volume`: `[rows]`.
pub fn flow_density(x: &[f64], volume: &[f64], constant: f64) -> Summed {
    let dims = x.len() / volume.len();
    let half = |row: &[f64]| 0.5 * row.iter().map(|x| x * x).sum::<f64>();
    let rows = || x.chunks_exact(dims).zip(volume);
    Summed {
        value: rows().map(|(row, volume)| volume + constant - half(row)).collect(),
        magnitude: rows().map(|(row, volume)| volume.abs() + constant.abs() + half(row)).collect(),
    }
}
