//! Energies of a network beside those that it learns from.

use crate::gpu::{Column, MAX_MAGNITUDE, Recording, Value};
use crate::{Error, Result};

/// A network's energies of noised samples beside the energies `E(x_0)` of the samples that they
/// came from.
#[derive(Clone, Copy, Debug)]
pub struct EnergyTargets {
    /// One energy per row, rows [`crate::gpu::Shape::stride`] apart: what a forward pass leaves.
    pub output: Value,
    /// `E(x_0)` of the same rows, low where samples are wanted.
    pub energies: Column,
    /// Inverse temperature: what is learnt is the intermediate energy of `q_0 exp(-beta E)`.
    pub beta: f64,
}

/// Largest `beta |E|` and output that the losses take.
const MAX: f64 = MAX_MAGNITUDE as f64;

impl EnergyTargets {
    /// Checks for `rows` rows. Returns beta and the largest `|E|`, as the kernels take them.
    pub(crate) fn check(
        &self,
        recording: &Recording,
        operation: &str,
        rows: usize,
        reference: Option<f64>,
    ) -> Result<(f32, f32)> {
        let beta = self.beta as f32;
        if !(beta.is_finite() && self.beta >= 0.0) {
            let problem = format!("is {}; it must be a finite f32 and not negative", self.beta);
            return Err(Error::argument(operation, "beta", problem));
        }
        let max = MAX / self.beta.max(1.0);
        if let Some(reference) = reference.filter(|reference| reference.is_nan() || reference.abs() > max) {
            let problem = format!("is {reference}; beta times it must be at most {MAX:e}");
            return Err(Error::argument(operation, "the reference energy", problem));
        }
        let found = recording.shape(self.output)?;
        if found.rows() != rows || found.width() != 1 {
            let expected = format!("[{rows}, 1]");
            return Err(Error::shape(operation, "output", found.plain(), expected, "one energy per sample"));
        }
        self.energies.check(recording, operation)?;
        if self.energies.count != rows {
            let expected = format!("{rows} numbers, one per sample");
            let hint = "give the energies of the samples before the noise, in their order";
            let found = format!("{} numbers", self.energies.count);
            return Err(Error::shape(operation, "energies", found, expected, hint));
        }
        Ok((beta, max as f32))
    }
}
