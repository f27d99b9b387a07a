//! One step of unadjusted Langevin dynamics (`shaders/mcmc/langevin.wgsl`).

/// Coefficients of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LangevinStep {
    /// Step size `eta`, squared data units.
    pub eta: f64,
    /// Factor on the noise: 1, or 0 for the noise-free last step.
    pub noise_scale: f64,
}

/// `y' = y - eta s^2 dE/dy + sqrt(2 eta) noise_scale s n`, clamped to the box when there is one.
///
/// * `y`, `gradient`, `noise`: `[rows, dims]`, data units. `scales`, `s`: `[dims]`. `limits`:
///   `(low, high)`, each `[dims]`.
pub fn langevin(
    y: &[f64],
    gradient: &[f64],
    noise: &[f64],
    scales: &[f64],
    step: LangevinStep,
    limits: Option<(&[f64], &[f64])>,
) -> Vec<f64> {
    assert_eq!(gradient.len(), y.len(), "`gradient` has the shape of `y`");
    assert_eq!(noise.len(), y.len(), "`noise` has the shape of `y`");
    let amplitude = (2.0 * step.eta).sqrt() * step.noise_scale;
    (0..y.len())
        .map(|i| {
            let s = scales[i % scales.len()];
            let next = y[i] - step.eta * s * s * gradient[i] + amplitude * s * noise[i];
            match limits {
                Some((low, high)) => next.clamp(low[i % low.len()], high[i % high.len()]),
                None => next,
            }
        })
        .collect()
}
