//! Draws and densities of a uniform box (`shaders/proposal/uniform_propose.wgsl`).

use super::{uniform_log_density, uniform_sample};

/// The demonstration of each context, then its draws, and the log-density of each.
///
/// * `demonstrations`: `[contexts, dims]`; `u`: `[contexts, draws, dims]`, uniform in (0, 1).
/// * returns `[contexts, 1 + draws, dims]` and `[contexts, 1 + draws]`.
pub fn uniform_propose(low: &[f64], high: &[f64], demonstrations: &[f64], u: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dims = low.len();
    let drawn = uniform_sample(low, high, u);
    let per_context = drawn.len() / (demonstrations.len() / dims);
    let y: Vec<f64> = demonstrations
        .chunks_exact(dims)
        .zip(drawn.chunks_exact(per_context))
        .flat_map(|(own, drawn)| own.iter().chain(drawn))
        .copied()
        .collect();
    let log_q = uniform_log_density(low, high, &y);
    (y, log_q)
}
