//! Inner leapfrog steps (`shaders/mcmc/leapfrog.wgsl`).

/// `h' = h - eps g`, `proposed' = proposed + eps h'`: momenta and positions. All are
/// `[rows, dims]`, `gradient` at the proposed.
pub fn leapfrog(momentum: &[f64], proposed: &[f64], gradient: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>) {
    assert!(momentum.len() == proposed.len() && momentum.len() == gradient.len(), "all are [rows, dims]");
    let kicked: Vec<f64> = momentum.iter().zip(gradient).map(|(h, g)| h - eps * g).collect();
    let moved = proposed.iter().zip(&kicked).map(|(y, h)| y + eps * h).collect();
    (kicked, moved)
}

/// Whether a row has a coordinate outside the box; `low`, `high`: `[dims]`.
pub fn outside(proposed: &[f64], low: &[f64], high: &[f64]) -> Vec<bool> {
    let beyond = |row: &[f64]| row.iter().zip(low.iter().zip(high)).any(|(y, (l, h))| y < l || y > h);
    proposed.chunks_exact(low.len()).map(beyond).collect()
}
