//! What leads a diffusion model away from its data.

use super::{IntermediateEnergy, NoiseLevel, NoiseSchedule, Score, combine};
use crate::energy::Energy;
use crate::error::counted;
use crate::gpu::{Bindings, Recording, Shape, Value};
use crate::math::change_units;
use crate::math::change_units::Change;
use crate::nn::Normalizer;
use crate::{Error, Result};

/// How samples are drawn towards low energy.
#[derive(Clone, Copy, Default)]
pub enum Guidance<'a> {
    /// Not at all: samples of the data.
    #[default]
    None,
    /// By the gradient of an intermediate energy: exact if the energy is (arXiv 2304.12824).
    /// Networks trained to be one, or to the target of a regression baseline, are of this kind.
    Intermediate(&'a dyn IntermediateEnergy),
    /// By the gradient of `beta E(x_0_hat)` through the denoiser,
    /// `x_0_hat = (x - sigma eps) / alpha` (diffusion posterior sampling, arXiv 2209.14687): needs
    /// an energy with a gradient and the score's derivative, and is not exact.
    Denoised {
        /// Energy of a sample without noise, in data units.
        energy: &'a dyn Energy,
        /// Inverse temperature.
        beta: f64,
    },
}

/// The noise that a guided model predicts, before the gradient is scaled and added:
/// `eps + scale sigma_t energy_gradient`.
#[derive(Clone, Copy, Debug)]
pub struct GuidedNoise {
    /// The noise of the score, of the rows and dimensions of `x`.
    pub noise: Value,
    /// The gradient of the energy by `x`, of the same rows and dimensions, without `sigma_t` and
    /// the scale; if there is guidance.
    pub energy_gradient: Option<Value>,
}

impl Guidance<'_> {
    /// Checks that it fits a score.
    ///
    /// # Errors
    /// [`Error::Argument`] for an energy of other dimensions or, of noised samples, in other units
    /// than the score's, or a `beta` that is negative or not finite.
    pub fn check(&self, score: &dyn Score) -> Result<()> {
        let dims = score.dims();
        let found = match self {
            Guidance::None => return Ok(()),
            Guidance::Intermediate(energy) => energy.dims(),
            Guidance::Denoised { energy, beta } => {
                if !(beta.is_finite() && *beta >= 0.0) {
                    let problem = format!("is {beta}; it must be finite and not negative");
                    return Err(Error::argument("guidance", "beta", problem));
                }
                energy.dims()
            }
        };
        if found != dims {
            let problem = format!("has {}, the score {dims}", counted(found, "dimension"));
            return Err(Error::argument("guidance", "the energy", problem));
        }
        match self {
            Guidance::Intermediate(energy) => same_units(score, *energy),
            _ => Ok(()),
        }
    }

    /// Records the noise of a score at `x` and the gradient that guides there.
    ///
    /// * `context`: `[contexts, width]` for a conditional model or energy; `x`:
    ///   `[contexts, samples, dims]`.
    /// * per call: the score forward; an intermediate energy forward and back to its input; through
    ///   a denoiser the energy's gradient and the score back to its input.
    ///
    /// # Errors
    /// As [`Score::record_noise_and_vjps`] and [`IntermediateEnergy::record_gradient`].
    pub fn record(
        &self,
        recording: &mut Recording,
        score: &dyn Score,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<GuidedNoise> {
        match *self {
            Guidance::None => Ok(GuidedNoise {
                noise: score.record_noise(recording, context, x, level)?,
                energy_gradient: None,
            }),
            Guidance::Intermediate(energy) => {
                let noise = recording
                    .scoped("score", |recording| score.record_noise(recording, context, x, level))?;
                let energy_gradient = recording
                    .scoped("energy", |recording| energy.record_gradient(recording, context, x, level))?;
                Ok(GuidedNoise { noise, energy_gradient: Some(energy_gradient) })
            }
            Guidance::Denoised { energy, beta } => {
                record_denoised(recording, (score, energy), beta, context, x, level)
            }
        }
    }

    /// The noise schedule that its energy belongs to, if it knows times by one.
    pub fn schedule(&self) -> Option<NoiseSchedule> {
        match self {
            Guidance::Intermediate(energy) => energy.schedule(),
            Guidance::None | Guidance::Denoised { .. } => None,
        }
    }

    /// The tensors its slots need.
    pub fn bindings(&self) -> Bindings {
        match self {
            Guidance::None => Bindings::new(),
            Guidance::Intermediate(energy) => energy.bindings(),
            Guidance::Denoised { energy, .. } => energy.bindings(),
        }
    }
}

