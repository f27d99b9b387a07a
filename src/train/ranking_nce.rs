//! Ranking NCE: an energy and the proposal that its negatives come from (Algorithm 1 of arXiv
//! 2309.05803).

use super::run::Run;
use serde::{Deserialize, Serialize};

use super::dataset::DataShape;
use super::objective::{Details, Learner, Phase, Planned, StepParts, Trained, from_details, to_details};
use super::{Dataset, EnergyOptions, draw_batch};
use crate::energy::{Energy, NetworkEnergy};
use crate::gpu::{Column, DType, Recording, StepReport, Value};
use crate::loss::{RankingObjective, record_ranking_nce_fused};
use crate::math::Normalize;
use crate::mcmc::{Langevin, USUAL_CHAINS, select_chain};
use crate::nn::{AdamOptions, FlatGradient, Fusion, Network, Normalizer, Schedule, WatchedLoss};
use crate::proposal::{Draws, Mixture, MixtureShape, Proposal, ProposalDescription, UniformBox};
use crate::{Error, Result};

/// Name of the energy's model.
pub(super) const ENERGY: &str = "energy";
/// Name of the proposal's model, if it is learned.
pub(super) const PROPOSAL: &str = "proposal";

/// Most candidates of a step: rows are counted in `u32` on the device, with room for the
/// workgroups' overhang.
const MAX_ROWS: usize = 1 << 30;

/// Metrics of a run, in the order of the ring's slots.
const METRICS: [&str; 5] =
    ["energy_loss", "proposal_loss", "ess", "energy_gradient_norm", "proposal_gradient_norm"];

/// The negative sampler of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum ProposalOptions {
    /// A conditional mixture of diagonal Gaussians, trained by maximum likelihood; one component is
    /// the Gaussian.
    Mixture {
        /// Number of components.
        components: usize,
        /// Widths of the hidden layers.
        hidden: Vec<usize>,
        /// How it is trained; `steps` is set by the run.
        optimizer: AdamOptions,
    },
    /// A uniform box in data units, relative to the data's offsets, which must hold all data that
    /// can be drawn.
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
            optimizer: AdamOptions { schedule, average_decay: 0.995, ..AdamOptions::default() },
        }
    }
}

/// An energy and its proposal: proposal steps and energy steps in turn, no gradient from one into
/// the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RankingNceOptions {
    /// The loss.
    pub loss: RankingObjective,
    /// Negatives per context, K.
    pub negatives: usize,
    /// Steps at the start that train the proposal alone.
    pub warmup: u64,
    /// Proposal updates per step after the warm-up, T_samp.
    pub proposal_updates: u32,
    /// Energy updates per step, T_rnce.
    pub energy_updates: u32,
    /// How contexts are normalized.
    pub context: Normalize,
    /// How actions are normalized.
    pub action: Normalize,
    /// The energy network.
    pub energy: EnergyOptions,
    /// The negative sampler.
    pub proposal: ProposalOptions,
    /// Whether whole-network kernels take the place of one dispatch per layer. It decides rounding,
    /// so it belongs to the run.
    pub fusion: Fusion,
}

impl Default for RankingNceOptions {
    /// 63 negatives of a mixture of eight Gaussians.
    fn default() -> Self {
        Self {
            loss: RankingObjective::Rnce,
            negatives: 63,
            warmup: 0,
            proposal_updates: 1,
            energy_updates: 1,
            context: Normalize::Identity,
            action: Normalize::Standard { deviation: 1.0 },
            energy: EnergyOptions::default(),
            proposal: ProposalOptions::default(),
            fusion: Fusion::default(),
        }
    }
}

impl RankingNceOptions {
    /// The options of the energy's optimizer, with its number of steps.
    fn energy_optimizer(&self, steps: u64) -> AdamOptions {
        let steps = steps.saturating_sub(self.warmup).saturating_mul(self.energy_updates.into());
        AdamOptions { steps, ..self.energy.optimizer }
    }

    /// The options of the proposal's optimizer, with its number of steps.
    fn proposal_optimizer(&self, steps: u64, own: &AdamOptions) -> AdamOptions {
        let after = steps.saturating_sub(self.warmup).saturating_mul(self.proposal_updates.into());
        let steps = self.warmup.saturating_add(after).max(1);
        AdamOptions { steps, ..*own }
    }

