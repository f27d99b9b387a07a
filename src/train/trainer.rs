//! The training loop of energy models by ranking NCE.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::dataset::DeviceData;
use super::progress::Progress;
use super::{Dataset, ProposalOptions, RnceOptions, draw_batch};
use crate::Result;
use crate::energy::record_ranked_gradient;
use crate::gpu::{
    Bindings, Column, Gpu, MetricsRing, MetricsRow, Plan, Recording, RunState, StepReport, Value,
    VariantChoices,
};
use crate::nn::{FlatGradient, Model, NetworkEnergy, Optimiser, WatchedLoss};
use crate::proposal::{Mixture, MixtureShape, Proposal, UniformBox};

/// Metrics of a run, in the order of the ring's slots.
const METRICS: [&str; 5] =
    ["energy_loss", "proposal_loss", "ess", "energy_gradient_norm", "proposal_gradient_norm"];

/// One line of the metrics stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, counted from 0.
    pub step: u64,
    /// Mean ranking loss of the batch, before the update; none while the proposal warms up.
    pub energy_loss: Option<f32>,
    /// Mean negative log-likelihood of the proposal, in nats of data units; none without a learned proposal.
    pub proposal_loss: Option<f32>,
    /// Mean effective sample size of the candidates, from 1 to K + 1.
    pub ess: Option<f32>,
    /// Norm of the energy's gradient, before clipping.
    pub energy_gradient_norm: Option<f32>,
    /// Norm of the proposal's gradient, before clipping.
    pub proposal_gradient_norm: Option<f32>,
    /// Steps per second since training began or went on, by the host's clock.
    pub steps_per_second: f64,
}

/// What watches a run.
pub trait Observer {
    /// Records that arrived, in order. Called between chunks; must not touch the device.
    fn records(&mut self, records: &[StepRecord]);
    /// The run stands at a multiple of `every` steps, or at its end; everything submitted is done.
    ///
    /// # Errors
    /// Any error ends the run.
    fn evaluate(&mut self, trainer: &mut RnceTrainer) -> Result<()>;
}

/// The negative sampler of a run, with its optimiser when it is learned.
#[derive(Debug)]
pub(super) enum Negatives {
    Learned { mixture: Box<Mixture>, optimiser: Box<Optimiser> },
    Fixed(UniformBox),
}

impl Negatives {
    fn proposal(&self) -> &dyn Proposal {
        match self {
            Negatives::Learned { mixture, .. } => mixture.as_ref(),
            Negatives::Fixed(bounds) => bounds,
        }
    }
}

/// Trains a conditional energy and its proposal (Algorithm 1 of arXiv 2309.05803). A step draws its batch, its negatives and
/// its noise on the device; between evaluations the host only submits.
#[derive(Debug)]
pub struct RnceTrainer {
    pub(super) gpu: Gpu,
    pub(super) options: RnceOptions,
    pub(super) energy: NetworkEnergy,
    pub(super) energy_optimiser: Optimiser,
    pub(super) negatives: Negatives,
    pub(super) run: RunState,
    pub(super) progress: Progress,
    pub(super) fingerprint: u64,
    warm_plan: Option<Plan>,
    plan: Plan,
    description: String,
}

impl RnceTrainer {
    /// A run from fresh parameters.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for options that do not fit the data; [`crate::Error::Limit`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Device`].
    pub fn new(gpu: &Gpu, data: &Dataset, options: RnceOptions) -> Result<Self> {
        options.check(data)?;
        let context = data.fit_x(options.context);
        let action = data.fit_y(options.action);
        let run = RunState::new(gpu, options.seed)?;
        let network = options.energy.network(context.clone(), action.clone())?;
        let energy = NetworkEnergy::new(Model::new(gpu, "energy", network, &run)?)?;
        let negatives = match &options.proposal {
            ProposalOptions::Mixture { components, hidden, optimiser } => {
                let shape = MixtureShape::new(*components, action);
                let mixture = Mixture::fresh(gpu, "proposal", context, hidden, shape, &run)?;
                let optimiser = options.proposal_optimiser(optimiser);
                let optimiser = Optimiser::new(gpu, mixture.model(), optimiser)?;
                Negatives::Learned { mixture: Box::new(mixture), optimiser: Box::new(optimiser) }
            }
            ProposalOptions::Uniform { low, high } => Negatives::Fixed(UniformBox::new(low, high)?),
        };
        Self::assemble(gpu, data, options, energy, negatives, 0)
    }

