//! The training loop of every objective.

use std::time::Instant;

use super::dataset::DataDescription;
use super::objective::{Details, Learner, Phase, Planned, StepParts, Trained};
use super::progress::Progress;
use super::{Dataset, StepRecord, StopFlag, TrainOptions};
use crate::diffusion::{IntermediateEnergyNetwork, ScoreNetwork};
use crate::energy::NetworkEnergy;
use crate::error::counted;
use crate::gpu::{Bindings, Gpu, MetricsRing, MetricsRow, Plan, Recording, RunState, VariantChoices};
use crate::nn::{Model, Optimizer};
use crate::proposal::{Proposal, ProposalDescription};
use crate::store::Weights;
use crate::{Error, Result};

/// What watches a run. A closure that takes records is one: `trainer.train(100, 100, &mut |records:
/// &[StepRecord]| ..)`; so is `()`, which watches nothing.
pub trait Observer {
    /// Records that arrived, in order. Called between chunks; must not touch the device.
    fn records(&mut self, _records: &[StepRecord]) {}

    /// The run stands at a multiple of `every` steps, or at its end; everything submitted is done.
    ///
    /// # Errors
    /// Any error ends the run.
    fn evaluate(&mut self, _trainer: &mut Trainer) -> Result<()> {
        Ok(())
    }
}

impl Observer for () {}

impl<F: FnMut(&[StepRecord])> Observer for F {
    fn records(&mut self, records: &[StepRecord]) {
        self(records);
    }
}

/// Logs what is probably wrong with the data.
fn warn(data: &Dataset) {
    const MOST: usize = 8;
    let warnings = data.warnings();
    warnings.iter().take(MOST).for_each(|warning| log::warn!("{warning}"));
    if warnings.len() > MOST {
        log::warn!("{} more are in `Dataset::warnings`", counted(warnings.len() - MOST, "warning"));
    }
}

/// Trains what its options describe. A step draws its batch and all that is random in it on the
/// device; between evaluations the host only submits.
///
/// Accessors say which weights they return: *averaged* ones are what to evaluate and act with, and
/// before the first step that trains a model they are its initial ones; *raw* ones are as they
/// stand between two steps. Both share their memory with the run, so they go on changing as
/// training does; [`Trainer::save`] keeps a state.
#[derive(Debug)]
pub struct Trainer {
    pub(super) gpu: Gpu,
    pub(super) options: TrainOptions,
    pub(super) trained: Vec<Trained>,
    pub(super) details: Details,
    pub(super) data: DataDescription,
    pub(super) run: RunState,
    pub(super) progress: Progress,
    /// Phases with their plans; the last one ends with the run.
    phases: Vec<(Phase, Plan)>,
    description: String,
    stop: StopFlag,
}

impl Trainer {
    /// A run from fresh parameters. Logs the data's warnings ([`Dataset::warnings`]).
    ///
    /// # Errors
    /// [`Error::Argument`] for options that do not fit the data; [`Error::Limit`],
    /// [`Error::OutOfMemory`], [`Error::Device`].
    pub fn new(gpu: &Gpu, data: &Dataset, options: TrainOptions) -> Result<Self> {
        options.check(data)?;
        warn(data);
        let learner = options.objective.learner();
        let run = RunState::new(gpu, options.seed)?;
        let mut models = Vec::new();
        for Planned { name, network, optimizer } in learner.networks(options.run(), data)? {
            let model = Model::new(gpu, &name, network, &run);
            let sized = |error: Error| error.sized(|| learner.sizes(options.run(), data.shape()));
            models.push((model.map_err(sized)?, optimizer));
        }
        let details = learner.details(options.run(), data)?;
        Self::assemble(gpu, data, options, models, details, 0)
    }

    /// Records and compiles the plans round given models. What acting needs is checked as well, so
    /// that no run ends with networks that the device cannot use.
    pub(super) fn assemble(
        gpu: &Gpu,
        data: &Dataset,
        options: TrainOptions,
        models: Vec<(Model, crate::nn::AdamOptions)>,
        details: Details,
        step: u64,
    ) -> Result<Self> {
        let (objective, run) = (options.objective.clone(), options.run());
        Self::compile(gpu, data, options, models, details, step)
            .map_err(|error| error.sized(|| objective.learner().sizes(run, data.shape())))
    }