    fn learns_proposal(&self) -> bool {
        matches!(self.proposal, ProposalOptions::Mixture { .. })
    }
}

crate::error::setters!(RankingNceOptions {
    with_loss => loss: RankingObjective,
    with_negatives => negatives: usize,
    with_warmup => warmup: u64,
    with_proposal_updates => proposal_updates: u32,
    with_energy_updates => energy_updates: u32,
    with_context => context: Normalize,
    with_action => action: Normalize,
    with_energy => energy: EnergyOptions,
    with_proposal => proposal: ProposalOptions,
    with_fusion => fusion: Fusion,
});

impl Learner for RankingNceOptions {
    fn check(&self, run: Run, data: &Dataset) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("training", what, problem));
        if data.support() != 1 || data.energies().is_some() {
            let problem =
                "are groups or labeled; ranking NCE takes one action per context, without an energy";
            return fail("the data", problem.into());
        }
        if self.negatives == 0 {
            return fail("negatives", "is 0; the ranking needs at least one".into());
        }
        let rows = self.negatives.checked_add(1).and_then(|count| count.checked_mul(run.batch));
        if rows.is_none_or(|rows| rows > MAX_ROWS) {
            let problem = format!("is {} with {} negatives each", run.batch, self.negatives);
            return fail("batch", format!("{problem}; at most {MAX_ROWS} candidates fit a step"));
        }
        if self.warmup >= run.steps {
            return fail("steps", format!("is {}, of which {} are warm-up", run.steps, self.warmup));
        }
        if self.energy_updates == 0 || self.energy_updates > 64 || self.proposal_updates > 64 {
            return fail(
                "updates per step",
                "must be 1 to 64 for the energy, 0 to 64 for the proposal".into(),
            );
        }
        self.context.check()?;
        self.action.check()?;
        for (what, width) in [("contexts", data.x_width()), ("actions", data.y_width())] {
            if width > Network::MAX_WIDTH {
                let problem = format!(
                    "have {what} of {width} columns, networks take at most {}; leave columns out, or map them to \
                     fewer, such as principal components",
                    Network::MAX_WIDTH
                );
                return fail("the data", problem);
            }
        }
        let context = (data.x_width() > 0).then(|| Normalizer::identity(data.x_width()));
        let action = Normalizer::identity(data.y_width());
        if let ProposalOptions::Mixture { components, hidden, .. } = &self.proposal {
            Mixture::network(context.clone(), hidden, &MixtureShape::new(*components, action.clone()))?;
        }
        self.energy.network(context, action)?;
        if self.warmup > 0 && !self.learns_proposal() {
            return fail(
                "warmup",
                "trains the proposal alone, but a uniform box learns nothing; set it to 0".into(),
            );
        }
        if let ProposalOptions::Uniform { low, high } = &self.proposal {
            let bounds = UniformBox::new(low, high)?;
            if low.len() != data.y_width() {
                return fail("the box", format!("has {} dimensions, actions {}", low.len(), data.y_width()));
            }
            let outside = |row: &usize| !bounds.contains(&data.y()[row * low.len()..][..low.len()]);
            if let Some(row) = data.drawn_rows().find(outside) {
                let relative = match data.offsets().are_zero() {
                    true => String::new(),
                    false => format!(". It is relative to the data's offsets: {}", data.offsets().words()),
                };
                let problem =
                    format!("does not hold row {row} of the data; its density there would be 0{relative}");
                return fail("the box", problem);
            }
        }
        Ok(())
    }

    fn networks(&self, run: Run, data: &Dataset) -> Result<Vec<Planned>> {
        let context = (!data.is_unconditional()).then(|| data.fit_x(self.context));
        let action = data.fit_y(self.action);
        let mut all = vec![Planned {
            name: ENERGY.into(),
            network: self.energy.network(context.clone(), action.clone())?,
            optimizer: self.energy_optimizer(run.steps),
        }];
        if let ProposalOptions::Mixture { components, hidden, optimizer } = &self.proposal {
            all.push(Planned {
                name: PROPOSAL.into(),
                network: Mixture::network(context, hidden, &MixtureShape::new(*components, action))?,
                optimizer: self.proposal_optimizer(run.steps, optimizer),
            });
        }
        Ok(all)
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn phases(&self, run: Run) -> Vec<Phase> {
        let of_proposal = [METRICS[1], METRICS[4]];
        let mut metrics = vec![METRICS[0], METRICS[2], METRICS[3]];
        if self.learns_proposal() && self.proposal_updates > 0 {
            metrics.extend(of_proposal);
        }
        let main = Phase { label: "gibbs/train/step", until: run.steps, metrics };
        let warmup = Phase { label: "gibbs/train/warm-up", until: self.warmup, metrics: of_proposal.into() };
        match self.warmup {
            0 => vec![main],
            _ => vec![warmup, main],
        }
    }

    fn record(&self, phase: usize, recording: &mut Recording, parts: &StepParts<'_>) -> Result<()> {
        let models = Models::new(self, parts)?;
        let warm = self.warmup > 0 && phase == 0;
        let (mut proposal, mut energy) = (None, None);
        if warm {
            proposal = models.proposal_update(recording, parts, 0)?;
        } else {
            for index in 0..self.proposal_updates {
                let update = |recording: &mut Recording| models.proposal_update(recording, parts, index);
                proposal = recording.scoped("proposal", update)?;
            }
            for index in 0..self.energy_updates {
                let update = |recording: &mut Recording| models.energy_update(self, recording, parts, index);
                energy = Some(recording.scoped("energy", update)?);
            }
        }
        // The metrics are those of the last update of each kind.
        let mut reports = Vec::new();
        if let Some(prepared) = proposal {
            reports.push(StepReport { prepared, loss: Some(METRICS[1]), norm: METRICS[4] });
        }
        if let Some((prepared, _)) = energy {
            reports.push(StepReport { prepared, loss: Some(METRICS[0]), norm: METRICS[3] });
        }
        let column = energy.map(|(_, ess)| (METRICS[2], ess));
        parts.ring.record_finish(recording, &reports, column)
    }

    fn record_acting(&self, recording: &mut Recording, parts: &StepParts<'_>) -> Result<()> {
        let models = Models::new(self, parts)?;
        let x_width = parts.data.shape().x_width;
        let given = match x_width {
            0 => recording.scratch("no context", DType::F32, [1, 0]),
            width => recording.slot("context", DType::F32, [1, width])?,
        };
        let y = recording.scratch("chains", DType::F32, [1, USUAL_CHAINS, models.energy.dims()]);
        let prepared = models.proposal().record_prepare(recording, given)?;
        let draws = Draws { candidates: y, first: 0, count: USUAL_CHAINS, stream: "sample/start", inner: 0 };
        models.proposal().record_sample(recording, &prepared, &draws)?;
        let context = (x_width > 0).then_some(given);
        let langevin = Langevin { steps: 1, ..Langevin::default() };
        langevin.record(recording, &models.energy, context, y, "sample/langevin")?;
        let energies = models.energy.record_value(recording, context, y)?;
        select_chain::record(recording, energies, y).map(|_| ())
    }

    fn sizes(&self, run: Run, data: DataShape) -> String {
        let DataShape { rows, x_width, y_width, .. } = data;
        let proposal = match &self.proposal {
            ProposalOptions::Mixture { components, hidden, .. } => {
                format!("those of the proposal ({hidden:?}) and its components ({components})")
            }
            ProposalOptions::Uniform { .. } => "of a proposal there are none".into(),
        };
        format!(
            "make some of these smaller: the batch ({} rows) and its negatives ({} each), the rows of the data \
             ({rows}), the columns of their actions ({y_width}) and contexts ({x_width}), the hidden widths of the \
             energy ({:?}); {proposal}",
            run.batch, self.negatives, self.energy.hidden
        )
    }

    fn details(&self, _: Run, data: &Dataset) -> Result<Details> {
        let proposal = match &self.proposal {
            ProposalOptions::Mixture { components, .. } => {
                let shape = MixtureShape::new(*components, data.fit_y(self.action));
                ProposalDescription::Mixture { model: PROPOSAL.into(), shape }
            }
            ProposalOptions::Uniform { low, high } => {
                ProposalDescription::Uniform { bounds: UniformBox::new(low, high)? }
            }
        };
        to_details(&RankingNceDetails { proposal })
    }
}

