//! What training a network over noised samples is made of, as data.

use serde::{Deserialize, Serialize};

use super::{Dataset, Draw};
use crate::diffusion::perturb::check_times;
use crate::diffusion::{GuidanceNetwork, NoiseSchedule, Prediction, ScoreNetwork};
use crate::energy::GuidanceObjective;
use crate::nn::{ACTION, AdamOptions, CONTEXT, Model, Network, Schedule, TIME};
use crate::{Error, Result};

/// What a network over noised samples learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum DiffusionObjective {
    /// The noise that was added (arXiv 2006.11239): a score. Each sample has a time of its own.
    Noise,
    /// The sample without its noise, by squared error of equal weight at all times: a score whose network outputs samples
    /// ([`crate::diffusion::Prediction::Sample`]).
    Sample,
    /// An intermediate energy of labelled samples, by contrast or by a rival's regression (arXiv 2304.12824).
    Energy {
        /// The loss.
        objective: GuidanceObjective,
        /// Inverse temperature; it becomes part of the energy.
        beta: f64,
        /// Samples that share one time and are compared, K; 1 is allowed for regressions only.
        group: usize,
    },
}

impl DiffusionObjective {
    /// What the network of a score outputs; none if an energy is learned.
    pub fn prediction(self) -> Option<Prediction> {
        match self {
            DiffusionObjective::Noise => Some(Prediction::Noise),
            DiffusionObjective::Sample => Some(Prediction::Sample),
            DiffusionObjective::Energy { .. } => None,
        }
    }
}

/// A run that trains one network over noised samples. Whatever the objective, it is the same loop.
///
/// A row of the data's `y` holds `support` samples one behind the other, each with its energy behind its coordinates if energies
/// are learned (a score passes over them); `x` holds the context, which a network without the input `context` ignores. A
/// conditional energy compares the samples of one row: `group = support`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffusionOptions {
    /// What the data are, in the caller's words.
    pub task: String,
    /// What is learned.
    pub objective: DiffusionObjective,
    /// The noise schedule.
    pub schedule: NoiseSchedule,
    /// First and last time to train on, drawn uniformly between; the last is at most the schedule's end, whatever it says.
    pub times: [f64; 2],
    /// Samples per step; a multiple of the group.
    pub batch: usize,
    /// Samples per row of the data.
    pub support: usize,
    /// How rows are chosen.
    pub draw: Draw,
    /// Steps of the run; schedules end here.
    pub steps: u64,
    /// How the network is trained; `steps` is set by the run.
    pub optimiser: AdamOptions,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for DiffusionOptions {
    /// A score, 3000 steps of 512 samples, times 0.001 to 1, averaged weights.
    fn default() -> Self {
        let schedule = Schedule::Cosine { rate: 2e-3, warmup: 100, floor: 0.0 };
        Self {
            task: String::new(),
            objective: DiffusionObjective::Noise,
            schedule: NoiseSchedule::default(),
            times: [1e-3, 1.0],
            batch: 512,
            support: 1,
            draw: Draw::Replacement,
            steps: 3000,
            optimiser: AdamOptions { schedule, average_decay: 0.995, ..AdamOptions::default() },
            seed: 0,
        }
    }
}

/// Most samples of a step: rows are counted in `u32` on the device, with room for the workgroups' overhang.
const MAX_BATCH: usize = 1 << 24;

/// How the numbers of a step lie, once checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Numbers per sample.
    pub dims: usize,
    /// Numbers per sample in memory, its energy included.
    pub stride: usize,
    /// Groups per step and samples of each that share a time.
    pub groups: usize,
    pub size: usize,
    /// Rows of the data drawn per step.
    pub rows: usize,
    /// Whether the network takes the context.
    pub conditional: bool,
}

impl DiffusionOptions {
    /// Checks the options against the network and the data.
    ///
    /// # Errors
    /// [`Error::Argument`] naming what does not fit.
    pub fn check(&self, network: &Network, data: &Dataset) -> Result<()> {
        self.layout(network, data).map(|_| ())
    }

