//! Scores and intermediate energies of points given from the host.

use super::guidance::GuidedNoise;
use super::{Guidance, IntermediateEnergy, NoiseLevel, Score};
use crate::energy::Energy;
use crate::gpu::run::points::{Points, run_and_read};
use crate::gpu::{Bindings, Gpu, Recording, Value};
use crate::math::change_units;
use crate::math::change_units::Change;
use crate::{Error, Result};

/// An intermediate energy at one level as an [`Energy`], so that everything that takes one takes
/// it: evaluations ([`crate::energy::evaluate_energy`]), chains, guidance through a denoiser. As of
/// every energy, points and gradients are in data units.
#[derive(Clone, Copy)]
pub struct EnergyAtLevel<'a> {
    energy: &'a dyn IntermediateEnergy,
    level: NoiseLevel,
}

impl<'a> EnergyAtLevel<'a> {
    /// The energy at a level; at time 0, that of samples without noise.
    pub fn new(energy: &'a dyn IntermediateEnergy, level: NoiseLevel) -> Self {
        Self { energy, level }
    }

    fn record_change(&self, recording: &mut Recording, change: Change, value: Value) -> Result<Value> {
        change_units::record(recording, change, self.energy.normalizer(), value)
    }
}

impl Energy for EnergyAtLevel<'_> {
    fn dims(&self) -> usize {
        self.energy.dims()
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        let x = self.record_change(recording, Change::ToNormalized, y)?;
        self.energy.record_value(recording, context, x, &self.level)
    }

    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        let x = self.record_change(recording, Change::ToNormalized, y)?;
        let gradient = self.energy.record_gradient(recording, context, x, &self.level)?;
        self.record_change(recording, Change::GradientToData, gradient)
    }

    fn has_walls(&self) -> bool {
        self.energy.has_walls()
    }

    fn bindings(&self) -> Bindings {
        self.energy.bindings()
    }
}

/// Evaluates `eps(x, t)` at noised samples given from the host, in the order of the points and in
/// the units of [`Score::normalizer`], where [`crate::nn::Normalizer::normalize`] brings data.
/// Uploads, compiles, runs and waits: for evaluations and tests, not for loops.
///
/// # Errors
/// [`crate::Error::Shape`] if the points do not fit the score, [`crate::Error::Limit`],
/// [`crate::Error::DeviceLost`].
pub fn evaluate_noise(
    gpu: &Gpu,
    score: &dyn Score,
    points: &Points<'_>,
    level: &NoiseLevel,
) -> Result<Vec<f32>> {
    let mut recording = gpu.record("gibbs/evaluate noise");
    recording.provide_all(&score.bindings());
    let (context, x) = points.record(gpu, &mut recording)?;
    let value = score.record_noise(&mut recording, context, x, level)?;
    let [noise] = run_and_read(gpu, &mut recording, [value])?;
    Ok(noise)
}

/// Evaluates `eps(x, t)` and the gradient that guides, before it is scaled, at points given from
/// the host; both in the order of the points. As [`evaluate_noise`].
///
/// # Errors
/// As [`evaluate_noise`] and [`Guidance::record`]; [`crate::Error::Argument`] if there is no
/// guidance.
pub fn evaluate_guided(
    gpu: &Gpu,
    score: &dyn Score,
    guidance: &Guidance<'_>,
    points: &Points<'_>,
    level: &NoiseLevel,
) -> Result<[Vec<f32>; 2]> {
    guidance.check(score)?;
    let mut recording = gpu.record("gibbs/evaluate guided");
    recording.provide_all(&score.bindings());
    recording.provide_all(&guidance.bindings());
    let (context, x) = points.record(gpu, &mut recording)?;
    let GuidedNoise { noise, energy_gradient } = guidance.record(&mut recording, score, context, x, level)?;
    let energy_gradient =
        energy_gradient.ok_or_else(|| Error::argument("evaluation", "the guidance", "is none"))?;
    run_and_read(gpu, &mut recording, [noise, energy_gradient])
}
