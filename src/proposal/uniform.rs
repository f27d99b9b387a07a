//! The uniform box: the proposal of implicit behavioral cloning.

use serde::{Deserialize, Serialize};

use super::traits::{Draws, PreparedContexts, Proposal};
use super::{uniform_log_density, uniform_propose, uniform_sample};
use crate::Result;
use crate::gpu::{Bindings, Recording, SharedConstant, Value, shared_constant};
use crate::math::Bounds;
use crate::nn::Fusion;

/// `log q` outside the box: finite, and lower than any density inside.
pub const OUTSIDE_LOG_DENSITY: f32 = -1e30;

pub(super) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("lib/uniform_box.wgsl", "OUTSIDE_LOG_DENSITY", OUTSIDE_LOG_DENSITY.into())]
}

/// A uniform density over a box, the same for every context, in data units. In files it is its
/// [`Bounds`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UniformBox {
    bounds: Bounds,
}

impl From<Bounds> for UniformBox {
    fn from(bounds: Bounds) -> Self {
        Self { bounds }
    }
}

impl From<UniformBox> for Bounds {
    fn from(proposal: UniformBox) -> Self {
        proposal.bounds
    }
}

impl UniformBox {
    /// A box.
    ///
    /// # Errors
    /// As [`Bounds::new`].
    pub fn new(low: &[f32], high: &[f32]) -> Result<Self> {
        Ok(Bounds::new(low, high)?.into())
    }

    /// Where it draws.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Lower borders.
    pub fn low(&self) -> &[f32] {
        self.bounds.low()
    }

    /// Upper borders.
    pub fn high(&self) -> &[f32] {
        self.bounds.high()
    }

    /// Whether a point lies inside, borders included.
    pub fn contains(&self, y: &[f32]) -> bool {
        self.bounds.contains(y)
    }

    /// `-sum_j ln(high_j - low_j)`, in f64.
    pub fn log_density(&self) -> f64 {
        -self.bounds.log_volume()
    }
}

impl Proposal for UniformBox {
    fn dims(&self) -> usize {
        self.bounds.dims()
    }

    fn is_conditional(&self) -> bool {
        false
    }

    fn record_prepare(&self, recording: &mut Recording, context: Value) -> Result<PreparedContexts> {
        Ok(PreparedContexts { contexts: recording.shape(context)?.rows(), outputs: None })
    }

    fn record_sample(
        &self,
        recording: &mut Recording,
        _: &PreparedContexts,
        draws: &Draws<'_>,
    ) -> Result<()> {
        uniform_sample::record(recording, &self.bounds, draws)
    }

    fn record_log_density(&self, recording: &mut Recording, _: &PreparedContexts, y: Value) -> Result<Value> {
        uniform_log_density::record(recording, &self.bounds, y)
    }

    fn record_propose(
        &self,
        recording: &mut Recording,
        context: Value,
        draws: &Draws<'_>,
        fusion: Fusion,
    ) -> Result<Value> {
        match fusion {
            Fusion::Auto | Fusion::Always => uniform_propose::record(recording, &self.bounds, draws),
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