    fn compile(
        gpu: &Gpu,
        data: &Dataset,
        options: TrainOptions,
        models: Vec<(Model, crate::nn::AdamOptions)>,
        details: Details,
        step: u64,
    ) -> Result<Self> {
        let learner = options.objective.learner();
        let run = RunState::at(gpu, options.seed, step)?;
        let ring = MetricsRing::new(gpu, learner.metrics(), step)?;
        let device_data = data.upload(gpu, learner.action_units(&details)?.as_ref())?;
        let mut trained = Vec::new();
        for (model, optimizer) in models {
            trained.push(Trained { optimizer: Optimizer::new(gpu, &model, optimizer)?, model });
        }
        let bindings = trained
            .iter()
            .map(|trained| trained.model.bindings().merge(&trained.optimizer.bindings()))
            .chain([run.bindings(), ring.bindings(), device_data.bindings()])
            .fold(Bindings::new(), |all, bindings| all.merge(&bindings));
        let parts = StepParts {
            run: options.run(),
            ring: &ring,
            data: &device_data,
            trained: &trained,
            details: &details,
        };
        let mut phases = Vec::new();
        let mut description = String::new();
        for (index, phase) in learner.phases(options.run()).into_iter().enumerate() {
            let mut recording = Recording::tuned(phase.label, gpu.target());
            learner.record(index, &mut recording, &parts)?;
            // A recording binds only the slots it has; a run's tensors are more than one plan may
            // need.
            let plan = recording.compile(gpu, &bindings.only(&recording))?;
            description = recording.describe();
            phases.push((phase, plan));
        }
        // The table's variants: nothing is measured for what is not run.
        let mut acting = Recording::tuned("gibbs/policy", gpu.capabilities().target());
        learner.record_acting(&mut acting, &parts)?;
        acting.check_limits(gpu)?;
        Ok(Self {
            gpu: gpu.clone(),
            trained,
            details,
            data: data.description(),
            run,
            progress: Progress::new(ring, step),
            phases,
            description,
            options,
            stop: StopFlag::new(),
        })
    }

    /// The options.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Lets a flag stop the run: [`Trainer::train`] looks at it every few chunks, some tenths of a
    /// second.
    pub fn set_stop_flag(&mut self, flag: &StopFlag) {
        self.stop = flag.clone();
    }

    /// What its data are like: ranges, and the offsets that all numbers on the device are relative
    /// to.
    pub fn data(&self) -> &DataDescription {
        &self.data
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Steps submitted so far.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// The plan of one training step, behind any warm-up.
    pub fn plan(&self) -> &Plan {
        // Every objective has a phase.
        &self.phases[self.phases.len() - 1].1
    }

    /// The kernel variants of its plans, by shape class. Under [`crate::gpu::Tuning::Measure`] they
    /// were measured when the run was made.
    pub fn variants(&self) -> VariantChoices {
        let mut all = VariantChoices::default();
        for (class, names) in self.phases.iter().flat_map(|(_, plan)| plan.variants()) {
            all.entry(class.clone()).or_default().extend(names.iter().cloned());
        }
        all
    }

    /// A table of the dispatches of one training step, behind any warm-up.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The names of the models that are trained.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.trained.iter().map(|trained| trained.model.name())
    }

    /// A model with averaged weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if none is trained under that name.
    pub fn averaged_model(&self, name: &str) -> Result<Model> {
        self.model(name, Weights::Averaged)
    }

    /// A model with raw weights.
    ///
    /// # Errors
    /// As [`Trainer::averaged_model`].
    pub fn raw_model(&self, name: &str) -> Result<Model> {
        self.model(name, Weights::Raw)
    }

    /// The energy of ranking NCE with averaged weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if the run learns something else.
    pub fn averaged_energy(&self) -> Result<NetworkEnergy> {
        self.energy(Weights::Averaged)
    }

    /// The energy of ranking NCE with raw weights.
    ///
    /// # Errors
    /// As [`Trainer::averaged_energy`].
    pub fn raw_energy(&self) -> Result<NetworkEnergy> {
        self.energy(Weights::Raw)
    }

    /// The proposal of ranking NCE, with averaged weights if it is learned.
    ///
    /// # Errors
    /// As [`Trainer::averaged_energy`].
    pub fn averaged_proposal(&self) -> Result<Box<dyn Proposal>> {
        self.proposal(Weights::Averaged)
    }

    /// The proposal of ranking NCE, with raw weights if it is learned: what negatives are drawn
    /// from.
    ///
    /// # Errors
    /// As [`Trainer::averaged_energy`].
    pub fn raw_proposal(&self) -> Result<Box<dyn Proposal>> {
        self.proposal(Weights::Raw)
    }

    /// The score with averaged weights, bound to its schedule and in its units.
    ///
    /// # Errors
    /// [`Error::Argument`] if the run learns something else.
    pub fn averaged_score(&self) -> Result<ScoreNetwork> {
        self.score(Weights::Averaged)
    }

    /// The score with raw weights, bound to its schedule and in its units.
    ///
    /// # Errors
    /// As [`Trainer::averaged_score`].
    pub fn raw_score(&self) -> Result<ScoreNetwork> {
        self.score(Weights::Raw)
    }

    /// The intermediate energy with averaged weights, bound to its schedule and in its units.
    ///
    /// # Errors
    /// [`Error::Argument`] if the run learns something else.
    pub fn averaged_intermediate_energy(&self) -> Result<IntermediateEnergyNetwork> {
        self.intermediate_energy(Weights::Averaged)
    }

    /// The intermediate energy with raw weights, bound to its schedule and in its units.
    ///
    /// # Errors
    /// As [`Trainer::averaged_intermediate_energy`].
    pub fn raw_intermediate_energy(&self) -> Result<IntermediateEnergyNetwork> {
        self.intermediate_energy(Weights::Raw)
    }