/// Units in words.
fn units(normalizer: Option<&Normalizer>) -> String {
    match normalizer {
        None => "data units".into(),
        // All of many columns would hide what differs.
        Some(Normalizer { shift, scale }) => {
            let some = |values: &[f32]| {
                let first: Vec<String> = values.iter().take(4).map(f32::to_string).collect();
                let more = if values.len() > first.len() { ", .." } else { "" };
                format!("[{}{more}]", first.join(", "))
            };
            format!("units of shift {} and scale {}", some(shift), some(scale))
        }
    }
}

/// Checks that an energy is one of the noised samples that a score walks along.
fn same_units(score: &dyn Score, energy: &dyn IntermediateEnergy) -> Result<()> {
    let [of_score, of_energy] = [score.normalizer(), energy.normalizer()].map(change_units::needed);
    if of_score == of_energy {
        return Ok(());
    }
    let problem = format!(
        "is of noised samples in {}, the score of such in {}: train it with \
         `IntermediateEnergyOptions::guiding` that score, or both with `Normalize::Identity`; for an energy that is \
         not trained, train the score so, or guide by `Guidance::Denoised`",
        units(of_energy),
        units(of_score)
    );
    Err(Error::argument("guidance", "the energy", problem))
}

/// `beta grad_x E(x_0_hat)` with `x_0_hat = (x - sigma eps(x)) / alpha`:
/// `beta (v - sigma J^T v) / alpha` for `v = grad E` there. The energy takes data units; `x` and
/// the gradient are in those of the score.
fn record_denoised(
    recording: &mut Recording,
    (score, energy): (&dyn Score, &dyn Energy),
    beta: f64,
    context: Option<Value>,
    x: Value,
    level: &NoiseLevel,
) -> Result<GuidedNoise> {
    let (alpha, sigma) = (level.alpha(), level.sigma());
    let shape = recording.shape(x)?.clone();
    let normalizer = change_units::needed(score.normalizer());
    let mut direction = x;
    let (noise, products) = recording.scoped("score", |recording| {
        score.record_noise_and_vjps(recording, context, x, level, &mut |recording, noise| {
            let (of_x, of_noise) = (((1.0 / alpha) as f32, x), ((-sigma / alpha) as f32, noise));
            let data = combine::record_shaped(recording, "denoised", shape.clone(), of_x, of_noise)?;
            let data = change_units::record(recording, Change::ToData, normalizer, data)?;
            let gradient = energy.record_gradient(recording, context, data)?;
            // Directions are packed.
            direction = match normalizer {
                None => combine::record(recording, "direction", (1.0, gradient), (0.0, gradient))?,
                Some(normalizer) => {
                    let packed = Shape::packed(shape.rows(), shape.width());
                    let change = Change::GradientToNormalized;
                    change_units::record_shaped(recording, change, normalizer, gradient, packed)?
                }
            };
            Ok(vec![direction])
        })
    })?;
    let [product] = products[..] else {
        let problem = format!("returned {} products for one direction", products.len());
        return Err(Error::argument("guidance", "the score", problem));
    };
    let (own, through) = ((beta / alpha) as f32, (-beta * sigma / alpha) as f32);
    let energy_gradient =
        combine::record(recording, "denoised gradient", (own, direction), (through, product))?;
    Ok(GuidedNoise { noise, energy_gradient: Some(energy_gradient) })
}
