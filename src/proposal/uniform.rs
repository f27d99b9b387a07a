//! The uniform box: the proposal of implicit behavioural cloning.

use serde::{Deserialize, Serialize};

use super::{Draws, Prepared, Proposal, uniform_log_density, uniform_propose, uniform_sample};
use crate::gpu::{Bindings, Recording, Value};
use crate::nn::Fusion;
use crate::{Error, Result};

/// A uniform density over a box, the same for every context, in data units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Borders")]
pub struct UniformBox {
    low: Vec<f32>,
    high: Vec<f32>,
}

/// The borders as they stand in files, before they are checked.
#[derive(Deserialize)]
struct Borders {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl TryFrom<Borders> for UniformBox {
    type Error = Error;
    fn try_from(borders: Borders) -> Result<Self> {
        Self::new(&borders.low, &borders.high)
    }
}

impl UniformBox {
    /// A box.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `low < high` in every dimension and all are finite.
    pub fn new(low: &[f32], high: &[f32]) -> Result<Self> {
        let ordered = low.iter().zip(high).all(|(l, h)| (h - l).is_finite() && l < h);
        if low.is_empty() || low.len() != high.len() || !ordered {
            let problem = "needs finite low < high in every dimension, and at least one dimension";
            return Err(Error::argument("uniform box", "its borders", problem));
        }
        Ok(Self { low: low.to_vec(), high: high.to_vec() })
    }

    /// Lower borders.
    pub fn low(&self) -> &[f32] {
        &self.low
    }

    /// Upper borders.
    pub fn high(&self) -> &[f32] {
        &self.high
    }

    /// Whether a point lies inside, borders included.
    pub fn contains(&self, y: &[f32]) -> bool {
        y.iter().zip(self.low.iter().zip(&self.high)).all(|(y, (l, h))| (l..=h).contains(&y))
    }

    /// `-sum_j ln(high_j - low_j)`, in f64.
    pub fn log_density(&self) -> f64 {
        -self.low.iter().zip(&self.high).map(|(l, h)| (f64::from(*h) - f64::from(*l)).ln()).sum::<f64>()
    }

    /// Lower borders, then upper borders: what kernels bind as `box`.
    pub(crate) fn flat(&self) -> Vec<f32> {
        self.low.iter().chain(&self.high).copied().collect()
    }
}

impl Proposal for UniformBox {
    fn dims(&self) -> usize {
        self.low.len()
    }

    fn record_prepare(&self, recording: &mut Recording, context: Value) -> Result<Prepared> {
        Ok(Prepared { contexts: recording.shape(context)?.rows(), outputs: None })
    }

    fn record_sample(&self, recording: &mut Recording, _: &Prepared, draws: &Draws<'_>) -> Result<()> {
        uniform_sample::record(recording, self, draws)
    }

    fn record_log_density(&self, recording: &mut Recording, _: &Prepared, y: Value) -> Result<Value> {
        uniform_log_density::record(recording, self, y)
    }

    fn record_propose(
        &self,
        recording: &mut Recording,
        context: Value,
        draws: &Draws<'_>,
        fusion: Fusion,
    ) -> Result<Value> {
        match fusion {
            Fusion::Auto | Fusion::Always => uniform_propose::record(recording, self, draws),
            Fusion::Never => {
                let prepared = self.record_prepare(recording, context)?;
                self.record_sample(recording, &prepared, draws)?;
                self.record_log_density(recording, &prepared, draws.candidates)
            }
        }
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}