    /// Records and compiles the plans round given models.
    pub(super) fn assemble(
        gpu: &Gpu,
        data: &Dataset,
        options: RnceOptions,
        energy: NetworkEnergy,
        negatives: Negatives,
        step: u64,
    ) -> Result<Self> {
        let energy_optimiser = Optimiser::new(gpu, energy.model(), options.energy_optimiser())?;
        let run = RunState::at(gpu, options.seed, step)?;
        let ring = MetricsRing::new(gpu, &METRICS, step)?;
        let device_data = data.upload(gpu)?;
        let mut bindings = energy
            .model()
            .bindings()
            .merge(&energy_optimiser.bindings())
            .merge(&run.bindings())
            .merge(&ring.bindings())
            .merge(&device_data.bindings());
        if let Negatives::Learned { mixture, optimiser } = &negatives {
            bindings = bindings.merge(&mixture.bindings()).merge(&optimiser.bindings());
        }
        let parts = Parts {
            gpu,
            options: &options,
            energy: &energy,
            energy_optimiser: &energy_optimiser,
            negatives: &negatives,
            ring: &ring,
            data: &device_data,
            bindings: &bindings,
        };
        let warm_plan = match options.warmup > 0 {
            true => Some(parts.warm_plan()?),
            false => None,
        };
        let (plan, description) = parts.plan()?;
        Ok(Self {
            gpu: gpu.clone(),
            energy,
            energy_optimiser,
            negatives,
            run,
            progress: Progress::new(ring, step),
            fingerprint: data.fingerprint(),
            warm_plan,
            plan,
            description,
            options,
        })
    }

    /// The options.
    pub fn options(&self) -> &RnceOptions {
        &self.options
    }

    /// The context it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Steps submitted so far.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// The plan of one training step.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The kernel variants of its plans, by shape class. Under [`crate::gpu::Tuning::Measure`] they were measured when the run
    /// was made.
    pub fn variants(&self) -> VariantChoices {
        let mut all = self.plan.variants().clone();
        for (class, names) in self.warm_plan.iter().flat_map(|plan| plan.variants()) {
            all.entry(class.clone()).or_default().extend(names.iter().cloned());
        }
        all
    }

    /// A table of the step's dispatches.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The energy as it is being trained.
    pub fn energy(&self) -> &NetworkEnergy {
        &self.energy
    }

    /// The energy with averaged weights: what to evaluate and sample. Before the first energy step, the initial weights.
    ///
    /// # Errors
    /// None in practice; [`crate::Error::Shape`] if the average does not fit.
    pub fn averaged_energy(&self) -> Result<NetworkEnergy> {
        if self.step() <= self.options.warmup {
            return Ok(self.energy.clone());
        }
        NetworkEnergy::new(self.energy.model().with_parameters(&self.energy_optimiser.average)?)
    }

    /// The proposal as it is being trained.
    pub fn proposal(&self) -> &dyn Proposal {
        self.negatives.proposal()
    }

    /// Trains up to step `until` (at most the options' `steps`), calling the observer at every multiple of `every` and at
    /// the end. Between two evaluations nothing is read back with a wait and nothing is written from the host.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] with the first bad step; the weights are those of the last good updates
    /// ([`RnceTrainer::save_last_good`]). [`crate::Error::DeviceLost`], [`crate::Error::Timeout`]; those of the
    /// observer.
    pub fn train(&mut self, until: u64, every: u64, observer: &mut dyn Observer) -> Result<()> {
        self.train_until(until, every, observer).map_err(|error| error.at_step(self.step()))
    }

    fn train_until(&mut self, until: u64, every: u64, observer: &mut dyn Observer) -> Result<()> {
        let until = until.min(self.options.steps);
        let every = every.max(1);
        while self.step() < until {
            let stop = (self.step() / every + 1).saturating_mul(every).min(until);
            while self.step() < stop {
                self.submit_until(stop, observer)?;
            }
            let records = self.collect_all()?;
            observer.records(&records);
            self.progress.ring.check()?;
            // The clock leaves evaluations out.
            let paused = Instant::now();
            observer.evaluate(self)?;
            self.progress.leave_out(paused);
        }
        Ok(())
    }

    fn submit_until(&mut self, stop: u64, observer: &mut dyn Observer) -> Result<()> {
        let (plan, stop) = match &self.warm_plan {
            Some(warm) if self.progress.step < self.options.warmup => (warm, stop.min(self.options.warmup)),
            _ => (&self.plan, stop),
        };
        let rows = self.progress.submit(plan, stop)?;
        let records: Vec<StepRecord> = rows.into_iter().map(|row| self.record(row)).collect();
        if !records.is_empty() {
            observer.records(&records);
        }
        Ok(())
    }

    fn collect_all(&mut self) -> Result<Vec<StepRecord>> {
        let rows = self.progress.ring.collect(true)?;
        Ok(rows.into_iter().map(|row| self.record(row)).collect())
    }