/// What a checkpoint of ranking NCE holds beside options and networks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RankingNceDetails {
    /// The negative sampler, as [`Mixture::load`] reads it.
    pub proposal: ProposalDescription,
}

/// The negative sampler of a run, with its training when it is learned.
enum Negatives<'a> {
    Learned { mixture: Box<Mixture>, trained: &'a Trained },
    Fixed(UniformBox),
}

/// The models of a run.
struct Models<'a> {
    energy: NetworkEnergy,
    trained: &'a Trained,
    negatives: Negatives<'a>,
}

impl<'a> Models<'a> {
    fn new(options: &RankingNceOptions, parts: &StepParts<'a>) -> Result<Self> {
        let trained = parts.trained(0)?;
        let energy = NetworkEnergy::new(trained.model.clone())?;
        let RankingNceDetails { proposal } = from_details(parts.details)?;
        let negatives = match (&options.proposal, proposal) {
            (ProposalOptions::Mixture { .. }, ProposalDescription::Mixture { shape, .. }) => {
                let trained = parts.trained(1)?;
                Negatives::Learned { mixture: Box::new(Mixture::new(trained.model.clone(), shape)?), trained }
            }
            (ProposalOptions::Uniform { low, high }, ProposalDescription::Uniform { bounds })
                if bounds.low() == low && bounds.high() == high =>
            {
                Negatives::Fixed(bounds)
            }
            _ => {
                let problem = "is another one in the options than beside the networks";
                return Err(Error::argument("training", "the proposal", problem));
            }
        };
        Ok(Self { energy, trained, negatives })
    }

