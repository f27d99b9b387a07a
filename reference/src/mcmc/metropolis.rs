//! Trajectories ended (`shaders/mcmc/metropolis.wgsl`).

/// `gain[row] = E + K - E' - |p|^2 / 2` with `p = h - eps/2 s g'`: the negative of what a
/// trajectory adds to the total energy.
///
/// * `before`: `E + K` at its start, `energy`: `E'` at its end, both `[rows]`; `gradient`,
///   `momentum`: `[rows, dims]` at the end, the momentum half a kick short of it; `scales`, `s`:
///   `[dims]`.
pub fn gain(
    before: &[f64],
    energy: &[f64],
    (gradient, momentum): (&[f64], &[f64]),
    scales: &[f64],
    eps: f64,
) -> Vec<f64> {
    assert!(before.len() == energy.len() && gradient.len() == momentum.len(), "one number per row");
    let dims = scales.len();
    (0..energy.len())
        .map(|row| {
            let at = row * dims..(row + 1) * dims;
            let last = at.map(|at| momentum[at] - 0.5 * eps * scales[at % dims] * gradient[at]);
            before[row] - energy[row] - last.map(|p| 0.5 * p * p).sum::<f64>()
        })
        .collect()
}

/// `min(1, exp(gain / temperature))`
pub fn acceptance(gain: f64, temperature: f64) -> f64 {
    (gain / temperature).min(0.0).exp()
}

/// Whether `ln u < gain / temperature`.
pub fn metropolis(gain: f64, temperature: f64, u: f64) -> bool {
    u.ln() < gain / temperature
}

/// Whether the rounding of two energies to 32 bits may turn a decision: it changes densities by
/// more than a tenth, and the gain is no farther than that from where the decision turns.
/// `magnitude` is the larger of the energies without signs.
pub fn rounding_decides(gain: f64, temperature: f64, u: f64, magnitude: f64) -> bool {
    let rounding = magnitude * 2f64.powi(-23);
    rounding > (0.1 * temperature).max((gain - temperature * u.ln()).abs())
}

/// The same logarithm for the adjusted Langevin algorithm, from its definition:
/// `[energy, gradient]` at `y` and at `proposed`.
///
/// `(E - E') / T + (|y' - y + eta g|^2 - |y - y' + eta g'|^2) / (4 eta T)`
pub fn langevin_log_ratio(
    (y, energy, gradient): (&[f64], f64, &[f64]),
    (proposed, draft_energy, draft_gradient): (&[f64], f64, &[f64]),
    eta: f64,
    temperature: f64,
) -> f64 {
    let square = |from: &[f64], to: &[f64], energy_gradient: &[f64]| -> f64 {
        (0..from.len()).map(|j| (to[j] - from[j] + eta * energy_gradient[j]).powi(2)).sum()
    };
    let forth = square(y, proposed, gradient);
    let back = square(proposed, y, draft_gradient);
    (energy - draft_energy) / temperature + (forth - back) / (4.0 * eta * temperature)
}
