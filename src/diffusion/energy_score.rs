//! Energies over noised samples as scores.

use super::{NoiseLevel, Score, combine};
use crate::energy::Energy;
use crate::gpu::{Bindings, Recording, Value};
use crate::{Error, Result};

/// An energy of `(t, alpha_t, sigma_t)` and `x` that is `-log q_t(x)` up to a constant per time, as
/// a score: `eps = sigma_t dE/dx`. This is how a user's own WGSL becomes one.
///
/// The energy's context holds the three numbers, in this order; the score's own context is ignored.
/// One dispatch more than the energy's gradient. It offers no derivative.
///
/// ```
/// use gibbs::diffusion::EnergyScore;
/// use gibbs::energy::{Gradient, ShaderEnergy, ShaderEnergyOptions};
///
/// // Data from N(0, 1/4): noised, the variance is alpha^2 / 4 + sigma^2.
/// let text = "
/// fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
///     return 0.5 * y[0] * y[0] / (0.25 * x[1] * x[1] + x[2] * x[2]);
/// }
/// fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
///     return array<f32, DIMS>(y[0] / (0.25 * x[1] * x[1] + x[2] * x[2]));
/// }
/// ";
/// let options = ShaderEnergyOptions::new(3, 1, Gradient::Written);
/// let score = EnergyScore::new(ShaderEnergy::new("bell", "my/bell.wgsl", text, options)?);
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EnergyScore<E> {
    energy: E,
}

impl<E: Energy> EnergyScore<E> {
    /// Takes an energy as a score.
    pub fn new(energy: E) -> Self {
        Self { energy }
    }

    /// The energy.
    pub fn energy(&self) -> &E {
        &self.energy
    }
}

impl<E: Energy> Score for EnergyScore<E> {
    fn dims(&self) -> usize {
        self.energy.dims()
    }

    fn record_noise(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let shape = recording.shape(x)?.clone();
        let &[contexts, _, dims] = shape.dims() else {
            let expected = format!("[contexts, samples, {}]", self.dims());
            return Err(Error::shape(
                "energy score",
                "x",
                shape,
                expected,
                "give the samples of each context together",
            ));
        };
        if dims != self.dims() || shape.is_empty() {
            let expected = format!("[contexts, samples, {}]", self.dims());
            return Err(Error::shape(
                "energy score",
                "x",
                shape,
                expected,
                "give points of the energy's dimensions",
            ));
        }
        let place = [level.time as f32, level.alpha() as f32, level.sigma() as f32];
        let context = recording.constant("noise level", [contexts, 3], &place.repeat(contexts))?;
        let gradient = self.energy.record_gradient(recording, Some(context), x)?;
        combine::record(recording, "energy score", (place[2], gradient), (0.0, gradient))
    }

    fn bindings(&self) -> Bindings {
        self.energy.bindings()
    }
}