    fn proposal(&self) -> &dyn Proposal {
        match &self.negatives {
            Negatives::Learned { mixture, .. } => mixture.as_ref(),
            Negatives::Fixed(bounds) => bounds,
        }
    }

    /// Returns the prepared optimizer step, if the proposal is learned.
    fn proposal_update(
        &self,
        recording: &mut Recording,
        parts: &StepParts<'_>,
        index: u32,
    ) -> Result<Option<Value>> {
        let Negatives::Learned { mixture, trained } = &self.negatives else { return Ok(None) };
        let data = parts.data.values(recording)?;
        let stream = format!("train/proposal/{index}/batch");
        let choice = parts.data.choice(recording, parts.run.draw)?;
        let (x, y) = draw_batch::record(recording, data, choice, parts.run.batch, 1, &stream)?;
        let (loss, gradient) = mixture.record_likelihood(recording, x, y)?;
        let losses = Column::all(recording, loss)?;
        let watched = WatchedLoss { losses, metric: parts.ring.slot(METRICS[1])? };
        let (gradient, slot) = (FlatGradient::Whole(gradient), parts.ring.slot(METRICS[4])?);
        let Trained { model, optimizer } = trained;
        optimizer.record_watched_step(recording, model, gradient, slot, Some(watched)).map(Some)
    }

    /// Returns the prepared optimizer step and the effective sample sizes.
    fn energy_update(
        &self,
        options: &RankingNceOptions,
        recording: &mut Recording,
        parts: &StepParts<'_>,
        index: u32,
    ) -> Result<(Value, Column)> {
        let data = parts.data.values(recording)?;
        let stream = format!("train/energy/{index}/batch");
        let choice = parts.data.choice(recording, parts.run.draw)?;
        let candidates = 1 + options.negatives;
        let drawn = draw_batch::record(recording, data, choice, parts.run.batch, candidates, &stream)?;
        let stream = format!("train/energy/{index}/negatives");
        let step = record_ranking_nce_fused(
            recording,
            options.loss,
            &self.energy,
            self.proposal(),
            drawn,
            &stream,
            options.fusion,
        )?;
        let watched = WatchedLoss { losses: step.loss, metric: parts.ring.slot(METRICS[0])? };
        let slot = parts.ring.slot(METRICS[3])?;
        let Trained { model, optimizer } = self.trained;
        let prepared = optimizer.record_watched_step(recording, model, step.gradient, slot, Some(watched))?;
        Ok((prepared, step.ess))
    }
}
