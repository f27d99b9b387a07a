//! Energies: what samplers walk on.

use super::{FusedNetwork, Fusion, Keep, Model};
use crate::gpu::{Bindings, Recording, Shape, Value};
use crate::{Error, Result};

/// An energy `E(x, y)`, low where `y` is likely given the context `x`: `p(y | x) ∝ exp(-E(x, y))`.
///
/// Samplers take any implementation: networks, analytic kernels, a simulator's own cost function.
pub trait Energy {
    /// Dimensions of `y`.
    fn dims(&self) -> usize;

    /// Records the energies of `y`: one number per row, `[contexts * chains]` rows of the returned value, elements
    /// [`Shape::stride`] apart.
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional energy; `y`: `[contexts, chains, dims]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value>;

    /// Records `dE/dy`, of the shape of `y`, in 1 / data units.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value>;

    /// Records both; worth its own implementation where they share work.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    fn record_value_and_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        y: Value,
    ) -> Result<(Value, Value)> {
        let value = self.record_value(recording, context, y)?;
        Ok((value, self.record_gradient(recording, context, y)?))
    }

    /// Records what kernels for the whole of a narrow network need to evaluate this energy at `y`, if it is one and such
    /// kernels are to be taken: they then replace the other methods for `y` of this shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    fn record_fused(
        &self,
        _recording: &mut Recording,
        _context: Option<Value>,
        _y: Value,
    ) -> Result<Option<FusedNetwork>> {
        Ok(None)
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// Names of the inputs of conditional networks.
pub const CONTEXT: &str = "context";
/// Name of the input that is sampled.
pub const ACTION: &str = "action";

/// Name of the input that tells networks over noised samples how noisy they are.
pub const TIME: &str = "time";

/// A network as an energy: one output, an input `action` and, for a conditional energy, an input `context`.
#[derive(Clone, Debug)]
pub struct NetworkEnergy {
    model: Model,
    fusion: Fusion,
}

impl NetworkEnergy {
    /// Takes a model as an energy.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it has one output, an input `action` and at most one other, `context`.
    pub fn new(model: Model) -> Result<Self> {
        let network = model.network();
        let known = |name: &str| network.inputs.iter().any(|input| input.name == name);
        let inputs = usize::from(known(ACTION)) + usize::from(known(CONTEXT));
        if network.outputs() != 1 || !known(ACTION) || inputs != network.inputs.len() {
            return Err(Error::argument(
                format!("energy `{}`", model.name()),
                "the network",
                "needs one output and the inputs `action` and, if conditional, `context`",
            ));
        }
        Ok(Self { model, fusion: Fusion::default() })
    }

    /// The same energy with another choice between kernels for the whole network and a dispatch per layer.
    pub fn with_fusion(self, fusion: Fusion) -> Self {
        Self { fusion, ..self }
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The named inputs for contexts and their candidates; an unconditional energy ignores the context.
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
        let operation = || format!("energy `{}`", self.model.name());
        if !self.model.network().inputs.iter().any(|input| input.name == CONTEXT) {
            return Ok(vec![(ACTION, y)]);
        }
        let Some(context) = context else {
            return Err(Error::argument(operation(), "the context", "is missing"));
        };
        let (contexts, found) = (recording.shape(context)?.rows(), recording.shape(y)?);
        if found.dims().len() != 3 || found.dims()[0] != contexts {
            let expected = format!("[{contexts}, candidates, {}]", self.dims());
            let hint = "give the candidates of each context together";
            return Err(Error::shape(operation(), "y", found, expected, hint));
        }
        Ok(vec![(CONTEXT, context), (ACTION, y)])
    }
}

impl Energy for NetworkEnergy {
    fn dims(&self) -> usize {
        let inputs = &self.model.network().inputs;
        inputs.iter().find(|input| input.name == ACTION).map_or(0, |input| input.width)
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        if let Some(fused) = self.record_fused(recording, context, y)? {
            return fused.record_value(recording, y);
        }
        let parameters = self.model.value(recording)?;
        let inputs = self.inputs(recording, context, y)?;
        let network = self.model.network();
        Ok(network.record_forward(recording, parameters, &inputs, Keep::Output)?.output)
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
        let parameters = self.model.value(recording)?;
        let inputs = self.inputs(recording, context, y)?;
        let network = self.model.network();
        let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes)?;
        let rows = recording.shape(forward.output)?.rows();
        let seed = record_unit_seed(recording, rows)?;
        let gradient = network.record_input_gradient(recording, parameters, &forward, seed, ACTION)?;
        Ok((forward.output, gradient))
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
        let parameters = self.model.value(recording)?;
        let inputs = self.inputs(recording, context, y)?;
        self.model.network().record_fused(recording, parameters, &inputs, ACTION)
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}

/// dE/dE: ones in a packed column.
fn record_unit_seed(recording: &mut Recording, rows: usize) -> Result<Value> {
    let ones = [1.0f32, 0.0, 0.0, 0.0].repeat(rows);
    recording.constant("unit seed", Shape::packed(rows, 1), &ones)
}
