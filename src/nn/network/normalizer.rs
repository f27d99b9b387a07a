//! Normalizer maps between data units and the units networks work in.

use serde::{Deserialize, Serialize};

use crate::error::few_digits;
use crate::{Error, Result};

/// `normalized_j = (data_j - shift_j) * scale_j`, one pair of numbers per dimension. Part of a
/// network's description, so it travels in the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalizer {
    /// Subtracted first, in data units.
    pub shift: Vec<f32>,
    /// Multiplied next, in 1 / data units; positive.
    pub scale: Vec<f32>,
}

impl Normalizer {
    /// The map that changes nothing.
    pub fn identity(width: usize) -> Self {
        Self { shift: vec![0.0; width], scale: vec![1.0; width] }
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.shift.iter().all(|shift| *shift == 0.0) && self.scale.iter().all(|scale| *scale == 1.0)
    }

    /// Number of dimensions.
    pub fn width(&self) -> usize {
        self.shift.len()
    }

    /// `sum_j ln scale_j`: what a density gains when it is read in data units. Computed in f64.
    pub fn log_volume(&self) -> f64 {
        self.scale.iter().map(|&scale| f64::from(scale).ln()).sum()
    }

    /// Rows in data units, one behind the other, in normalized units: differences and products in
    /// f64.
    pub fn normalize(&self, rows: &[f32]) -> Vec<f32> {
        self.each(rows, |value, shift, scale| (value - shift) * scale)
    }

    /// Rows in normalized units, one behind the other, in data units, in f64.
    pub fn denormalize(&self, rows: &[f32]) -> Vec<f32> {
        self.each(rows, |value, shift, scale| value / scale + shift)
    }

    fn each(&self, rows: &[f32], of: impl Fn(f64, f64, f64) -> f64) -> Vec<f32> {
        let units = self.shift.iter().zip(&self.scale).cycle();
        rows.iter().zip(units).map(|(v, (a, b))| of((*v).into(), (*a).into(), (*b).into()) as f32).collect()
    }

    /// Shifts, then scales, in one list: what kernels bind as `normalizer`.
    pub(crate) fn flat(&self) -> Vec<f32> {
        self.shift.iter().chain(&self.scale).copied().collect()
    }

    /// Checks that both lists have `width` finite entries and that scales are positive.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the entry.
    pub fn check(&self, owner: &str, width: usize) -> Result<()> {
        if self.shift.len() != width || self.scale.len() != width {
            let problem = format!(
                "has {} shifts and {} scales for {width} dimensions",
                self.shift.len(),
                self.scale.len()
            );
            return Err(Error::argument(owner, "the normalizer", problem));
        }
        let shifts = self.shift.iter().map(|v| v.is_finite());
        let scales = self.scale.iter().map(|v| v.is_normal() && *v > 0.0);
        match shifts.zip(scales).position(|(a, b)| !(a && b)) {
            None => Ok(()),
            Some(at) => {
                let problem = format!(
                    "has shift {} and scale {} in dimension {at}; both must be finite, the scale positive",
                    few_digits(self.shift[at].into()),
                    few_digits(self.scale[at].into())
                );
                Err(Error::argument(owner, "the normalizer", problem))
            }
        }
    }
}
