//! A probe's share of the divergence along a flow (`shaders/ode/flow_divergence.wgsl`).

use crate::nn::{Summed, check};

/// `log_det + weight probe . product` per row; `probe`, `product`: `[rows, dims]`, `log_det`:
/// `[rows]`.
pub fn flow_divergence(probe: &[f64], product: &[f64], log_det: &[f64], weight: f64) -> Summed {
    check("product", product.len(), probe.len());
    let dims = probe.len() / log_det.len();
    let rows = || probe.chunks_exact(dims).zip(product.chunks_exact(dims)).zip(log_det);
    let dot = |(a, b): (&[f64], &[f64]), size: fn(f64) -> f64| {
        a.iter().zip(b).map(|(a, b)| size(a * b)).sum::<f64>()
    };
    Summed {
        value: rows().map(|(pair, log_det)| log_det + weight * dot(pair, |v| v)).collect(),
        magnitude: rows().map(|(pair, log_det)| log_det.abs() + weight.abs() * dot(pair, f64::abs)).collect(),
    }
}
