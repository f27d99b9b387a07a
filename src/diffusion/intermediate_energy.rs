//! Intermediate energies: what guides a diffusion model exactly.

use super::score::{check_inputs, level_inputs};
use super::{NoiseLevel, NoiseSchedule};
use crate::Result;
use crate::gpu::{Bindings, Recording, Shape, Value};
use crate::nn::{ACTION, Keep, Model};

/// An energy of noised samples, `E_t(x_t) = -log E_q(x_0 | x_t)[exp(-beta E(x_0))]` up to a constant per time and context: with
/// it, `grad log p_t = grad log q_t - grad E_t` for `p_0 ∝ q_0 exp(-beta E)` (arXiv 2304.12824). `beta` is inside.
pub trait IntermediateEnergy {
    /// Dimensions of a sample.
    fn dims(&self) -> usize;

    /// Records `grad_x E_t`, of the rows and dimensions of `x`.
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional energy; `x`: `[contexts, samples, dims]`.
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

    /// Records `E_t`, one number per row, rows [`Shape::stride`] apart.
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

    /// The noise schedule that it belongs to, if it knows times by one: solvers refuse to go by another.
    fn schedule(&self) -> Option<NoiseSchedule> {
        None
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// A network as an intermediate energy: inputs `action` and `time` and, for a conditional energy, `context`; one output.
#[derive(Clone, Debug)]
pub struct GuidanceNetwork {
    model: Model,
    conditional: bool,
    schedule: Option<NoiseSchedule>,
}

impl GuidanceNetwork {
    /// Takes a model as an intermediate energy.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] unless it has one output, the inputs `action` and `time`, of width 1, and at most one other, `context`.
    pub fn new(model: Model) -> Result<Self> {
        let conditional = check_inputs(&model, "intermediate energy", 1)?;
        Ok(Self { model, conditional, schedule: None })
    }

    /// The same energy with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// The same energy, bound to the schedule that it was trained on.
    pub fn with_schedule(self, schedule: NoiseSchedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

impl IntermediateEnergy for GuidanceNetwork {
    fn schedule(&self) -> Option<NoiseSchedule> {
        self.schedule
    }

    fn dims(&self) -> usize {
        let inputs = &self.model.network().inputs;
        inputs.iter().find(|input| input.name == ACTION).map_or(0, |input| input.width)
    }

    fn record_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let parameters = self.model.value(recording)?;
        let network = self.model.network();
        let inputs = level_inputs(recording, (&self.model, self.conditional), context, x, level)?;
        let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes)?;
        let rows = recording.shape(forward.output)?.rows();
        // dE/dE: ones in a packed column.
        let ones = [1.0f32, 0.0, 0.0, 0.0].repeat(rows);
        let seed = recording.constant("unit seed", Shape::packed(rows, 1), &ones)?;
        network.record_input_gradient(recording, parameters, &forward, seed, ACTION)
    }

    fn record_value(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let parameters = self.model.value(recording)?;
        let inputs = level_inputs(recording, (&self.model, self.conditional), context, x, level)?;
        Ok(self.model.network().record_forward(recording, parameters, &inputs, Keep::Output)?.output)
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
