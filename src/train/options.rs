//! What a run is made of, as data.

use serde::{Deserialize, Serialize};

use super::objective::Learner;
use super::run::{Draw, Run};
use super::{Dataset, IntermediateEnergyOptions, RankingNceOptions, ScoreOptions};
use crate::nn::Network;
use crate::{Error, Result};

/// What a run learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Objective {
    /// An energy with its proposal, by ranking NCE.
    RankingNce(RankingNceOptions),
    /// A score.
    Score(ScoreOptions),
    /// An intermediate energy of labeled samples.
    IntermediateEnergy(IntermediateEnergyOptions),
}

impl Objective {
    /// The kind of checkpoint that a run with it writes, as in its JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Objective::RankingNce(_) => "ranking_nce",
            Objective::Score(_) => "score",
            Objective::IntermediateEnergy(_) => "intermediate_energy",
        }
    }

    /// What ranking NCE is made of, if it is that.
    pub fn ranking_nce(&self) -> Option<&RankingNceOptions> {
        match self {
            Objective::RankingNce(options) => Some(options),
            _ => None,
        }
    }

    /// What the score is made of, if it is one.
    pub fn score(&self) -> Option<&ScoreOptions> {
        match self {
            Objective::Score(options) => Some(options),
            _ => None,
        }
    }

    /// What the intermediate energy is made of, if it is one.
    pub fn intermediate_energy(&self) -> Option<&IntermediateEnergyOptions> {
        match self {
            Objective::IntermediateEnergy(options) => Some(options),
            _ => None,
        }
    }

    pub(super) fn learner(&self) -> &dyn Learner {
        match self {
            Objective::RankingNce(options) => options,
            Objective::Score(options) => options,
            Objective::IntermediateEnergy(options) => options,
        }
    }
}

impl Default for Objective {
    /// Ranking NCE.
    fn default() -> Self {
        Self::RankingNce(RankingNceOptions::default())
    }
}

impl From<RankingNceOptions> for Objective {
    fn from(options: RankingNceOptions) -> Self {
        Self::RankingNce(options)
    }
}

impl From<ScoreOptions> for Objective {
    fn from(options: ScoreOptions) -> Self {
        Self::Score(options)
    }
}

impl From<IntermediateEnergyOptions> for Objective {
    fn from(options: IntermediateEnergyOptions) -> Self {
        Self::IntermediateEnergy(options)
    }
}

/// A run: what it learns, how its batches are drawn, and how long it is.
///
/// ```
/// use gibbs::train::{RankingNceOptions, TrainOptions};
/// let objective = RankingNceOptions::default().with_negatives(31);
/// let options = TrainOptions::new(objective).with_steps(400);
/// assert_eq!(options.batch, 128);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainOptions {
    /// What the data are, in the caller's words; kept in checkpoints.
    #[serde(default)]
    pub task: String,
    /// What is learned.
    pub objective: Objective,
    /// Rows of the data per step: a context with its action, or with all the actions that are
    /// compared there.
    pub batch: usize,
    /// How they are chosen.
    #[serde(default)]
    pub draw: Draw,
    /// Steps of the run; schedules end here.
    pub steps: u64,
    /// The seed of everything random.
    #[serde(default)]
    pub seed: u64,
}

impl Default for TrainOptions {
    /// Ranking NCE.
    fn default() -> Self {
        Self::new(Objective::default())
    }
}

impl TrainOptions {
    /// A run of 3000 steps of 128 rows, or of 512 for networks over noised samples, which see one
    /// of each row.
    pub fn new(objective: impl Into<Objective>) -> Self {
        let objective = objective.into();
        let batch = match objective {
            Objective::RankingNce(_) => 128,
            Objective::Score(_) | Objective::IntermediateEnergy(_) => 512,
        };
        let (task, draw) = (String::new(), Draw::default());
        Self { task, objective, batch, draw, steps: 3000, seed: 0 }
    }

    /// Ranking NCE with the usual options.
    pub fn ranking_nce() -> Self {
        Self::new(RankingNceOptions::default())
    }

    /// A score with the usual options: a network with the inputs `action`, `time` and, if
    /// conditional, `context`, and as many outputs as the action has numbers.
    pub fn score(network: Network) -> Self {
        Self::new(ScoreOptions::new(network))
    }

    /// The intermediate energy of `exp(-beta E)` with the usual options: a network as that of a
    /// score, of one output.
    pub fn intermediate_energy(network: Network, beta: f64) -> Self {
        Self::new(IntermediateEnergyOptions::new(network, beta))
    }

    /// The same options with another `task`.
    pub fn with_task(self, task: impl Into<String>) -> Self {
        Self { task: task.into(), ..self }
    }

    pub(super) fn run(&self) -> Run {
        Run { batch: self.batch, draw: self.draw, steps: self.steps }
    }

    /// Checks the options against each other and the data.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option.
    pub fn check(&self, data: &Dataset) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("training", what, problem));
        if self.batch == 0 {
            return fail("batch", "is 0; draw at least one row".into());
        }
        if self.steps == 0 {
            return fail("steps", "is 0; train at least one".into());
        }
        if self.draw == Draw::Epochs {
            if data.weights().is_some() {
                let problem = "visits every row once per epoch, which leaves weights nothing to decide; draw with \
                               replacement, or leave the weights out";
                return fail("the draw by epochs", problem.into());
            }
            if self.steps.checked_mul(self.batch as u64).is_none() {
                let problem = format!("is {} with batches of {}", self.steps, self.batch);
                return fail("steps", format!("{problem}; positions in epochs are counted up to 2^64"));
            }
        }
        self.objective.learner().check(self.run(), data)
    }
}

crate::error::setters!(TrainOptions {
    with_batch => batch: usize,
    with_draw => draw: Draw,
    with_steps => steps: u64,
    with_seed => seed: u64,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ACTION, TIME};
    use crate::nn::{Activation, Input};

    #[test]
    fn options_read_what_they_write() {
        let network =
            Network::mlp(vec![Input::new(ACTION, 2), Input::new(TIME, 1)], &[8], Activation::Silu, 2);
        let all = [
            TrainOptions::ranking_nce().with_task("two moons").with_draw(Draw::Epochs),
            TrainOptions::score(network.clone()).with_steps(7).with_seed(u64::MAX),
            TrainOptions::intermediate_energy(network, 0.1 + 0.2).with_batch(3),
        ];
        for options in all {
            let text = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<TrainOptions>(&text).unwrap(), options, "{text}");
            let kind = format!("\"kind\":\"{}\"", options.objective.kind());
            assert!(text.contains(&kind), "{text}");
        }
    }

    #[test]
    fn a_description_without_an_objective_is_refused() {
        let error = serde_json::from_str::<TrainOptions>(r#"{"batch": 7, "steps": 3}"#).unwrap_err();
        assert!(error.to_string().contains("objective"), "{error}");
        let short = r#"{"batch": 7, "steps": 3, "objective": {"kind": "ranking_nce"}}"#;
        let options = serde_json::from_str::<TrainOptions>(short).unwrap();
        assert_eq!(options, TrainOptions::ranking_nce().with_batch(7).with_steps(3));
    }
}
