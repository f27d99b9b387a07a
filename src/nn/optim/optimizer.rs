//! Optimizers: Adam and AdamW with schedule, clipping and averaged weights, on flat buffers.

use serde::{Deserialize, Serialize};

use super::adam::{AdamBuffers, AdamConstants};
use super::prepare_step::{FlatGradient, PrepareStep, PreparedStep, ScheduleRow, WatchedLoss};
use super::{adam, prepare_step};
use crate::gpu::{Bindings, DType, Gpu, Recording, Tensor, Value};
use crate::nn::{Model, Schedule};
use crate::{Error, Result};

/// Options of Adam (`weight_decay = 0`) and AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AdamOptions {
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Steps of the run: the length of the schedule table.
    pub steps: u64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global norm of the gradient; 0 for no clipping.
    pub max_norm: f64,
    /// Decay of the averaged weights; early on `min(decay, (t - 1) / (t + 8))`, so that the start
    /// is forgotten.
    pub average_decay: f64,
}

crate::error::setters!(AdamOptions {
    with_schedule => schedule: Schedule,
    with_steps => steps: u64,
    with_beta1 => beta1: f64,
    with_beta2 => beta2: f64,
    with_epsilon => epsilon: f64,
    with_weight_decay => weight_decay: f64,
    with_max_norm => max_norm: f64,
    with_average_decay => average_decay: f64,
});

impl Default for AdamOptions {
    fn default() -> Self {
        Self {
            schedule: Schedule::Constant { rate: 1e-3 },
            steps: 1000,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_norm: 0.0,
            average_decay: 0.999,
        }
    }
}

/// Longest schedule table, in steps.
const MAX_STEPS: u64 = 4_000_000;

impl AdamOptions {
    /// Checks every option.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str, problem: &str| Err(Error::argument("optimizer", what, problem));
        if !self.schedule.is_valid() {
            return fail(
                "the schedule",
                "needs a finite rate >= 0, a floor or factor in [0, 1], and `every` of at least 1 step",
            );
        }
        if !(1..=MAX_STEPS).contains(&self.steps) {
            return fail("steps", "must be 1 to 4000000");
        }
        // The device computes in f32: what counts is the value after rounding.
        let decays = [("beta1", self.beta1), ("beta2", self.beta2), ("average_decay", self.average_decay)];
        for (name, decay) in decays {
            if !(0.0..1.0).contains(&(decay as f32)) {
                return fail(name, "must lie in [0, 1) as an f32");
            }
        }
        if !(1e-30..=1.0).contains(&(self.epsilon as f32)) {
            return fail("epsilon", "must lie in [1e-30, 1]: it keeps 0 / 0 out of the update");
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("max_norm", self.max_norm)] {
            if !((value as f32).is_finite() && value >= 0.0) {
                return fail(name, "must be a finite f32 and not negative");
            }
        }
        Ok(())
    }

    /// The table the device reads, for t = 1, 2, ..
    pub fn table(&self) -> Vec<ScheduleRow> {
        (1..=self.steps)
            .map(|t| {
                let power = t.min(1 << 30) as i32;
                let t_float = t as f64;
                ScheduleRow {
                    rate: self.schedule.rate(t, self.steps) as f32,
                    first_correction: (1.0 / (1.0 - self.beta1.powi(power))) as f32,
                    second_correction: (1.0 / (1.0 - self.beta2.powi(power))) as f32,
                    average_decay: self.average_decay.min((t_float - 1.0) / (t_float + 8.0)) as f32,
                }
            })
            .collect()
    }
}

/// The state of an optimizer on a device.
#[derive(Clone, Debug)]
pub struct Optimizer {
    name: String,
    options: AdamOptions,
    /// Running mean of the gradients, flat.
    pub first_moment: Tensor,
    /// Running mean of the squared gradients, flat.
    pub second_moment: Tensor,
    /// Averaged weights, flat; the weights to evaluate with.
    pub average: Tensor,
    /// Steps taken, one `u32`.
    pub count: Tensor,
    table: Tensor,
}

