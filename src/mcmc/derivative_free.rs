//! Derivative-free optimization.

use serde::{Deserialize, Serialize};

use super::chain_inputs::{ChainInputs, ChainOutputs};
use super::resample;
use super::resample::Round;
use super::{cumulative_weights, keep_sample, usable_energy};
use crate::gpu::{DType, Recording};
use crate::math::{Bounds, clip_chains};
use crate::{Error, Result};

/// The derivative-free optimizer of implicit behavioral cloning (Florence et al. 2021): each round
/// draws the samples anew with replacement by the weights `softmax(-E / T)` of their context, adds
/// noise and clips to the box. Needs no gradient.
///
/// The chains of a context are its samples: thousands of them, started uniformly in the box, and
/// the one of lowest energy in the end ([`super::Return::Lowest`]) is the answer. The samples are
/// no draws from `exp(-E)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DerivativeFreeOptimizer {
    /// Rounds, 1 to 65535.
    pub steps: usize,
    /// Standard deviation of the first round's noise as a share of the box's half-width: for a box
    /// of +-1 the number itself.
    pub noise: f64,
    /// Factor on the noise from one round to the next.
    pub shrink: f64,
    /// Samples are clipped to this box.
    pub bounds: Bounds,
}

crate::error::setters!(DerivativeFreeOptimizer {
    with_steps => steps: usize,
    with_noise => noise: f64,
    with_shrink => shrink: f64,
});

impl DerivativeFreeOptimizer {
    /// Three rounds with noise 0.33, 0.165 and 0.0825 of the box's half-width.
    pub fn new(bounds: Bounds) -> Self {
        Self { steps: 3, noise: 0.33, shrink: 0.5, bounds }
    }

    /// Records the rounds, starting from and ending in `inputs.y`, `[contexts, samples, dims]`;
    /// starts are clipped to the box.
    ///
    /// * streams `<stream>/pick` and `<stream>/noise`; the knob `step_scale` multiplies the noise.
    /// * per round: the energy's value and three dispatches.
    ///
    /// # Errors
    /// [`Error::Argument`] for no rounds or bad noise, [`Error::Shape`] if dimensions disagree.
    pub fn record(&self, recording: &mut Recording, inputs: &ChainInputs<'_>) -> Result<ChainOutputs> {
        inputs.check(recording, "dfo", self.steps, Some(&self.bounds))?;
        let last = self.noise * self.shrink.powi(self.steps as i32 - 1);
        let usable = |value: f64| (value as f32).is_finite() && value >= 0.0;
        if !usable(self.noise) || !usable(self.shrink) || !usable(last) {
            let problem = format!("go from {} to {last}; they must be finite and not negative", self.noise);
            return Err(Error::argument("dfo", "the noise's standard deviations", problem));
        }
        let shape = recording.shape(inputs.y)?.clone();
        let [contexts, samples, dims] = *shape.dims() else {
            let hint = "all samples of each context";
            return Err(Error::shape("dfo", "y", shape, "[contexts, samples, dims]", hint));
        };
        let picks = recording.stream(&format!("{}/pick", inputs.stream))?;
        let stream = recording.stream(&format!("{}/noise", inputs.stream))?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        clip_chains::record(recording, inputs.y, &self.bounds)?;
        let mut places = [inputs.y, recording.scratch("resampled", DType::F32, shape)];
        for index in 0..self.steps {
            let [from, to] = places;
            let energy = inputs.energy.record_value(recording, inputs.context, from)?;
            let energy = usable_energy::record(recording, energy, from)?;
            let cumulative = cumulative_weights::record(recording, energy, temperature, [contexts, samples])?;
            let noise = self.noise * self.shrink.powi(index as i32);
            let round = Round { picks, stream, inner: index as u32, noise };
            resample::record(recording, &round, step_scale, &self.bounds, cumulative, (from, to))?;
            inputs.record_keep(recording, index, to)?;
            places = [to, from];
        }
        if places[0] != inputs.y {
            keep_sample::record(recording, places[0], 0..dims, inputs.y, 0)?;
        }
        Ok(ChainOutputs::new([step_scale, temperature]))
    }
}
