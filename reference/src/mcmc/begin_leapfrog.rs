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

/// `p = sqrt(temperature) n`, `h = p - eps/2 s g`, `proposed = y + eps s h`.
///
/// * `y`, `gradient`, `noise`: `[rows, dims]`; `scales`, `s`: `[dims]`.
pub fn begin_leapfrog(
    y: &[f64],
    gradient: &[f64],
    noise: &[f64],
    scales: &[f64],
    eps: f64,
    temperature: f64,
) -> BeginLeapfrog {
    assert!(y.len() == gradient.len() && y.len() == noise.len(), "all are [rows, dims]");
    let (dims, scale) = (scales.len(), |at: usize| scales[at % scales.len()]);
    let drawn: Vec<f64> = noise.iter().map(|n| temperature.sqrt() * n).collect();
    let kinetic = drawn.chunks_exact(dims).map(|row| row.iter().map(|p| 0.5 * p * p).sum()).collect();
    let momentum: Vec<f64> =
        (0..y.len()).map(|at| drawn[at] - 0.5 * eps * scale(at) * gradient[at]).collect();
    let proposed = (0..y.len()).map(|at| y[at] + eps * scale(at) * momentum[at]).collect();
    BeginLeapfrog { kinetic, momentum, proposed }
}
