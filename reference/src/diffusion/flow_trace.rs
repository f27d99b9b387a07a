//! A probe's share of the divergence along a flow (`shaders/diffusion/flow_trace.wgsl`).

use crate::nn::{Summed, check};

/// `volume + weight probe . product` per row; `probe`, `product`: `[rows, dims]`, `volume`: `[rows]`.
pub fn flow_trace(probe: &[f64], product: &[f64], volume: &[f64], weight: f64) -> Summed {
    check("product", product.len(), probe.len());
    let dims = probe.len() / volume.len();
    let rows = || probe.chunks_exact(dims).zip(product.chunks_exact(dims)).zip(volume);
    let dot = |(a, b): (&[f64], &[f64]), size: fn(f64) -> f64| {
        a.iter().zip(b).map(|(a, b)| size(a * b)).sum::<f64>()
    };
    Summed {
        value: rows().map(|(pair, volume)| volume + weight * dot(pair, |v| v)).collect(),
        magnitude: rows().map(|(pair, volume)| volume.abs() + weight.abs() * dot(pair, f64::abs)).collect(),
    }
}
