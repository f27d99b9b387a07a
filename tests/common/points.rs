//! Points of the plane, and a context of one's own.

use gibbs::{Gpu, GpuOptions};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::lavapipe;

/// Pairs of standard normal numbers.
pub fn normals(count: usize, seed: u64) -> Vec<[f64; 2]> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| [(); 2].map(|()| rng.sample(StandardNormal))).collect()
}

/// Mean, and covariance as xx, xy, yy.
pub fn moments(points: &[[f64; 2]]) -> ([f64; 2], [f64; 3]) {
    let n = points.len() as f64;
    let mean = [0, 1].map(|j| points.iter().map(|p| p[j]).sum::<f64>() / n);
    let covariance = [(0, 0), (0, 1), (1, 1)]
        .map(|(i, j)| points.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / n);
    (mean, covariance)
}

/// Rows of two numbers.
pub fn pairs(flat: &[f32]) -> Vec<[f64; 2]> {
    flat.chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect()
}

/// A context of its own, whose counters nobody else moves.
pub fn own_gpu() -> Gpu {
    let adapter = Some(lavapipe().gpu.info().name.clone());
    Gpu::open(&GpuOptions::default().with_adapter(adapter)).expect("a context")
}
