//! Scores: what solvers walk along, as predictions of the noise.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{NoiseLevel, NoiseSchedule, combine};
use crate::gpu::{Bindings, Gpu, Recording, Value};
use crate::nn::{ACTION, Keep, Model, Normalizer, TIME};
use crate::store::{StoredFile, Weights, blame};
use crate::{Error, Result};

/// Chooses directions for [`Score::record_noise_and_vjps`] once the noise is known: `[rows, dims]`
/// each, plain or packed ([`crate::gpu::Shape::packed`]).
pub type Cotangents<'a> = dyn FnMut(&mut Recording, Value) -> Result<Vec<Value>> + 'a;

/// The score of noised data, given as the noise that it implies:
/// `eps(x, t) = -sigma_t grad log q_t(x)`.
///
/// Noised samples `x` are in the units of [`Score::normalizer`]; what samplers, likelihoods and
/// policies take and give is in data units.
///
/// Solvers take any implementation: networks, exact mixtures, a user's own WGSL.
pub trait Score {
    /// Dimensions of a sample.
    fn dims(&self) -> usize;

    /// Records `eps(x, t)`: `dims` numbers per row of `x`, in plain rows or packed ones; who reads
    /// them goes by [`crate::gpu::Shape::stride`] or asks for [`Recording::plain_rows`].
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional score; `x`:
    ///   `[contexts, samples, dims]`.
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

    /// Records `eps(x, t)` and products `J^T v` of its Jacobian `J = d eps / d x` with directions
    /// `v` that may depend on it; each has the rows and dimensions of `x`.
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

    /// The noise schedule that it belongs to, if it knows times by one: solvers refuse to go by
    /// another.
    fn schedule(&self) -> Option<NoiseSchedule> {
        None
    }

    /// The units of noised samples, if they are not those of the data: the noise of standard
    /// deviation 1 at the schedule's end is added to normalized data, so that the data's own scale
    /// does not matter.
    fn normalizer(&self) -> Option<&Normalizer> {
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
    Epsilon,
    /// The sample without its noise, `D`; the noise is `(x - alpha_t D) / sigma_t`. For samples of
    /// many numbers that depend on few: a network narrower than a sample can tell the samples, but
    /// not noise, which fills every dimension.
    Sample,
}

crate::error::named!("prediction of a score", Prediction { Epsilon => "epsilon", Sample => "sample" });

/// A network as a score: inputs `action` and `time` and, for a conditional score, `context`; it
/// outputs the noise, or the sample without it.
#[derive(Clone, Debug)]
pub struct ScoreNetwork {
    model: Model,
    prediction: Prediction,
    schedule: Option<NoiseSchedule>,
    normalizer: Option<Normalizer>,
}

impl ScoreNetwork {
    /// Takes a model that outputs the noise as a score.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it has the inputs `action` and `time`, `time` of width 1, at most
    /// one other, `context`, and as many outputs as the action has dimensions.
    pub fn new(model: Model) -> Result<Self> {
        Self::predicting(model, Prediction::Epsilon)
    }

    /// Takes a model as a score. At time 0 a score that predicts samples has no noise to tell:
    /// recording is an [`Error::Argument`] there.
    ///
    /// # Errors
    /// As [`ScoreNetwork::new`].
    pub fn predicting(model: Model, prediction: Prediction) -> Result<Self> {
        model.check_inputs("score", &[ACTION, TIME], model.input_width(ACTION).unwrap_or(0))?;
        Ok(Self { model, prediction, schedule: None, normalizer: None })
    }

    /// Reads the score that a run learned, with its averaged weights, bound to its schedule and in
    /// its units; neither data nor options are needed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged or of another kind; [`Error::Io`],
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn load(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self> {
        let file = StoredFile::read(path)?;
        let fail = |problem: String| file.fail(problem);
        let model = only_model(gpu, &file, "score")?;
        let prediction = file.description().field("prediction").map_err(fail)?;
        let schedule: NoiseSchedule = file.description().field("schedule").map_err(fail)?;
        schedule.check().map_err(blame(file.path()))?;
        let score = Self::predicting(model, prediction).map_err(blame(file.path()))?;
        let normalizer: Option<Normalizer> = file.description().known_field("normalizer").map_err(fail)?;
        score.with_schedule(schedule).with_normalizer(normalizer).map_err(blame(file.path()))
    }

    /// The same score with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// The same score, bound to the schedule that it was trained on.
    pub fn with_schedule(self, schedule: NoiseSchedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// The same score, of noised samples in units of a normalizer, those that it was trained in;
    /// without one in data units.
    ///
    /// # Errors
    /// As [`Normalizer::check`] for the dimensions of a sample.
    pub fn with_normalizer(self, normalizer: impl Into<Option<Normalizer>>) -> Result<Self> {
        let normalizer = units_of("score", normalizer.into(), self.dims())?;
        Ok(Self { normalizer, ..self })
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
            Prediction::Epsilon => Ok(output),
            Prediction::Sample => {
                let (of_x, of_output) = self.factors(level);
                combine::record(recording, "noise of a sample", (of_x, x), (of_output, output))
            }
        }
    }
}

/// A normalizer of samples of `dims` numbers, checked; none if it changes nothing.
pub(super) fn units_of(
    owner: &str,
    normalizer: Option<Normalizer>,
    dims: usize,
) -> Result<Option<Normalizer>> {
    normalizer.iter().try_for_each(|normalizer| normalizer.check(owner, dims))?;
    Ok(normalizer.filter(|normalizer| !normalizer.is_identity()))
}

/// The averaged model of a file that trained one of some kind.
pub(super) fn only_model(gpu: &Gpu, file: &StoredFile, kind: &str) -> Result<Model> {
    let description = file.description();
    description.expect_kind(&[kind]).map_err(|problem| file.fail(problem))?;
    match &description.models[..] {
        [model] => file.model(gpu, &model.name, Weights::Averaged),
        models => Err(file.fail(format!("holds {} models, where one is expected", models.len()))),
    }
}

/// The inputs of a network over noised samples, all at one level; a network without context ignores
/// one.
pub(super) fn level_inputs(
    recording: &mut Recording,
    model: &Model,
    context: Option<Value>,
    x: Value,
    level: &NoiseLevel,
) -> Result<Vec<(&'static str, Value)>> {
    let time = recording.constant("time", [1, 1], &[level.time as f32])?;
    model.with_context(&[(ACTION, x), (TIME, time)], context)
}

impl Score for ScoreNetwork {
    fn dims(&self) -> usize {
        self.model.input_width(ACTION).unwrap_or(0)
    }

    fn schedule(&self) -> Option<NoiseSchedule> {
        self.schedule
    }

    fn normalizer(&self) -> Option<&Normalizer> {
        self.normalizer.as_ref()
    }

    fn record_noise(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let inputs = level_inputs(recording, &self.model, context, x, level)?;
        let output = self.model.record_packed_value(recording, &inputs)?;
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
        let inputs = level_inputs(recording, &self.model, context, x, level)?;
        let forward = self.model.record_forward(recording, &inputs, Keep::Slopes)?;
        let noise = self.noise(recording, x, forward.packed_output, level)?;
        let mut products = Vec::new();
        for direction in cotangents(recording, noise)? {
            let product = self.model.record_input_gradient(recording, &forward, direction, ACTION)?;
            products.push(match self.prediction {
                Prediction::Epsilon => product,
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
