//! Scores: what solvers walk along, as predictions of the noise.

use serde::{Deserialize, Serialize};

use super::{NoiseLevel, NoiseSchedule, combine};
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

    /// The noise schedule that it belongs to, if it knows times by one: solvers refuse to go by another.
    fn schedule(&self) -> Option<NoiseSchedule> {
        None
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// What the network of a score outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The noise itself.
    #[default]
    Noise,
    /// The sample without its noise, `D`; the noise is `(x - alpha_t D) / sigma_t`. For samples of many numbers that depend on
    /// few: a network narrower than a sample can tell the samples, but not noise, which fills every dimension.
    Sample,
}

/// A network as a score: inputs `action` and `time` and, for a conditional score, `context`; it outputs the noise, or the
/// sample without it.
#[derive(Clone, Debug)]
pub struct ScoreNetwork {
    model: Model,
    conditional: bool,
    prediction: Prediction,
    schedule: Option<NoiseSchedule>,
}

impl ScoreNetwork {
    /// Takes a model that outputs the noise as a score.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it has the inputs `action` and `time`, `time` of width 1, at most one other,
    /// `context`, and as many outputs as the action has dimensions.
    pub fn new(model: Model) -> Result<Self> {
        Self::predicting(model, Prediction::Noise)
    }

    /// Takes a model as a score. At time 0 a score that predicts samples has no noise to tell: recording is an
    /// [`Error::Argument`] there.
    ///
    /// # Errors
    /// As [`ScoreNetwork::new`].
    pub fn predicting(model: Model, prediction: Prediction) -> Result<Self> {
        let conditional = check_inputs(&model, "score", width(&model, ACTION))?;
        Ok(Self { model, conditional, prediction, schedule: None })
    }

    /// The same score with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// The same score, bound to the schedule that it was trained on.
    pub fn with_schedule(self, schedule: NoiseSchedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it outputs.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// Factors of a point and of the output in the noise.
    fn factors(&self, level: &NoiseLevel) -> (f32, f32) {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        ((1.0 / sigma) as f32, (-alpha / sigma) as f32)
    }

    /// The noise at `x`, packed, given the network's output there.
    fn noise(&self, recording: &mut Recording, x: Value, output: Value, level: &NoiseLevel) -> Result<Value> {
        match self.prediction {
            Prediction::Noise => Ok(output),
            Prediction::Sample => {
                let (of_x, of_output) = self.factors(level);
                combine::record(recording, "noise of a sample", (of_x, x), (of_output, output))
            }
        }
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

    fn schedule(&self) -> Option<NoiseSchedule> {
        self.schedule
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
        let output =
            self.model.network().record_forward(recording, parameters, &inputs, Keep::Output)?.output;
        self.noise(recording, x, output, level)
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
        let noise = self.noise(recording, x, forward.output, level)?;
        let mut products = Vec::new();
        for direction in cotangents(recording, noise)? {
            let product =
                network.record_input_gradient(recording, parameters, &forward, direction, ACTION)?;
            products.push(match self.prediction {
                Prediction::Noise => product,
                Prediction::Sample => {
                    let (own, through) = self.factors(level);
                    combine::record(recording, "product of noise", (own, direction), (through, product))?
                }
            });
        }
        Ok((noise, products))
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