    fn model(&self, name: &str, weights: Weights) -> Result<Model> {
        let Some(Trained { model, optimizer }) =
            self.trained.iter().find(|trained| trained.model.name() == name)
        else {
            let known: Vec<&str> = self.models().collect();
            let problem = format!("is not trained; those that are: {}", known.join(", "));
            return Err(Error::argument("training", format!("the model `{name}`"), problem));
        };
        match weights {
            Weights::Averaged => model.with_parameters(&optimizer.average),
            Weights::Raw => Ok(model.clone()),
        }
    }

    fn energy(&self, weights: Weights) -> Result<NetworkEnergy> {
        match self.options.objective.ranking_nce() {
            Some(_) => NetworkEnergy::new(self.model(super::ranking_nce::ENERGY, weights)?),
            None => Err(self.learns_no("an energy of samples without noise")),
        }
    }

    fn proposal(&self, weights: Weights) -> Result<Box<dyn Proposal>> {
        if self.options.objective.ranking_nce().is_none() {
            return Err(self.learns_no("a proposal"));
        }
        let super::ranking_nce::RankingNceDetails { proposal } =
            super::objective::from_details(&self.details)?;
        Ok(match proposal {
            ProposalDescription::Mixture { model, shape } => {
                Box::new(crate::proposal::Mixture::new(self.model(&model, weights)?, shape)?)
            }
            ProposalDescription::Uniform { bounds } => Box::new(bounds),
        })
    }

    fn score(&self, weights: Weights) -> Result<ScoreNetwork> {
        match self.options.objective.score() {
            Some(score) => {
                let model = self.model(&score.name, weights)?;
                let network = ScoreNetwork::predicting(model, score.prediction)?;
                network.with_schedule(score.schedule).with_normalizer(score.action_units(&self.details)?)
            }
            None => Err(self.learns_no("a score")),
        }
    }

    fn intermediate_energy(&self, weights: Weights) -> Result<IntermediateEnergyNetwork> {
        match self.options.objective.intermediate_energy() {
            Some(energy) => {
                let network = IntermediateEnergyNetwork::new(self.model(&energy.name, weights)?)?;
                network.with_schedule(energy.schedule).with_normalizer(energy.action_units(&self.details)?)
            }
            None => Err(self.learns_no("an intermediate energy")),
        }
    }

    fn learns_no(&self, asked: &str) -> Error {
        let problem =
            format!("is `{}`, which learns something else than {asked}", self.options.objective.kind());
        Error::argument("training", "the objective", problem)
    }

    /// Trains up to step `until` (at most the options' `steps`), calling the observer at every
    /// multiple of `every` and at the end. Between two evaluations nothing is read back with a wait
    /// and nothing is written from the host.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the first bad step; the weights are those of the last good updates
    /// ([`Trainer::save_last_good`]). [`Error::Stopped`] if the run's [`StopFlag`] is raised before
    /// its end: everything submitted is done, its records are handed on, and the run can be saved,
    /// or trained further once the flag is lowered, with the bits of one that did not stop.
    /// [`Error::DeviceLost`], [`Error::Timeout`]; those of the observer.
    pub fn train(&mut self, until: u64, every: u64, observer: &mut dyn Observer) -> Result<()> {
        self.train_until(until, every, observer).map_err(|error| error.at_step(self.step()))
    }

    fn train_until(&mut self, until: u64, every: u64, observer: &mut dyn Observer) -> Result<()> {
        let until = until.min(self.options.steps);
        let every = every.max(1);
        while self.step() < until {
            let stop = (self.step() / every + 1).saturating_mul(every).min(until);
            while self.step() < stop && !self.stop.is_raised() {
                let (phase, plan) = &self.phases[self.phase_of(self.step())];
                let rows = self.progress.submit(plan, stop.min(phase.until))?;
                self.hand_on(rows, observer);
            }
            let rows = self.progress.ring.collect(true)?;
            self.hand_on(rows, observer);
            self.progress.ring.check()?;
            if self.step() < stop {
                return Err(Error::Stopped { step: self.step() });
            }
            // The clock leaves evaluations out.
            let paused = Instant::now();
            observer.evaluate(self)?;
            self.progress.leave_out(paused);
        }
        Ok(())
    }

    /// The phase that a step belongs to.
    fn phase_of(&self, step: u64) -> usize {
        let found = self.phases.iter().position(|(phase, _)| step < phase.until);
        found.unwrap_or(self.phases.len() - 1)
    }

    fn hand_on(&self, rows: Vec<MetricsRow>, observer: &mut dyn Observer) {
        let names = self.options.objective.learner().metrics();
        let record = |row: MetricsRow| {
            let measured = &self.phases[self.phase_of(row.step)].0.metrics;
            let values = names.iter().zip(&row.values).filter(|(name, _)| measured.contains(*name));
            StepRecord {
                step: row.step,
                values: values.map(|(name, value)| ((*name).into(), *value)).collect(),
                steps_per_second: self.progress.steps_per_second(row.step),
            }
        };
        let records: Vec<StepRecord> = rows.into_iter().map(record).collect();
        if !records.is_empty() {
            observer.records(&records);
        }
    }
}
