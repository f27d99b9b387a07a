//! What a caller decides about a policy, and what a file says of one.

use serde::{Deserialize, Serialize};

use super::agent_offsets;
use super::agents::AgentLayout;
use super::inference::Inference;
use crate::diffusion::{NoiseSchedule, Prediction};
use crate::math::{Bounds, Offsets};
use crate::nn::Normalizer;
use crate::proposal::ProposalDescription;
use crate::store::Weights;
use crate::{Error, Result};

/// How many actions a network predicts at a time, and how many of them are executed before it is
/// asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionChunk {
    /// Actions of a prediction, `T_p`: what the network calls an action is so many of them, one
    /// behind the other.
    pub predict: usize,
    /// Actions executed before the next prediction, `T_a`.
    pub execute: usize,
}

impl Default for ActionChunk {
    /// One action, executed.
    fn default() -> Self {
        Self { predict: 1, execute: 1 }
    }
}

/// What a caller decides about a policy; what is left out is taken from the file, or from the
/// parts.
///
/// ```
/// use gibbs::policy::PolicyOptions;
/// let options = PolicyOptions::new().with_agents(64).with_seed(7);
/// assert_eq!(options.agents, Some(64));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PolicyOptions {
    /// Agents there is room for; one by default. A tick costs what so many agents cost, however
    /// many are there.
    pub agents: Option<usize>,
    /// Seed of everything random; 0 by default.
    pub seed: Option<u64>,
    /// Which weights of a file of training; the averaged ones by default.
    pub weights: Option<Weights>,
    /// How it comes to its actions.
    pub inference: Option<Inference>,
    /// A box of predictions, in data units relative to the offsets: chains stay in it and every
    /// action is moved into it.
    pub bounds: Option<Bounds>,
    /// What 32-bit numbers of the policy are relative to, per column of an observation and of an
    /// action. A file of training has those of its data; parts have 0. For a file whose data have
    /// none they say what was subtracted from the data by hand.
    pub offsets: Option<Offsets>,
    /// Observations that the network sees, the oldest first; one by default.
    pub history: Option<usize>,
    /// How many actions are predicted and executed; one by default.
    pub chunk: Option<ActionChunk>,
    /// What a new agent gets whose first prediction is not finite, in data units relative to the
    /// offsets: the middle of the box by default, 0 without one.
    pub resting: Option<Vec<f32>>,
}

impl PolicyOptions {
    /// Nothing decided.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same options with another `agents`.
    pub fn with_agents(self, agents: usize) -> Self {
        Self { agents: Some(agents), ..self }
    }

    /// The same options with another `seed`.
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The same options with other `weights`.
    pub fn with_weights(self, weights: Weights) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The same options with another `inference`.
    pub fn with_inference(self, inference: impl Into<Inference>) -> Self {
        Self { inference: Some(inference.into()), ..self }
    }

    /// The same options with other `bounds`.
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds: Some(bounds), ..self }
    }

    /// The same options with other `offsets`.
    pub fn with_offsets(self, offsets: Offsets) -> Self {
        Self { offsets: Some(offsets), ..self }
    }

    /// The same options with another `history`.
    pub fn with_history(self, history: usize) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The same options with another `chunk`.
    pub fn with_chunk(self, predict: usize, execute: usize) -> Self {
        Self { chunk: Some(ActionChunk { predict, execute }), ..self }
    }

    /// The same options with another `resting` action.
    pub fn with_resting(self, resting: Vec<f32>) -> Self {
        Self { resting: Some(resting), ..self }
    }
}

/// A policy without its networks: what a file says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyDescription {
    /// Agents there is room for.
    pub agents: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// How it comes to its actions.
    pub inference: Inference,
    /// The box of predictions, in data units relative to the offsets.
    pub bounds: Option<Bounds>,
    /// What its 32-bit numbers are relative to, per column of an observation and of an action.
    #[serde(default, skip_serializing_if = "Offsets::are_zero")]
    pub offsets: Offsets,
    /// Observations that the network sees.
    pub history: usize,
    /// How many actions are predicted and executed.
    pub chunk: ActionChunk,
    /// What a new agent gets whose first prediction is not finite.
    pub resting: Vec<f32>,
    /// Which weights its networks were made with, in words.
    pub weights: String,
    /// Where it came from, in words.
    pub origin: String,
    /// The proposal, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proposal: Option<ProposalDescription>,
    /// What its diffusion model is made of besides, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) diffusion: Option<DiffusionDescription>,
}

/// What a diffusion model is made of besides its networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DiffusionDescription {
    /// What the score outputs.
    pub prediction: Prediction,
    /// The schedule that the score was trained on, if that is known.
    pub schedule: Option<NoiseSchedule>,
    /// That of the intermediate energy, if there is one.
    pub energy_schedule: Option<NoiseSchedule>,
    /// The units of both, if they are not those of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
}

