//! Global norm, clip factor and schedule row of an optimizer step
//! (`shaders/nn/optim/prepare_step.wgsl`).

use crate::gpu::{
    Column, DType, KernelSource, MetricsRing, Recording, RunState, SharedConstant, StructLayout, Value,
    embedded_kernel, shared_constant, shared_struct,
};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/optim/prepare_step.wgsl");

/// Most parameters: two passes of 1024 per round stay below the 65535 rounds after which lavapipe
/// ends loops.
const MAX_PARAMETERS: usize = 30_000_000;

/// Rounds of its loops over parameters, below the same 65535.
const MAX_ROUNDS: usize = 60_000;

shared_struct! {
    /// The schedule of step `t`, for `t = 1, 2, ..`.
    pub struct ScheduleRow in "lib/optimizer_step.wgsl" {
        /// Learning rate.
        rate: f32,
        /// `1 / (1 - beta1^t)`.
        first_correction: f32,
        /// `1 / (1 - beta2^t)`.
        second_correction: f32,
        /// Decay of the averaged weights.
        average_decay: f32,
    }
}

shared_struct! {
    /// An optimizer step on its way from the gradient's norm to Adam and the metrics.
    pub struct OptimizerStep in "lib/optimizer_step.wgsl" {
        /// Norm of the gradient before clipping.
        norm: f32,
        /// Factor on the gradient.
        clip: f32,
        /// 1, or 0 where the step is called off.
        go: f32,
        /// Where the schedule stands.
        schedule: ScheduleRow,
        /// Mean of the watched losses; 0 if one is bad.
        mean_loss: f32,
        /// 1 if one of them is bad.
        bad_loss: f32,
    }
}

/// Where the gradient that is added up begins behind its [`OptimizerStep`], in elements.
const GRADIENT_AT: usize = 64;

pub(in crate::nn) fn shared_structs() -> Vec<StructLayout> {
    vec![ScheduleRow::layout(), OptimizerStep::layout()]
}

pub(in crate::nn) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("nn/optim/prepare_step.wgsl", "GRADIENT_BYTES", 4.0 * GRADIENT_AT as f64)]
}

/// What one optimizer step needs to know, besides the gradient.
#[derive(Clone, Copy, Debug)]
pub struct PrepareStep {
    /// `[steps]` of [`ScheduleRow`], `[steps, 4]`.
    pub table: Value,
    /// `[1]`, steps taken so far; counted up here.
    pub count: Value,
    /// Largest allowed norm; 0 for no clipping.
    pub max_norm: f32,
    /// The metric that a non-finite gradient is reported as.
    pub metric: u32,
}

/// Numbers that call an optimizer step off when one of them is not finite.
#[derive(Clone, Copy, Debug)]
pub struct WatchedLoss {
    /// The losses.
    pub losses: Column,
    /// The metric that a non-finite one is reported as.
    pub metric: u32,
}

/// A gradient on its way to the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlatGradient {
    /// `[parameters]`.
    Whole(Value),
    /// `[splits, parameters]`: partial gradients, of which the sum is taken, the first split first.
    Partials(Value),
}

/// A prepared optimizer step.
#[derive(Clone, Copy, Debug)]
pub struct PreparedStep {
    /// `[parameters]`.
    pub gradient: Value,
    /// An [`OptimizerStep`] at the beginning.
    pub prepared: Value,
}

/// Records the preparation of an optimizer step: `norm = sqrt(sum g^2)`,
/// `clip = min(1, max_norm / norm)`, the count, the table's row. While the latch is set, or when
/// the gradient is not finite, the count stays and the step is called off.
///
/// * `gradient`: `[parameters]`, whole `vec4`s. Returns [`PreparedStep::prepared`]. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the gradient is not whole `vec4`s, [`Error::Limit`] beyond 30 million
/// parameters.
pub fn record(recording: &mut Recording, gradient: Value, options: &PrepareStep) -> Result<Value> {
    Ok(record_watching(recording, FlatGradient::Whole(gradient), options, None)?.prepared)
}

/// As [`record`], for a gradient that may still have to be added up, and with losses that must be
/// finite. One dispatch of one workgroup: partial gradients should be few, or of a small network.
///
/// # Errors
/// As [`record`]; [`Error::Argument`] if the losses lie outside their value.
pub fn record_watching(
    recording: &mut Recording,
    gradient: FlatGradient,
    options: &PrepareStep,
    watched: Option<WatchedLoss>,
) -> Result<PreparedStep> {
    let (source, splits) = match gradient {
        FlatGradient::Whole(gradient) => (gradient, 1),
        FlatGradient::Partials(partials) => (partials, recording.shape(partials)?.rows()),
    };
    let shape = recording.shape(source)?.clone();
    let length = shape.len() / splits.max(1);
    if length % 4 != 0 || length == 0 {
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("prepare step", "gradient", shape, "whole vec4s", hint));
    }
    let rounds = length / 1024 * (splits + 2);
    if length > MAX_PARAMETERS || rounds > MAX_ROUNDS {
        return Err(Error::Limit {
            operation: format!("{}/prepare step, in one workgroup", recording.label()),
            what: format!("the parameters that are added up {splits} times"),
            asked: length as u64,
            granted: MAX_PARAMETERS.min(MAX_ROUNDS / (splits + 2) * 1024) as u64,
            adapter: "any adapter".into(),
            hint: "use narrower layers".into(),
        });
    }
    let (losses, metric) = match watched {
        Some(WatchedLoss { losses, metric }) => {
            losses.check(recording, "prepare step")?;
            (losses, metric)
        }
        None => (Column { value: source, first: 0, stride: 1, count: 0 }, options.metric),
    };
    let table_rows = recording.shape(options.table)?.rows();
    let reduce = matches!(gradient, FlatGradient::Partials(_));
    // One vec4 where the gradient is not wanted: the kernel's array needs an element.
    let behind = if reduce { length } else { 4 };
    let written = recording.scratch("prepared, gradient", DType::F32, [GRADIENT_AT + behind, 1]);
    let state = RunState::value(recording)?;
    let latch = MetricsRing::latch_value(recording)?;
    recording
        .dispatch(&KERNEL, "prepare step")
        .define("REDUCE", u32::from(reduce))
        .bind("gradients", source)
        .bind("losses", losses.value)
        .bind("table", options.table)
        .bind("state", state)
        .bind("latch", latch)
        .bind("count", options.count)
        .bind("prepared", written)
        .set("count4", (length / 4) as u32)
        .set("table_rows", table_rows as u32)
        .set("max_norm", options.max_norm)
        .set("slot", options.metric)
        .set("splits", splits as u32)
        .set("losses", losses.count as u32)
        .set("loss_first", losses.first as u32)
        .set("loss_stride", losses.stride as u32)
        .set("loss_slot", metric)
        .workgroups([1, 1, 1])
        .flops(2 * shape.len() as u64)
        .finish()?;
    match gradient {
        FlatGradient::Whole(gradient) => Ok(PreparedStep { gradient, prepared: written }),
        FlatGradient::Partials(_) => {
            let prepared = recording.rows(written, 0, OptimizerStep::WORDS)?;
            Ok(PreparedStep { gradient: recording.rows(written, GRADIENT_AT, length)?, prepared })
        }
    }
}
