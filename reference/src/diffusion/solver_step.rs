//! One update of a diffusion solver (`shaders/diffusion/solver_step.wgsl`).

/// Factors of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolverFactors {
    /// Of the point in the model value.
    pub point: f64,
    /// Of the noise in the model value.
    pub noise: f64,
    /// Of the point that the update starts from.
    pub start: f64,
    /// Of the model value and the two before it.
    pub model: [f64; 3],
    /// Of fresh noise.
    pub fresh: f64,
}

/// `m0 = point x + noise e`, `next = start b + model . (m0, m1, m2) + fresh z`; returns
/// `(next, m0)`.
///
/// All slices are `[rows, dims]`; `e` is the noise with its guidance.
pub fn solver_step(
    (b, x, e): (&[f64], &[f64], &[f64]),
    [m1, m2]: [&[f64]; 2],
    z: &[f64],
    factors: SolverFactors,
) -> (Vec<f64>, Vec<f64>) {
    (0..x.len())
        .map(|at| {
            let m0 = factors.point * x[at] + factors.noise * e[at];
            let models = factors.model[0] * m0 + factors.model[1] * m1[at] + factors.model[2] * m2[at];
            (factors.start * b[at] + models + factors.fresh * z[at], m0)
        })
        .unzip()
}

/// The noise of a guided model: `e = noise + scale sigma dE/dx`, energy low = wanted.
pub fn guided_noise(noise: &[f64], energy_gradient: &[f64], scale: f64, sigma: f64) -> Vec<f64> {
    noise
        .iter()
        .zip(energy_gradient)
        .map(|(noise, energy_gradient)| noise + scale * sigma * energy_gradient)
        .collect()
}