/// Largest capacity, and number of numbers per agent in any tensor: what `u32` and the knob of
/// agents, an `f32`, can count.
const MAX_AGENTS: usize = 1 << 24;

fn fail<T>(what: &str, problem: String) -> Result<T> {
    Err(Error::argument("policy", what, problem))
}

impl PolicyDescription {
    /// What options leave of an inference that was chosen by default, and of the box of the data.
    pub(super) fn new(inference: Inference, bounds: Option<Bounds>, origin: String) -> Self {
        Self {
            agents: 1,
            seed: 0,
            inference,
            bounds,
            offsets: Offsets::default(),
            history: 1,
            chunk: ActionChunk::default(),
            resting: Vec::new(),
            weights: "as given".into(),
            origin,
            proposal: None,
            diffusion: None,
        }
    }

    /// The same with what a caller decided. A new box is that of the chains too.
    pub(super) fn overridden(mut self, options: &PolicyOptions) -> Self {
        self.agents = options.agents.unwrap_or(self.agents);
        self.seed = options.seed.unwrap_or(self.seed);
        self.history = options.history.unwrap_or(self.history);
        if let Some(inference) = &options.inference {
            self.inference = inference.clone();
        }
        if let Some(offsets) = &options.offsets {
            self.offsets = offsets.clone();
        }
        if let Some(chunk) = options.chunk {
            self.chunk = chunk;
            self.resting.clear();
        }
        if let Some(bounds) = &options.bounds {
            self.bounds = Some(bounds.clone());
            self.resting.clear();
            if let Inference::Chains(chains) = &mut self.inference
                && options.inference.is_none()
            {
                chains.dynamics = chains.dynamics.clone().with_bounds(bounds.clone());
            }
        }
        if let Some(resting) = &options.resting {
            self.resting = resting.clone();
        }
        self
    }

    /// The numbers of one observation and one action, where history and chunk divide those of a
    /// context and a prediction.
    pub(super) fn single_widths(&self, [context, prediction]: [usize; 2]) -> Option<[usize; 2]> {
        let whole = |all: usize, parts: usize| (parts > 0 && all.is_multiple_of(parts)).then(|| all / parts);
        Some([whole(context, self.history)?, whole(prediction, self.chunk.predict)?])
    }

    /// Checks it against a network that sees `context` numbers and predicts `prediction`; fills in
    /// the resting action.
    ///
    /// # Errors
    /// [`Error::Argument`] naming what does not fit.
    pub(super) fn layout(&mut self, context: usize, prediction: usize) -> Result<AgentLayout> {
        let ActionChunk { predict, execute } = self.chunk;
        if !(1..=MAX_AGENTS).contains(&self.agents) {
            return fail("the agents", format!("are {}, allowed are 1 to {MAX_AGENTS}", self.agents));
        }
        if predict == 0 || !prediction.is_multiple_of(predict) {
            let problem =
                format!("are {predict}, which does not divide the {prediction} numbers of a prediction");
            return fail("the actions of a chunk", problem);
        }
        if execute == 0 || execute > predict {
            let problem =
                format!("are {execute} of {predict} predicted ones; execute at least one, at most all");
            return fail("the executed actions of a chunk", problem);
        }
        if self.history == 0 || !context.is_multiple_of(self.history) || context == 0 && self.history > 1 {
            let problem = format!(
                "is {} observations, which does not divide the {context} numbers of a context",
                self.history
            );
            return fail("the history", problem);
        }
        if let Some(bounds) = &self.bounds
            && bounds.low().len() != prediction
        {
            let problem = format!("has {} dimensions, a prediction {prediction} numbers", bounds.low().len());
            return fail("the box", problem);
        }
        let action = prediction / predict;
        if self.resting.is_empty() {
            self.resting = match &self.bounds {
                Some(bounds) => {
                    let middles =
                        bounds.low().iter().zip(bounds.high()).map(|(low, high)| 0.5 * low + 0.5 * high);
                    middles.take(action).collect()
                }
                None => vec![0.0; action],
            };
        }
        if self.resting.len() != action || self.resting.iter().any(|value| !value.is_finite()) {
            let problem = format!("is {:?}; it needs {action} finite numbers", self.resting);
            return fail("the resting action", problem);
        }
        let observation = context / self.history;
        self.offsets = agent_offsets::of_agents(&self.offsets, [context, prediction], [observation, action])?;
        let widest = context.max(prediction).max(1);
        if self.agents.checked_mul(widest).is_none_or(|numbers| numbers > u32::MAX as usize) {
            let problem = format!(
                "are {} with {widest} numbers each; on the device they are counted in `u32`",
                self.agents
            );
            return fail("the agents", problem);
        }
        Ok(AgentLayout {
            capacity: self.agents,
            observation,
            history: self.history,
            action,
            predict,
            execute,
        })
    }
}
