//! Networks as energies.

use std::path::Path;

use super::traits::Energy;
use crate::gpu::{Bindings, Gpu, Recording, Value};
use crate::nn::{ACTION, CONTEXT, FusedNetwork, Fusion, Model};
use crate::store::{StoredFile, Weights, blame};
use crate::{Error, Result};

/// A network as an energy: one output, an input `action` and, for a conditional energy, an input
/// `context`.
#[derive(Clone, Debug)]
pub struct NetworkEnergy {
    model: Model,
    fusion: Fusion,
}

impl NetworkEnergy {
    /// Takes a model as an energy.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it has one output, an input `action` and at most one other,
    /// `context`.
    pub fn new(model: Model) -> Result<Self> {
        model.check_inputs("energy", &[ACTION], 1)?;
        Ok(Self { model, fusion: Fusion::default() })
    }

    /// Reads the energy that a run of ranking NCE learned, with its averaged weights; neither data
    /// nor options are needed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged or of another kind; [`Error::Io`],
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn load(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self> {
        let file = StoredFile::read(path)?;
        file.description().expect_kind(&["ranking_nce"]).map_err(|problem| file.fail(problem))?;
        Self::new(file.model(gpu, "energy", Weights::Averaged)?).map_err(blame(file.path()))
    }

    /// The same energy with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// The same energy with another choice between kernels for the whole network and a dispatch per
    /// layer.
    pub fn with_fusion(self, fusion: Fusion) -> Self {
        Self { fusion, ..self }
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The named inputs for contexts and their candidates; an unconditional energy ignores the
    /// context.
    ///
    /// * `context`: `[contexts, width]`; `y`: `[contexts, candidates, dims]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a context is missing, [`Error::Shape`] if `y` has other contexts.
    pub fn inputs(
        &self,
        recording: &Recording,
        context: Option<Value>,
        y: Value,
    ) -> Result<Vec<(&'static str, Value)>> {
        let inputs = self.model.with_context(&[(ACTION, y)], context)?;
        let Some(&(_, context)) = inputs.iter().find(|(name, _)| *name == CONTEXT) else { return Ok(inputs) };
        let (contexts, found) = (recording.shape(context)?.rows(), recording.shape(y)?);
        if found.dims().len() != 3 || found.dims()[0] != contexts {
            let operation = format!("energy `{}`", self.model.name());
            let expected = format!("[{contexts}, candidates, {}]", self.dims());
            let hint = "give the candidates of each context together";
            return Err(Error::shape(operation, "y", found, expected, hint));
        }
        Ok(inputs)
    }
}

impl Energy for NetworkEnergy {
    fn dims(&self) -> usize {
        self.model.input_width(ACTION).unwrap_or(0)
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        if let Some(fused) = self.record_fused(recording, context, y)? {
            return fused.record_value(recording, y);
        }
        let inputs = self.inputs(recording, context, y)?;
        self.model.record_packed_value(recording, &inputs)
    }

    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        if let Some(fused) = self.record_fused(recording, context, y)? {
            return fused.record_gradient(recording, y);
        }
        Ok(self.record_value_and_gradient(recording, context, y)?.1)
    }

    fn record_value_and_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        y: Value,
    ) -> Result<(Value, Value)> {
        if let Some(fused) = self.record_fused(recording, context, y)? {
            return fused.record_value_and_gradient(recording, y);
        }
        let inputs = self.inputs(recording, context, y)?;
        self.model.record_packed_value_and_input_gradient(recording, &inputs, ACTION)
    }

    fn record_fused(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        y: Value,
    ) -> Result<Option<FusedNetwork>> {
        if !self.fusion.applies(recording.class()) {
            return Ok(None);
        }
        let inputs = self.inputs(recording, context, y)?;
        self.model.record_fused(recording, &inputs)
    }

    fn has_walls(&self) -> bool {
        false
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