    fn record(&self, row: MetricsRow) -> StepRecord {
        let learned = matches!(self.negatives, Negatives::Learned { .. });
        let warm = row.step < self.options.warmup;
        let proposal = learned && (warm || self.options.proposal_updates > 0);
        let value = |at: usize, present: bool| present.then_some(row.values[at]);
        let steps_per_second = self.progress.steps_per_second(row.step);
        StepRecord {
            step: row.step,
            energy_loss: value(0, !warm),
            proposal_loss: value(1, proposal),
            ess: value(2, !warm),
            energy_gradient_norm: value(3, !warm),
            proposal_gradient_norm: value(4, proposal),
            steps_per_second,
        }
    }
}

/// What the plans are recorded from.
struct Parts<'a> {
    gpu: &'a Gpu,
    options: &'a RnceOptions,
    energy: &'a NetworkEnergy,
    energy_optimiser: &'a Optimiser,
    negatives: &'a Negatives,
    ring: &'a MetricsRing,
    data: &'a DeviceData,
    bindings: &'a Bindings,
}

impl Parts<'_> {
    fn recording(&self, label: &str) -> Recording {
        Recording::tuned(label, self.gpu.target())
    }

    fn warm_plan(&self) -> Result<Plan> {
        let mut recording = self.recording("gibbs/train/warm-up");
        let report = self.proposal_update(&mut recording, 0)?;
        self.finish(&mut recording, report, None)?;
        self.compile(&recording)
    }

    fn plan(&self) -> Result<(Plan, String)> {
        let mut recording = self.recording("gibbs/train/step");
        let (mut proposal, mut energy) = (None, None);
        for index in 0..self.options.proposal_updates {
            proposal = recording.scoped("proposal", |recording| self.proposal_update(recording, index))?;
        }
        for index in 0..self.options.energy_updates {
            energy = Some(recording.scoped("energy", |recording| self.energy_update(recording, index))?);
        }
        self.finish(&mut recording, proposal, energy)?;
        Ok((self.compile(&recording)?, recording.describe()))
    }

    /// The metrics are those of the last update of each kind.
    fn finish(
        &self,
        recording: &mut Recording,
        proposal: Option<Value>,
        energy: Option<(Value, Column)>,
    ) -> Result<()> {
        let mut reports = Vec::new();
        if let Some(prepared) = proposal {
            reports.push(StepReport { prepared, loss: Some(METRICS[1]), norm: METRICS[4] });
        }
        if let Some((prepared, _)) = energy {
            reports.push(StepReport { prepared, loss: Some(METRICS[0]), norm: METRICS[3] });
        }
        let column = energy.map(|(_, ess)| (METRICS[2], ess));
        self.ring.record_finish(recording, &reports, column)
    }

    /// A recording binds only the slots it has; a run's tensors are more than one plan may need.
    fn compile(&self, recording: &Recording) -> Result<Plan> {
        recording.compile(self.gpu, &self.bindings.only(recording))
    }

    /// Returns the prepared optimiser step, if the proposal is learned.
    fn proposal_update(&self, recording: &mut Recording, index: u32) -> Result<Option<Value>> {
        let Negatives::Learned { mixture, optimiser } = self.negatives else { return Ok(None) };
        let data = self.data.values(recording)?;
        let stream = format!("train/proposal/{index}/batch");
        let batch = self.options.batch;
        let choice = self.data.choice(recording, self.options.draw)?;
        let (x, y) = draw_batch::record(recording, data, choice, batch, 1, &stream)?;
        let (loss, gradient) = mixture.record_likelihood(recording, x, y)?;
        let losses = Column::all(recording, loss)?;
        let watched = WatchedLoss { losses, metric: self.ring.slot(METRICS[1])? };
        let (gradient, slot) = (FlatGradient::Whole(gradient), self.ring.slot(METRICS[4])?);
        let model = mixture.model();
        optimiser.record_watched_step(recording, model, gradient, slot, Some(watched)).map(Some)
    }

    /// Returns the prepared optimiser step and the effective sample sizes.
    fn energy_update(&self, recording: &mut Recording, index: u32) -> Result<(Value, Column)> {
        let data = self.data.values(recording)?;
        let stream = format!("train/energy/{index}/batch");
        let batch = self.options.batch;
        let choice = self.data.choice(recording, self.options.draw)?;
        let candidates = 1 + self.options.negatives;
        let drawn = draw_batch::record(recording, data, choice, batch, candidates, &stream)?;
        let stream = format!("train/energy/{index}/negatives");
        let step = record_ranked_gradient(
            recording,
            self.options.objective,
            self.energy,
            self.negatives.proposal(),
            drawn,
            &stream,
            self.options.fusion,
        )?;
        let watched = WatchedLoss { losses: step.loss, metric: self.ring.slot(METRICS[0])? };
        let slot = self.ring.slot(METRICS[3])?;
        let (model, optimiser) = (self.energy.model(), self.energy_optimiser);
        let prepared = optimiser.record_watched_step(recording, model, step.gradient, slot, Some(watched))?;
        Ok((prepared, step.ess))
    }
}
