//! Scores and intermediate energies of points given from the host.

use super::{IntermediateEnergy, NoiseLevel, Score};
use crate::Result;
use crate::gpu::{Bindings, Gpu, Recording, Value};
use crate::nn::{Energy, Points, run_and_read};

/// An intermediate energy at one level as an [`Energy`], so that everything that takes one takes it: evaluations
/// ([`crate::nn::evaluate_energy`]), chains, guidance through a denoiser.
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
}

impl Energy for EnergyAtLevel<'_> {
    fn dims(&self) -> usize {
        self.energy.dims()
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        self.energy.record_value(recording, context, y, &self.level)
    }

    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        self.energy.record_gradient(recording, context, y, &self.level)
    }

    fn bindings(&self) -> Bindings {
        self.energy.bindings()
    }
}

/// Evaluates `eps(x, t)` at points given from the host, in the order of the points. Uploads, compiles, runs and waits: for
/// evaluations and tests, not for loops.
///
/// # Errors
/// [`crate::Error::Shape`] if the points do not fit the score, [`crate::Error::Limit`], [`crate::Error::DeviceLost`].
pub fn evaluate_noise(
    gpu: &Gpu,
    score: &dyn Score,
    points: &Points<'_>,
    level: &NoiseLevel,
) -> Result<Vec<f32>> {
    let mut recording = Recording::tuned("gibbs/evaluate noise", gpu.target());
    let (context, x, bindings) = points.record(gpu, &mut recording)?;
    let value = score.record_noise(&mut recording, context, x, level)?;
    let bindings = bindings.merge(&score.bindings()).only(&recording);
    run_and_read(gpu, &mut recording, value, bindings)
}
