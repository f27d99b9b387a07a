//! The training loop of scores and intermediate energies.

use serde::{Deserialize, Serialize};

use super::diffusion_options::Layout;
use super::progress::Progress;
use super::{Dataset, DiffusionObjective, DiffusionOptions, draw_batch};
use crate::Result;
use crate::diffusion::perturb::{self, Samples, Target};
use crate::diffusion::{GuidanceNetwork, ScoreNetwork, denoising_loss};
use crate::energy::{GuidanceGradient, TimedGroups, record_guidance_gradient};
use crate::gpu::{
    Column, Gpu, MetricsRing, MetricsRow, Plan, Recording, RunState, StepReport, VariantChoices,
};
use crate::nn::{FlatGradient, Model, Network, Optimiser, WatchedLoss};

/// Metrics of a run, in the order of the ring's slots.
const METRICS: [&str; 3] = ["loss", "gradient_norm", "ess"];

/// One line of the metrics stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffusionRecord {
    /// The step, counted from 0.
    pub step: u64,
    /// Mean loss of the batch, before the update.
    pub loss: f32,
    /// Norm of the gradient, before clipping.
    pub gradient_norm: f32,
    /// Mean effective sample size of the groups' labels, if they are contrasted.
    pub ess: Option<f32>,
    /// Steps per second since training began or went on, by the host's clock.
    pub steps_per_second: f64,
}

/// Trains one network over noised samples: a score, or an intermediate energy. A step draws its rows, its times and its noise on
/// the device; between two calls of [`DiffusionTrainer::train`] the host only submits.
#[derive(Debug)]
pub struct DiffusionTrainer {
    pub(super) gpu: Gpu,
    pub(super) options: DiffusionOptions,
    pub(super) model: Model,
    pub(super) optimiser: Optimiser,
    pub(super) progress: Progress,
    pub(super) run: RunState,
    pub(super) fingerprint: u64,
    plan: Plan,
    description: String,
    contrasts: bool,
}

impl DiffusionTrainer {
    /// A run from fresh parameters. `name` is the model's; networks that meet in one recording need names of their own.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for options that fit neither network nor data; [`crate::Error::Limit`],
    /// [`crate::Error::OutOfMemory`], [`crate::Error::Device`].
    pub fn new(
        gpu: &Gpu,
        name: &str,
        network: Network,
        data: &Dataset,
        options: DiffusionOptions,
    ) -> Result<Self> {
        options.check(&network, data)?;
        let run = RunState::new(gpu, options.seed)?;
        let model = Model::new(gpu, name, network, &run)?;
        Self::assemble(gpu, model, data, options, 0)
    }

    /// Records and compiles the plan round a given model.
    pub(super) fn assemble(
        gpu: &Gpu,
        model: Model,
        data: &Dataset,
        options: DiffusionOptions,
        step: u64,
    ) -> Result<Self> {
        let layout = options.layout(model.network(), data)?;
        let run = RunState::at(gpu, options.seed, step)?;
        let optimiser = Optimiser::new(gpu, &model, options.optimiser())?;
        let ring = MetricsRing::new(gpu, &METRICS, step)?;
        let device_data = data.upload(gpu)?;
        let mut recording = Recording::tuned("gibbs/diffusion/train", gpu.target());
        let values = device_data.values(&mut recording)?;
        let choice = device_data.choice(&mut recording, options.draw)?;
        let (x, y) =
            draw_batch::record(&mut recording, values, choice, layout.rows, 1, "train/diffusion/batch")?;
        let context = layout.conditional.then_some(x);
        let (losses, ess, gradient) = record_loss(&mut recording, &options, &layout, &model, (context, y))?;
        let watched = WatchedLoss { losses, metric: ring.slot(METRICS[0])? };
        let norm = ring.slot(METRICS[1])?;
        let prepared =
            optimiser.record_watched_step(&mut recording, &model, gradient, norm, Some(watched))?;
        let report = StepReport { prepared, loss: Some(METRICS[0]), norm: METRICS[1] };
        ring.record_finish(&mut recording, &[report], ess.map(|ess| (METRICS[2], ess)))?;
        let bindings = model
            .bindings()
            .merge(&optimiser.bindings())
            .merge(&run.bindings())
            .merge(&ring.bindings())
            .merge(&device_data.bindings());
        let plan = recording.compile(gpu, &bindings.only(&recording))?;
        Ok(Self {
            gpu: gpu.clone(),
            options,
            model,
            optimiser,
            progress: Progress::new(ring, step),
            run,
            fingerprint: data.fingerprint(),
            plan,
            description: recording.describe(),
            contrasts: ess.is_some(),
        })
    }

