//! Training a network over noised samples: what scores and intermediate energies share.

use super::Dataset;
use super::dataset::DataShape;
use super::draw_batch;
use super::objective::{Phase, StepParts};
use super::run::Run;
use crate::diffusion::NoiseSchedule;
use crate::diffusion::add_noise;
use crate::diffusion::add_noise::{DenoisingTarget, NoisedSamples, Samples, check_times};
use crate::gpu::{Column, Recording, StepReport, Value};
use crate::math::Normalize;
use crate::nn::{ACTION, CONTEXT, TIME};
use crate::nn::{AdamOptions, FlatGradient, Network, Normalizer, Schedule, WatchedLoss};
use crate::{Error, Result};

/// Metrics of a run, in the order of the ring's slots.
pub(super) const METRICS: [&str; 3] = ["loss", "gradient_norm", "ess"];

/// Most samples of a step: rows are counted in `u32` on the device, with room for the workgroups'
/// overhang.
const MAX_SAMPLES: usize = 1 << 24;

/// A cosine schedule and averaged weights.
pub(super) fn usual_optimizer() -> AdamOptions {
    let schedule = Schedule::Cosine { rate: 2e-3, warmup: 100, floor: 0.0 };
    AdamOptions { schedule, average_decay: 0.995, ..AdamOptions::default() }
}

/// How actions are normalized unless somebody says otherwise. Networks of equal training learn fine
/// modes better at 2 than at 1 (docs/results.md).
pub(super) fn usual_units() -> Normalize {
    Normalize::Standard { deviation: 2.0 }
}

/// How actions are normalized by options that do not know it: those of earlier versions.
pub(super) fn data_units() -> Normalize {
    Normalize::Identity
}

/// The units that noise is added in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units<'a> {
    pub action: Normalize,
    /// In place of a fitted one.
    pub given: Option<&'a Normalizer>,
}

impl Units<'_> {
    /// Checks them against the network and the data.
    pub fn check(&self, network: &Network, data: &Dataset) -> Result<()> {
        self.action.check()?;
        self.given.iter().try_for_each(|given| given.check("training", data.y_width()))?;
        let own = network.inputs.iter().find(|input| input.name == ACTION).map(|input| &input.normalizer);
        if own.is_some_and(|own| !own.is_identity()) && self.fit(data).is_some() {
            let problem = format!(
                "normalizes `{ACTION}` itself, and would be given normalized actions; leave it to the run, or set \
                 `with_action(Normalize::Identity)`"
            );
            return fail("the network", problem);
        }
        Ok(())
    }

    /// The normalizer; none where it changes nothing.
    pub fn fit(&self, data: &Dataset) -> Option<Normalizer> {
        let normalizer = self.given.cloned().unwrap_or_else(|| data.fit_y(self.action));
        Some(normalizer).filter(|normalizer| !normalizer.is_identity())
    }
}

/// The times to train on, ended by the schedule.
pub(super) fn ended(schedule: &NoiseSchedule, [first, last]: [f64; 2]) -> [f64; 2] {
    // Not `min`, which would make a number of none.
    [first, if last > schedule.end() { schedule.end() } else { last }]
}

/// How noise is added to the samples of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noising<'a> {
    pub schedule: &'a NoiseSchedule,
    /// First and last time.
    pub times: [f64; 2],
    /// Samples that share a time.
    pub group: usize,
}

/// How the samples of a step lie, once checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    support: usize,
    /// Numbers per sample, and in memory, where the energy may stand behind it.
    pub dims: usize,
    pub stride: usize,
    groups: usize,
    size: usize,
    /// Whether the network takes the context.
    pub conditional: bool,
}

fn fail<T>(what: &str, problem: String) -> Result<T> {
    Err(Error::argument("training", what, problem))
}

