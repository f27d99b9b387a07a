//! Scores: what solvers walk along, as predictions of the noise.

use super::NoiseLevel;
use crate::gpu::{Bindings, Recording, Value};
use crate::nn::{ACTION, CONTEXT, Keep, Model, TIME};
use crate::{Error, Result};

/// Chooses directions for [`Score::record_noise_and_vjps`] once the noise is known: packed `[rows, dims]`
/// ([`crate::gpu::Shape::packed`]) each.
pub type Cotangents<'a> = dyn FnMut(&mut Recording, Value) -> Result<Vec<Value>> + 'a;

/// The score of noised data, given as the noise that it implies: `eps(x, t) = -sigma_t grad log q_t(x)`.
///
/// Solvers take any implementation: networks, exact mixtures, a user's own WGSL.
pub trait Score {
    /// Dimensions of a sample.
    fn dims(&self) -> usize;

    /// Records `eps(x, t)`: `dims` numbers per row of `x`, rows [`crate::gpu::Shape::stride`] apart.
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional score; `x`: `[contexts, samples, dims]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    fn record_noise(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value>;

    /// Records `eps(x, t)` and products `J^T v` of its Jacobian `J = d eps / d x` with directions `v` that may depend on it;
    /// each has the rows and dimensions of `x`.
    ///
    /// # Errors
    /// As [`Score::record_noise`]; [`Error::Unsupported`] for a score that knows no derivative.
    fn record_noise_and_vjps(
        &self,
        _recording: &mut Recording,
        _context: Option<Value>,
        _x: Value,
        _level: &NoiseLevel,
        _cotangents: &mut Cotangents<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        Err(Error::Unsupported {
            operation: "the derivative of a score".into(),
            reason: "this score has none".into(),
            hint: "use a network or a mixture, or guide by an intermediate energy".into(),
        })
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// A network as a score: inputs `action` and `time` and, for a conditional score, `context`; it outputs the noise.
#[derive(Clone, Debug)]
pub struct ScoreNetwork {
    model: Model,
    conditional: bool,
}

impl ScoreNetwork {
    /// Takes a model as a score.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it has the inputs `action` and `time`, at most one other, `context`, one time per row,
    /// and as many outputs as the action has dimensions.
    pub fn new(model: Model) -> Result<Self> {
        let conditional = check_inputs(&model, "score", width(&model, ACTION))?;
        Ok(Self { model, conditional })
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

/// Width of an input, 0 if there is none of that name.
fn width(model: &Model, name: &str) -> usize {
    model.network().inputs.iter().find(|input| input.name == name).map_or(0, |input| input.width)
}

/// Checks the inputs of a network over noised samples; returns whether it is conditional.
pub(super) fn check_inputs(model: &Model, kind: &str, outputs: usize) -> Result<bool> {
    let network = model.network();
    let conditional = width(model, CONTEXT) > 0;
    let known = 2 + usize::from(conditional);
    let fits = width(model, ACTION) > 0 && width(model, TIME) == 1 && network.inputs.len() == known;
    if fits && network.outputs() == outputs {
        return Ok(conditional);
    }
    let problem = format!(
        "needs the inputs `{ACTION}`, `{TIME}` of width 1 and, if conditional, `{CONTEXT}`, and {outputs} outputs"
    );
    Err(Error::argument(format!("{kind} `{}`", model.name()), "the network", problem))
}

/// The inputs of a network over noised samples, all at one level; a network without context ignores one.
pub(super) fn level_inputs(
    recording: &mut Recording,
    (model, conditional): (&Model, bool),
    context: Option<Value>,
    x: Value,
    level: &NoiseLevel,
) -> Result<Vec<(&'static str, Value)>> {
    let time = recording.constant("time", [1, 1], &[level.time as f32])?;
    let mut inputs = vec![(ACTION, x), (TIME, time)];
    if conditional {
        let Some(context) = context else {
            let operation = format!("network `{}`", model.name());
            return Err(Error::argument(operation, "the context", "is missing"));
        };
        inputs.push((CONTEXT, context));
    }
    Ok(inputs)
}

impl Score for ScoreNetwork {
    fn dims(&self) -> usize {
        width(&self.model, ACTION)
    }

    fn record_noise(
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

    fn record_noise_and_vjps(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
        cotangents: &mut Cotangents<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        let parameters = self.model.value(recording)?;
        let network = self.model.network();
        let inputs = level_inputs(recording, (&self.model, self.conditional), context, x, level)?;
        let forward = network.record_forward(recording, parameters, &inputs, Keep::Slopes)?;
        let mut products = Vec::new();
        for direction in cotangents(recording, forward.output)? {
            products.push(network.record_input_gradient(recording, parameters, &forward, direction, ACTION)?);
        }
        Ok((forward.output, products))
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
