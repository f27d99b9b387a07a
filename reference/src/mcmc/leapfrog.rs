//! Inner leapfrog steps (`shaders/mcmc/leapfrog.wgsl`).

/// `h' = h - eps s g`, `proposed' = proposed + eps s h'`: momenta and positions. All are
/// `[rows, dims]`, `gradient` at the proposed; `scales`, `s`: `[dims]`.
pub fn leapfrog(
    momentum: &[f64],
    proposed: &[f64],
    gradient: &[f64],
    scales: &[f64],
    eps: f64,
) -> (Vec<f64>, Vec<f64>) {
    assert!(momentum.len() == proposed.len() && momentum.len() == gradient.len(), "all are [rows, dims]");
    let step = |at: usize| eps * scales[at % scales.len()];
    let kicked: Vec<f64> = (0..momentum.len()).map(|at| momentum[at] - step(at) * gradient[at]).collect();
    let moved = (0..proposed.len()).map(|at| proposed[at] + step(at) * kicked[at]).collect();
    (kicked, moved)
}

/// Whether a row has a coordinate outside the box; `low`, `high`: `[dims]`.
pub fn outside(proposed: &[f64], low: &[f64], high: &[f64]) -> Vec<bool> {
    let beyond = |row: &[f64]| row.iter().zip(low.iter().zip(high)).any(|(y, (l, h))| y < l || y > h);
    proposed.chunks_exact(low.len()).map(beyond).collect()
}