impl Layout {
    /// Checks a network of `outputs` outputs, or as many as a sample has numbers, against the data.
    pub fn new(
        network: &Network,
        outputs: Option<usize>,
        data: DataShape,
        batch: usize,
        noising: &Noising<'_>,
    ) -> Result<Self> {
        network.check()?;
        noising.schedule.check()?;
        check_times(noising.schedule, ended(noising.schedule, noising.times))?;
        let DataShape { x_width, y_width, support, .. } = data;
        let width = |name: &str| {
            network.inputs.iter().find(|input| input.name == name).map_or(0, |input| input.width)
        };
        let (dims, conditional) = (width(ACTION), width(CONTEXT) > 0);
        if dims == 0 || width(TIME) != 1 || network.inputs.len() != 2 + usize::from(conditional) {
            let names = format!("`{ACTION}`, `{TIME}` of width 1 and, if conditional, `{CONTEXT}`");
            return fail("the network", format!("needs the inputs {names}"));
        }
        if conditional && width(CONTEXT) != x_width {
            let problem = format!("takes contexts of {}, the data have {x_width}", width(CONTEXT));
            return fail("the network", problem);
        }
        if dims != y_width {
            let problem = format!("takes actions of {dims} numbers, the data have {y_width}");
            return fail("the network", problem);
        }
        let outputs = outputs.unwrap_or(dims);
        if network.outputs() != outputs {
            let problem = format!("has {} outputs, the objective needs {outputs}", network.outputs());
            return fail("the network", problem);
        }
        let size = noising.group;
        let samples = batch.checked_mul(support).filter(|samples| *samples <= MAX_SAMPLES);
        let Some(samples) =
            samples.filter(|samples| size > 0 && *samples > 0 && samples.is_multiple_of(size))
        else {
            let problem = format!(
                "is {batch} rows of {support} samples; all samples must be a multiple of the group, {size}, \
                 up to {MAX_SAMPLES}"
            );
            return fail("the batch", problem);
        };
        Ok(Self { support, dims, stride: data.stride(), groups: samples / size, size, conditional })
    }

    /// The layout of a recorded step, whose data are on the device.
    pub fn of_step(parts: &StepParts<'_>, outputs: Option<usize>, noising: &Noising<'_>) -> Result<Self> {
        let network = parts.trained(0)?.model.network();
        Self::new(network, outputs, parts.data.shape(), parts.run.batch, noising)
    }

    /// Samples of a step.
    pub fn samples(&self) -> usize {
        self.groups * self.size
    }

    /// Records drawing a batch and adding noise to it. Returns the batch's context, if the network
    /// takes one, its rows and the noised samples.
    pub fn record_noised(
        &self,
        recording: &mut Recording,
        parts: &StepParts<'_>,
        noising: &Noising<'_>,
        target: DenoisingTarget,
    ) -> Result<(Option<Value>, Value, NoisedSamples)> {
        let values = parts.data.values(recording)?;
        let choice = parts.data.choice(recording, parts.run.draw)?;
        let rows = self.samples() / self.support;
        let (x, y) = draw_batch::record(recording, values, choice, rows, 1, "train/diffusion/batch")?;
        let Self { groups, size, stride, dims, .. } = *self;
        let samples = Samples { rows: y, groups, size, stride, dims };
        let times = ended(noising.schedule, noising.times);
        let noised =
            add_noise::record(recording, &samples, noising.schedule, times, target, "train/diffusion")?;
        Ok((self.conditional.then_some(x), y, noised))
    }
}

/// Records the optimizer's step and the metrics.
pub(super) fn record_update(
    recording: &mut Recording,
    parts: &StepParts<'_>,
    (losses, ess): (Column, Option<Column>),
    gradient: FlatGradient,
) -> Result<()> {
    let trained = parts.trained(0)?;
    let watched = WatchedLoss { losses, metric: parts.ring.slot(METRICS[0])? };
    let norm = parts.ring.slot(METRICS[1])?;
    let prepared =
        trained.optimizer.record_watched_step(recording, &trained.model, gradient, norm, Some(watched))?;
    let report = StepReport { prepared, loss: Some(METRICS[0]), norm: METRICS[1] };
    parts.ring.record_finish(recording, &[report], ess.map(|ess| (METRICS[2], ess)))
}

/// What the sizes of such a run depend on, in words.
pub(super) fn sizes(network: &Network, run: Run, data: DataShape) -> String {
    let DataShape { rows, x_width, y_width, support, .. } = data;
    format!(
        "make some of these smaller: the batch ({} rows of {support} samples), the rows of the data ({rows}), the \
         columns of their actions ({y_width}) and contexts ({x_width}), the network's layers ({} parameters)",
        run.batch,
        network.parameter_count()
    )
}

/// The one phase of such a run.
pub(super) fn phase(run: Run, contrasts: bool) -> Phase {
    let measured = if contrasts { METRICS.len() } else { 2 };
    Phase { label: "gibbs/train/step", until: run.steps, metrics: METRICS[..measured].to_vec() }
}