    pub(super) fn layout(&self, network: &Network, data: &Dataset) -> Result<Layout> {
        let fail = |what: &str, problem: String| Err(Error::argument("diffusion training", what, problem));
        network.check()?;
        self.schedule.check()?;
        check_times(&self.schedule, self.times())?;
        let width = |name: &str| {
            network.inputs.iter().find(|input| input.name == name).map_or(0, |input| input.width)
        };
        let (dims, conditional) = (width(ACTION), width(CONTEXT) > 0);
        if dims == 0 || width(TIME) != 1 || network.inputs.len() != 2 + usize::from(conditional) {
            let names = format!("`{ACTION}`, `{TIME}` of width 1 and, if conditional, `{CONTEXT}`");
            return fail("the network", format!("needs the inputs {names}"));
        }
        if conditional && width(CONTEXT) != data.x_width() {
            let problem = format!("takes contexts of {}, the data have {}", width(CONTEXT), data.x_width());
            return fail("the network", problem);
        }
        let (size, labelled) = match self.objective {
            DiffusionObjective::Noise | DiffusionObjective::Sample => (1, false),
            DiffusionObjective::Energy { objective, beta, group } => {
                if !(beta.is_finite() && beta >= 0.0) {
                    return fail("beta", format!("is {beta}; it must be finite and not negative"));
                }
                if group == 0 || group == 1 && matches!(objective, GuidanceObjective::Contrastive { .. }) {
                    let problem = format!("is {group}; a contrast needs at least 2 samples, a regression 1");
                    return fail("the group", problem);
                }
                (group, true)
            }
        };
        let outputs = if labelled { 1 } else { dims };
        if network.outputs() != outputs {
            let problem = format!("has {} outputs, the objective needs {outputs}", network.outputs());
            return fail("the network", problem);
        }
        if self.support == 0 {
            return fail("the support", "is 0; a row of the data holds at least one sample".into());
        }
        let per_row = |stride: usize| self.support.checked_mul(stride) == Some(data.y_width());
        let stride = match (labelled, per_row(dims + 1), per_row(dims)) {
            (_, true, _) => dims + 1,
            (false, false, true) => dims,
            _ => {
                let words =
                    if labelled { format!("{} (with the energy)", dims + 1) } else { dims.to_string() };
                let problem = format!(
                    "has rows of {}, not {} samples of {words} numbers",
                    data.y_width(),
                    self.support
                );
                return fail("the data's `y`", problem);
            }
        };
        if self.batch == 0 || self.batch > MAX_BATCH || !self.batch.is_multiple_of(size) {
            let problem =
                format!("is {}; it must be a multiple of the group, {size}, up to {MAX_BATCH}", self.batch);
            return fail("the batch", problem);
        }
        if !self.batch.is_multiple_of(self.support) {
            let problem =
                format!("is {}; it must be a multiple of the support, {}", self.batch, self.support);
            return fail("the batch", problem);
        }
        if conditional && labelled && size != self.support {
            let problem =
                format!("is {size}; a conditional energy compares the {} samples of a row", self.support);
            return fail("the group", problem);
        }
        if self.steps == 0 {
            return fail("steps", "is 0; train at least one".into());
        }
        if self.draw == Draw::Epochs && data.weights().is_some() {
            let problem = "visits every row once per epoch, which leaves weights nothing to decide; draw with \
                           replacement, or leave the weights out";
            return fail("the draw by epochs", problem.into());
        }
        let rows = self.batch / self.support;
        Ok(Layout { dims, stride, groups: self.batch / size, size, rows, conditional })
    }

    /// The times, ended by the schedule.
    pub(super) fn times(&self) -> [f64; 2] {
        // Not `min`, which would make a number of none.
        let [first, last] = self.times;
        [first, if last > self.schedule.end() { self.schedule.end() } else { last }]
    }

    /// A trained network as the score that it is.
    pub(super) fn score(&self, model: Model) -> Result<ScoreNetwork> {
        match self.objective.prediction() {
            Some(prediction) => Ok(ScoreNetwork::predicting(model, prediction)?.with_schedule(self.schedule)),
            None => {
                Err(Error::argument("diffusion training", "the network", "learns an energy, not a score"))
            }
        }
    }

    /// A trained network as the intermediate energy that it is.
    pub(super) fn energy(&self, model: Model) -> Result<GuidanceNetwork> {
        match self.objective.prediction() {
            None => Ok(GuidanceNetwork::new(model)?.with_schedule(self.schedule)),
            Some(_) => {
                Err(Error::argument("diffusion training", "the network", "learns a score, not an energy"))
            }
        }
    }

    pub(super) fn optimiser(&self) -> AdamOptions {
        AdamOptions { steps: self.steps, ..self.optimiser }
    }
}