    /// The options.
    pub fn options(&self) -> &DiffusionOptions {
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

    /// The kernel variants of its plan, by shape class.
    pub fn variants(&self) -> VariantChoices {
        self.plan.variants().clone()
    }

    /// A table of the step's dispatches.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The network as it is being trained.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The network with averaged weights: what to sample with. It shares its memory with the run, so it goes on changing as
    /// training does; [`DiffusionTrainer::save`] keeps a state.
    ///
    /// # Errors
    /// None in practice; [`crate::Error::Shape`] if the average does not fit.
    pub fn averaged(&self) -> Result<Model> {
        self.model.with_parameters(&self.optimiser.average)
    }

    /// The averaged network as a score, bound to its schedule.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if it learns an energy.
    pub fn score(&self) -> Result<ScoreNetwork> {
        self.options.score(self.averaged()?)
    }

    /// The averaged network as an intermediate energy, bound to its schedule.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if it learns a score.
    pub fn energy(&self) -> Result<GuidanceNetwork> {
        self.options.energy(self.averaged()?)
    }

    /// Trains up to step `until` (at most the options' `steps`), handing on metrics as they arrive. Nothing is read back with a
    /// wait before the end, and nothing is written from the host.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] with the first bad step; the weights are those of the last good updates.
    /// [`crate::Error::DeviceLost`], [`crate::Error::Timeout`].
    pub fn train(&mut self, until: u64, observe: &mut dyn FnMut(&[DiffusionRecord])) -> Result<()> {
        self.train_until(until, observe).map_err(|error| error.at_step(self.step()))
    }

    fn train_until(&mut self, until: u64, observe: &mut dyn FnMut(&[DiffusionRecord])) -> Result<()> {
        let until = until.min(self.options.steps);
        while self.progress.step < until {
            let rows = self.progress.submit(&self.plan, until)?;
            self.hand_on(rows, observe);
        }
        let rows = self.progress.ring.collect(true)?;
        self.hand_on(rows, observe);
        self.progress.ring.check()
    }

    fn hand_on(&self, rows: Vec<MetricsRow>, observe: &mut dyn FnMut(&[DiffusionRecord])) {
        let record = |row: MetricsRow| DiffusionRecord {
            step: row.step,
            loss: row.values[0],
            gradient_norm: row.values[1],
            ess: self.contrasts.then_some(row.values[2]),
            steps_per_second: self.progress.steps_per_second(row.step),
        };
        let records: Vec<DiffusionRecord> = rows.into_iter().map(record).collect();
        if !records.is_empty() {
            observe(&records);
        }
    }
}

/// Records noise, loss and gradient of a batch; returns losses, effective sample sizes and the gradient.
fn record_loss(
    recording: &mut Recording,
    options: &DiffusionOptions,
    layout: &Layout,
    model: &Model,
    (context, y): (Option<crate::gpu::Value>, crate::gpu::Value),
) -> Result<(Column, Option<Column>, FlatGradient)> {
    let Layout { dims, stride, groups, size, .. } = *layout;
    let samples = Samples { rows: y, groups, size, stride, dims };
    let perturb = |recording: &mut Recording, target: Target| {
        perturb::record(recording, &samples, &options.schedule, options.times(), target, "train/diffusion")
    };
    let score = |recording: &mut Recording, target: Target| {
        let noised = perturb(recording, target)?;
        let (loss, gradient) = denoising_loss::record_gradient(recording, model, &noised, context)?;
        Ok((Column::all(recording, loss)?, None, gradient))
    };
    match options.objective {
        DiffusionObjective::Noise => score(recording, Target::Noise),
        DiffusionObjective::Sample => score(recording, Target::Sample),
        DiffusionObjective::Energy { objective, beta, .. } => {
            let noised = perturb(recording, Target::Nothing)?;
            let groups = TimedGroups::new(recording, noised.x, noised.time, context)?;
            let energies = Column { value: y, first: dims, stride, count: groups.rows() };
            let GuidanceGradient { loss, ess, gradient } =
                record_guidance_gradient(recording, objective, model, &groups, energies, beta)?;
            Ok((loss, ess, gradient))
        }
    }
}