impl Optimizer {
    /// An optimizer for a model, at step 0. The average is the weights, now and after the first
    /// step.
    ///
    /// # Errors
    /// [`Error::Argument`] for bad options, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn new(gpu: &Gpu, model: &Model, options: AdamOptions) -> Result<Self> {
        options.check()?;
        let name = model.name().to_owned();
        let length = model.layout().len;
        let flat = |what: &str| Tensor::zeros(gpu, &format!("{name}/{what}"), DType::F32, [length]);
        let table = options.table();
        Ok(Self {
            first_moment: flat("first moment")?,
            second_moment: flat("second moment")?,
            average: {
                let weights: Vec<f32> = gpu.read(model.parameters())?;
                Tensor::from_slice(gpu, &format!("{name}/average"), [length], &weights)?
            },
            count: Tensor::zeros(gpu, &format!("{name}/count"), DType::U32, [1])?,
            table: {
                let numbers: &[f32] = bytemuck::cast_slice(&table);
                let shape = [table.len(), ScheduleRow::WORDS];
                Tensor::from_slice(gpu, &format!("{name}/schedule"), shape, numbers)?
            },
            name,
            options,
        })
    }

    /// The options.
    pub fn options(&self) -> &AdamOptions {
        &self.options
    }

    /// The bindings of its buffers.
    pub fn bindings(&self) -> Bindings {
        [&self.first_moment, &self.second_moment, &self.average, &self.count, &self.table]
            .into_iter()
            .fold(Bindings::new(), |all, tensor| all.with(tensor.label(), tensor))
    }

    /// Records one step on `model` with `gradient` (flat). `metric` is the metrics slot that a
    /// non-finite gradient is reported as. Returns an [`crate::nn::OptimizerStep`]. Two dispatches.
    ///
    /// # Errors
    /// [`Error::Shape`] if the gradient does not fit the model.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        model: &Model,
        gradient: Value,
        metric: u32,
    ) -> Result<Value> {
        self.record_watched_step(recording, model, FlatGradient::Whole(gradient), metric, None)
    }

    /// As [`Optimizer::record_step`], for a gradient that may still have to be added up; losses
    /// that are not finite call the step off, too.
    ///
    /// # Errors
    /// As [`Optimizer::record_step`]; [`Error::Argument`] if the losses lie outside their value.
    pub fn record_watched_step(
        &self,
        recording: &mut Recording,
        model: &Model,
        gradient: FlatGradient,
        metric: u32,
        watched: Option<WatchedLoss>,
    ) -> Result<Value> {
        let length = model.layout().len;
        match gradient {
            FlatGradient::Whole(gradient) => recording.expect_shape("optimizer", gradient, [length])?,
            FlatGradient::Partials(partials) => {
                let splits = recording.shape(partials)?.rows();
                recording.expect_shape("optimizer", partials, [splits, length])?;
            }
        }
        let mut slot =
            |tensor: &Tensor| recording.slot(tensor.label(), tensor.dtype(), tensor.shape().clone());
        let table = slot(&self.table)?;
        let count = slot(&self.count)?;
        let first_moment = slot(&self.first_moment)?;
        let second_moment = slot(&self.second_moment)?;
        let average = slot(&self.average)?;
        let parameters = model.value(recording)?;
        let max_norm = self.options.max_norm as f32;
        let norm = PrepareStep { table, count, max_norm, metric };
        let PreparedStep { gradient, prepared } =
            prepare_step::record_watching(recording, gradient, &norm, watched)?;
        let buffers = AdamBuffers { gradient, prepared, parameters, first_moment, second_moment, average };
        let constants = AdamConstants {
            beta1: self.options.beta1 as f32,
            beta2: self.options.beta2 as f32,
            epsilon: self.options.epsilon as f32,
            weight_decay: self.options.weight_decay as f32,
        };
        adam::record(recording, &buffers, constants)?;
        Ok(prepared)
    }

    /// Name of the model it belongs to.
    pub fn name(&self) -> &str {
        &self.name
    }
}
