//! A model of a file with the buffers that it has there.

use super::description::ModelDescription;
use crate::gpu::Tensor;
use crate::nn::{Model, Optimizer};

/// A model of a file, with its optimizer if it may be trained further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub model: &'a Model,
    pub optimizer: Option<&'a Optimizer>,
}

/// Name of the buffer of averaged weights.
pub(super) const AVERAGE: &str = "average";
/// Name of the buffer of parameters.
pub(super) const PARAMETERS: &str = "parameters";
/// Name of the buffer of squared gradients, which are never negative.
pub(super) const SECOND_MOMENT: &str = "second_moment";

impl<'a> Part<'a> {
    /// The flat buffers, by the name they have in files.
    pub(super) fn buffers(&self) -> Vec<(&'static str, &'a Tensor)> {
        let mut all = vec![(PARAMETERS, self.model.parameters())];
        if let Some(optimizer) = self.optimizer {
            all.push(("first_moment", &optimizer.first_moment));
            all.push((SECOND_MOMENT, &optimizer.second_moment));
            all.push((AVERAGE, &optimizer.average));
        }
        all
    }

    pub(super) fn description(&self) -> ModelDescription {
        ModelDescription {
            name: self.model.name().into(),
            network: self.model.network().clone(),
            trained: self.optimizer.is_some(),
        }
    }
}
