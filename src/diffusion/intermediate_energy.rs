//! Intermediate energies: what guides a diffusion model exactly.

use std::path::Path;

use super::score::{level_inputs, only_model, units_of};
use super::{NoiseLevel, NoiseSchedule};
use crate::Result;
use crate::gpu::{Bindings, Gpu, Recording, Value};
use crate::nn::{ACTION, Model, Normalizer, TIME};
use crate::store::{StoredFile, blame};

/// An energy of noised samples, `E_t(x_t) = -log E_q(x_0 | x_t)[exp(-beta E(x_0))]` up to a
/// constant per time and context: with it, `grad log p_t = grad log q_t - grad E_t` for
/// `p_0 ∝ q_0 exp(-beta E)` (arXiv 2304.12824). `beta` is inside. Noised samples are in the units
/// of [`IntermediateEnergy::normalizer`].
pub trait IntermediateEnergy {
    /// Dimensions of a sample.
    fn dims(&self) -> usize;

    /// Records `grad_x E_t`, of the rows and dimensions of `x`.
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional energy; `x`:
    ///   `[contexts, samples, dims]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    fn record_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value>;

    /// Records `E_t`, one number per row, in plain rows or packed ones; who reads them goes by
    /// [`crate::gpu::Shape::stride`] or asks for [`Recording::plain_rows`].
    ///
    /// # Errors
    /// As [`IntermediateEnergy::record_gradient`].
    fn record_value(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value>;

    /// The noise schedule that it belongs to, if it knows times by one: solvers refuse to go by
    /// another.
    fn schedule(&self) -> Option<NoiseSchedule> {
        None
    }

    /// Whether it has walls, see [`crate::energy::Energy::has_walls`].
    fn has_walls(&self) -> bool {
        true
    }

    /// The units of noised samples, if they are not those of the data; a score that it guides has
    /// the same.
    fn normalizer(&self) -> Option<&Normalizer> {
        None
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// A network as an intermediate energy: inputs `action` and `time` and, for a conditional energy,
/// `context`; one output.
#[derive(Clone, Debug)]
pub struct IntermediateEnergyNetwork {
    model: Model,
    schedule: Option<NoiseSchedule>,
    normalizer: Option<Normalizer>,
}

impl IntermediateEnergyNetwork {
    /// Takes a model as an intermediate energy.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] unless it has one output, the inputs `action` and `time`, of
    /// width 1, and at most one other, `context`.
    pub fn new(model: Model) -> Result<Self> {
        model.check_inputs("intermediate energy", &[ACTION, TIME], 1)?;
        Ok(Self { model, schedule: None, normalizer: None })
    }

    /// Reads the intermediate energy that a run learned, with its averaged weights, bound to its
    /// schedule and in its units; neither data nor options are needed.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] for a file that is damaged or of another kind;
    /// [`crate::Error::Io`], [`crate::Error::OutOfMemory`], [`crate::Error::DeviceLost`].
    pub fn load(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self> {
        let file = StoredFile::read(path)?;
        let model = only_model(gpu, &file, "intermediate_energy")?;
        let fail = |problem: String| file.fail(problem);
        let schedule: NoiseSchedule = file.description().field("schedule").map_err(fail)?;
        schedule.check().map_err(blame(file.path()))?;
        let energy = Self::new(model).map_err(blame(file.path()))?;
        let normalizer: Option<Normalizer> = file.description().known_field("normalizer").map_err(fail)?;
        energy.with_schedule(schedule).with_normalizer(normalizer).map_err(blame(file.path()))
    }

    /// The same energy with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// The same energy, bound to the schedule that it was trained on.
    pub fn with_schedule(self, schedule: NoiseSchedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// The same energy, of noised samples in units of a normalizer, those that it was trained in;
    /// without one in data units.
    ///
    /// # Errors
    /// As [`Normalizer::check`] for the dimensions of a sample.
    pub fn with_normalizer(self, normalizer: impl Into<Option<Normalizer>>) -> Result<Self> {
        let normalizer = units_of("intermediate energy", normalizer.into(), self.dims())?;
        Ok(Self { normalizer, ..self })
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

impl IntermediateEnergy for IntermediateEnergyNetwork {
    fn schedule(&self) -> Option<NoiseSchedule> {
        self.schedule
    }

    fn normalizer(&self) -> Option<&Normalizer> {
        self.normalizer.as_ref()
    }

    fn dims(&self) -> usize {
        self.model.input_width(ACTION).unwrap_or(0)
    }

    fn record_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let inputs = level_inputs(recording, &self.model, context, x, level)?;
        Ok(self.model.record_packed_value_and_input_gradient(recording, &inputs, ACTION)?.1)
    }

    fn record_value(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let inputs = level_inputs(recording, &self.model, context, x, level)?;
        self.model.record_packed_value(recording, &inputs)
    }

    fn has_walls(&self) -> bool {
        false
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
