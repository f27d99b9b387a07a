//! What a training run is made of, as data.

use serde::{Deserialize, Serialize};

use super::{Dataset, EnergyOptions, Normalise};
use crate::energy::Objective;
use crate::nn::{AdamOptions, Affine, Fusion, Schedule};
use crate::{Error, Result};

/// The negative sampler of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum ProposalOptions {
    /// A conditional mixture of diagonal Gaussians, trained by maximum likelihood; one component is the Gaussian.
    Mixture {
        /// Number of components.
        components: usize,
        /// Widths of the hidden layers.
        hidden: Vec<usize>,
        /// How it is trained; `steps` is set by the run.
        optimiser: AdamOptions,
    },
    /// A uniform box in data units, which must hold all the data.
    Uniform {
        /// Lower borders.
        low: Vec<f32>,
        /// Upper borders.
        high: Vec<f32>,
    },
}

impl Default for ProposalOptions {
    fn default() -> Self {
        let schedule = Schedule::Cosine { rate: 2e-3, warmup: 100, floor: 0.0 };
        Self::Mixture {
            components: 8,
            hidden: vec![64; 2],
            optimiser: AdamOptions { schedule, average_decay: 0.995, ..AdamOptions::default() },
        }
    }
}

/// How the rows of batches are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// Independently, each row with the same probability, or by weight if the data have weights.
    #[default]
    Replacement,
    /// Every row once per epoch, in a new order each time. Each update of a step goes through epochs of its own, counted from
    /// step 0; batches run on across their borders.
    Epochs,
}

/// A run of Algorithm 1 of arXiv 2309.05803: proposal steps and energy steps in turn, no gradient from one into the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RnceOptions {
    /// What the data are, in the caller's words; kept in checkpoints.
    pub task: String,
    /// The objective.
    pub objective: Objective,
    /// Negatives per context, K.
    pub negatives: usize,
    /// Contexts per batch.
    pub batch: usize,
    /// How they are chosen.
    pub draw: Draw,
    /// Steps of the run; schedules end here.
    pub steps: u64,
    /// Steps at the start that train the proposal alone.
    pub warmup: u64,
    /// Proposal updates per step after the warm-up, T_samp.
    pub proposal_updates: u32,
    /// Energy updates per step, T_rnce.
    pub energy_updates: u32,
    /// How contexts are normalised.
    pub context: Normalise,
    /// How actions are normalised.
    pub action: Normalise,
    /// The energy network.
    pub energy: EnergyOptions,
    /// The negative sampler.
    pub proposal: ProposalOptions,
    /// Whether whole-network kernels take the place of one dispatch per layer. It decides rounding, so it belongs to the run.
    pub fusion: Fusion,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for RnceOptions {
    fn default() -> Self {
        Self {
            task: String::new(),
            objective: Objective::Rnce,
            negatives: 63,
            batch: 128,
            draw: Draw::Replacement,
            steps: 3000,
            warmup: 0,
            proposal_updates: 1,
            energy_updates: 1,
            context: Normalise::Identity,
            action: Normalise::Standard { deviation: 1.0 },
            energy: EnergyOptions::default(),
            proposal: ProposalOptions::default(),
            fusion: Fusion::default(),
            seed: 0,
        }
    }
}

/// Most candidates of a step: rows are counted in `u32` on the device, with room for the workgroups' overhang.
const MAX_ROWS: usize = 1 << 30;

impl RnceOptions {
    /// Checks the options against each other and the data.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option.
    pub fn check(&self, data: &Dataset) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("training", what, problem));
        if self.negatives == 0 {
            return fail("negatives", "is 0; the ranking needs at least one".into());
        }
        if self.batch == 0 {
            return fail("batch", "is 0; draw at least one context".into());
        }
        let rows = self.negatives.checked_add(1).and_then(|count| count.checked_mul(self.batch));
        if rows.is_none_or(|rows| rows > MAX_ROWS) {
            let problem = format!("is {} with {} negatives each", self.batch, self.negatives);
            return fail("batch", format!("{problem}; at most {MAX_ROWS} candidates fit a step"));
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
        if self.steps == 0 || self.warmup >= self.steps {
            return fail("steps", format!("is {}, of which {} are warm-up", self.steps, self.warmup));
        }
        if self.energy_updates == 0 || self.energy_updates > 64 || self.proposal_updates > 64 {
            return fail(
                "updates per step",
                "must be 1 to 64 for the energy, 0 to 64 for the proposal".into(),
            );
        }
        for how in [self.context, self.action] {
            if let Normalise::Standard { deviation } = how
                && !(deviation.is_finite() && deviation > 0.0)
            {
                return fail("the normaliser's deviation", format!("is {deviation}; it must be positive"));
            }
        }
        let (x, y) = (Affine::identity(data.x_width()), Affine::identity(data.y_width()));
        self.energy.network(x, y)?;
        if self.warmup > 0 && matches!(self.proposal, ProposalOptions::Uniform { .. }) {
            return fail(
                "warmup",
                "trains the proposal alone, but a uniform box learns nothing; set it to 0".into(),
            );
        }
        if let ProposalOptions::Uniform { low, high } = &self.proposal {
            let bounds = crate::proposal::UniformBox::new(low, high)?;
            if low.len() != data.y_width() {
                return fail("the box", format!("has {} dimensions, actions {}", low.len(), data.y_width()));
            }
            if let Some(row) = data.y().chunks(data.y_width()).position(|y| !bounds.contains(y)) {
                let problem = format!("does not hold row {row} of the data; its density there would be 0");
                return fail("the box", problem);
            }
        }
        Ok(())
    }

    /// The options of the energy's optimiser, with its number of steps.
    pub(crate) fn energy_optimiser(&self) -> AdamOptions {
        let steps = (self.steps - self.warmup).saturating_mul(self.energy_updates.into());
        AdamOptions { steps, ..self.energy.optimiser }
    }

    /// The options of the proposal's optimiser, with its number of steps.
    pub(crate) fn proposal_optimiser(&self, own: &AdamOptions) -> AdamOptions {
        let after = (self.steps - self.warmup).saturating_mul(self.proposal_updates.into());
        let steps = self.warmup.saturating_add(after).max(1);
        AdamOptions { steps, ..*own }
    }
}
