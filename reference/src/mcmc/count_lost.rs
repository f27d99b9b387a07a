//! How many chains are lost (`shaders/mcmc/count_lost.wgsl`).

/// Per context the sum of the marks. `lost`: `[contexts, chains]`.
pub fn count_lost(lost: &[f64], chains: usize) -> Vec<f64> {
    assert!(lost.len().is_multiple_of(chains), "`lost` is [contexts, chains]");
    lost.chunks_exact(chains).map(|row| row.iter().sum()).collect()
}
