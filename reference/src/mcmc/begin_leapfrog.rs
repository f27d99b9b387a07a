//! Trajectories begun (`shaders/mcmc/begin_leapfrog.wgsl`).

/// Result of [`begin_leapfrog`].
#[derive(Clone, Debug, PartialEq)]
pub struct BeginLeapfrog {
    /// `[rows]`: `|p|^2 / 2` of the momenta drawn.
    pub kinetic: Vec<f64>,
    /// `[rows, dims]`: momenta after the first half kick.
    pub momentum: Vec<f64>,
    /// `[rows, dims]`: positions after the first drift.
    pub proposed: Vec<f64>,
}

/// `p = sqrt(temperature) n`, `h = p - eps/2 g`, `proposed = y + eps h`.
///
/// * `y`, `gradient`, `noise`: `[rows, dims]`.
pub fn begin_leapfrog(
    y: &[f64],
    gradient: &[f64],
    noise: &[f64],
    dims: usize,
    eps: f64,
    temperature: f64,
) -> BeginLeapfrog {
    assert!(y.len() == gradient.len() && y.len() == noise.len(), "all are [rows, dims]");
    let drawn: Vec<f64> = noise.iter().map(|n| temperature.sqrt() * n).collect();
    let kinetic = drawn.chunks_exact(dims).map(|row| row.iter().map(|p| 0.5 * p * p).sum()).collect();
    let momentum: Vec<f64> = drawn.iter().zip(gradient).map(|(p, g)| p - 0.5 * eps * g).collect();
    let proposed = y.iter().zip(&momentum).map(|(y, h)| y + eps * h).collect();
    BeginLeapfrog { kinetic, momentum, proposed }
}
