//! The log-density at the end of a flow, carried back (`shaders/ode/flow_density.wgsl`).

use crate::nn::Summed;

/// `log_det + constant - |x|^2 / 2` per row; `x`: `[rows, dims]`, `log_det`: `[rows]`.
pub fn flow_density(x: &[f64], log_det: &[f64], constant: f64) -> Summed {
    let dims = x.len() / log_det.len();
    let half = |row: &[f64]| 0.5 * row.iter().map(|x| x * x).sum::<f64>();
    let rows = || x.chunks_exact(dims).zip(log_det);
    Summed {
        value: rows().map(|(row, log_det)| log_det + constant - half(row)).collect(),
        magnitude: rows().map(|(row, log_det)| log_det.abs() + constant.abs() + half(row)).collect(),
    }
}
