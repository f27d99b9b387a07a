//! What all dynamics are given and give back.

use super::keep_sample;
use crate::energy::Energy;
use crate::error::counted;
use crate::gpu::{Knob, Recording, Value};
use crate::math::Bounds;
use crate::{Error, Result};

/// Chains to be moved on an energy.
#[derive(Clone, Copy)]
pub struct ChainInputs<'a> {
    /// The energy.
    pub energy: &'a dyn Energy,
    /// `[contexts, width]` if the energy is conditional.
    pub context: Option<Value>,
    /// `[contexts, chains, dims]`: the starts, written with where the chains end.
    pub y: Value,
    /// Name of the random stream (dynamics with several streams add to it).
    pub stream: &'a str,
    /// Where samples along the chains go.
    pub trace: Option<SampleTrace>,
}

/// Samples kept along chains.
#[derive(Clone, Copy, Debug)]
pub struct SampleTrace {
    /// `[kept, contexts, chains, dims]`: place `i` receives the chains after step `(i + 1) thin`,
    /// warm-up not counted.
    pub value: Value,
    /// Every how many steps.
    pub thin: usize,
}

/// What there is to turn and to read about recorded chains.
#[derive(Clone, Copy, Debug)]
pub struct ChainOutputs {
    /// Multiplies all step sizes (for the derivative-free optimizer: the noise); 1 at first.
    pub step_scale: Knob,
    /// Multiplies all temperatures; 1 at first.
    pub temperature: Knob,
    /// `[contexts, chains]`: accepted trajectories after the warm-up, as floats, for dynamics that
    /// reject.
    pub accepted: Option<Value>,
    /// `[contexts, chains]`: moves that were refused, as floats, for unadjusted dynamics on an
    /// energy with walls.
    pub refused: Option<Value>,
    /// `[4]`, first the learned factor on the step sizes, for dynamics that adapt.
    pub step_adaptation: Option<Value>,
    /// `[contexts, chains, 2]`: decisions after the warm-up that the rounding of energies to 32
    /// bits may have turned, as floats, and the largest energy of those, for dynamics that reject.
    pub rounded: Option<Value>,
}

impl ChainOutputs {
    /// Those of dynamics with the knobs `step_scale` and `temperature` and nothing to read.
    pub(super) fn new([step_scale, temperature]: [Knob; 2]) -> Self {
        Self { step_scale, temperature, accepted: None, refused: None, step_adaptation: None, rounded: None }
    }
}

/// Rows and dimensions of chains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub rows: usize,
    pub dims: usize,
}

impl ChainInputs<'_> {
    /// Checks the chains against the energy, the box, and the trace against the number of steps.
    pub(super) fn check(
        &self,
        recording: &Recording,
        operation: &str,
        steps: usize,
        bounds: Option<&Bounds>,
    ) -> Result<Extent> {
        let shape = recording.shape(self.y)?.clone();
        let dims = self.energy.dims();
        if shape.width() != dims || shape.is_padded() || shape.is_empty() {
            let expected = format!("[contexts, chains, {dims}]");
            let hint = "at least one chain of the energy's dimensions";
            return Err(Error::shape(operation, "y", shape, expected, hint));
        }
        if !recording.is_written(self.y) {
            let problem = "holds nothing yet; write the starts of the chains first";
            return Err(Error::argument(operation, "y", problem));
        }
        if !(1..=65535).contains(&steps) {
            let problem = format!("is {steps}, allowed are 1 to 65535");
            return Err(Error::argument(operation, "the number of steps", problem));
        }
        if let Some(bounds) = bounds
            && bounds.dims() != dims
        {
            let problem = format!("has {}, the energy {dims}", counted(bounds.dims(), "dimension"));
            return Err(Error::argument(operation, "the box", problem));
        }
        if let Some(trace) = self.trace {
            let found = recording.shape(trace.value)?;
            let kept = found.dims().first().copied().unwrap_or(0);
            let fits = found.dims().split_first().is_some_and(|(_, rest)| rest == shape.dims());
            if !fits || found.is_padded() || kept == 0 || trace.thin == 0 || kept != steps / trace.thin {
                let expected = format!("[steps / thin, {}], at least one kept", shape.dims().len());
                let hint = format!("there are {steps} steps, every {}th is kept", trace.thin);
                return Err(Error::shape(operation, "the trace", found, expected, hint));
            }
        }
        Ok(Extent { rows: shape.rows(), dims })
    }

    /// Records keeping the chains after step `index`, if that is one to be kept.
    pub(super) fn record_keep(&self, recording: &mut Recording, index: usize, y: Value) -> Result<()> {
        match self.trace {
            Some(SampleTrace { value, thin }) if (index + 1).is_multiple_of(thin) => {
                let width = self.energy.dims();
                keep_sample::record(recording, y, 0..width, value, (index + 1) / thin - 1)
            }
            _ => Ok(()),
        }
    }
}

/// Checks that one invocation may walk through all dimensions of a chain: with ten Philox rounds
/// for every four of them it stays below the number of rounds after which some devices stop.
pub(super) fn check_dims(operation: &str, dims: usize) -> Result<()> {
    const MAX: usize = 16384;
    if dims <= MAX {
        return Ok(());
    }
    Err(Error::argument(operation, "the dimensions", format!("are {dims}, allowed are up to {MAX}")))
}
