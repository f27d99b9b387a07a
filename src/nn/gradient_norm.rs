//! Global norm, clip factor and schedule row of an optimiser step (`shaders/nn/gradient_norm.wgsl`).

use crate::gpu::{Column, DType, KernelSource, MetricsRing, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/gradient_norm.wgsl");

/// Most parameters: two passes of 1024 per round stay below the 65535 rounds after which lavapipe ends loops.
const MAX_PARAMETERS: usize = 30_000_000;

/// Rounds of its loops over parameters, below the same 65535.
const MAX_ROUNDS: usize = 60_000;

/// What one optimiser step needs to know, besides the gradient.
#[derive(Clone, Copy, Debug)]
pub struct GradientNorm {
    /// `[steps, 4]`: rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), decay of the average, for t = 1, 2, ..
    pub table: Value,
    /// `[1]`, steps taken so far; counted up here.
    pub count: Value,
    /// Largest allowed norm; 0 for no clipping.
    pub max_norm: f32,
    /// The metric that a non-finite gradient is reported as.
    pub metric: u32,
}

/// Numbers that call an optimiser step off when one of them is not finite.
#[derive(Clone, Copy, Debug)]
pub struct WatchedLoss {
    /// The losses.
    pub losses: Column,
    /// The metric that a non-finite one is reported as.
    pub metric: u32,
}

/// A gradient on its way to the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlatGradient {
    /// `[parameters]`.
    Whole(Value),
    /// `[splits, parameters]`: partial gradients, of which the sum is taken, the first split first.
    Partials(Value),
}

/// A prepared optimiser step.
#[derive(Clone, Copy, Debug)]
pub struct PreparedStep {
    /// `[parameters]`.
    pub gradient: Value,
    /// `[12]`: norm, clip, go, 0, then the table's row, then the mean of the watched losses (0 if one is bad), whether one is
    /// bad, 0, 0.
    pub prepared: Value,
}

/// Records the preparation of an optimiser step: `norm = sqrt(sum g^2)`, `clip = min(1, max_norm / norm)`, the count, the
/// table's row. While the latch is set, or when the gradient is not finite, the count stays and the step is called off.
///
/// * `gradient`: `[parameters]`, whole `vec4`s. Returns the `[12]` of [`PreparedStep::prepared`]. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the gradient is not whole `vec4`s, [`Error::Unsupported`] beyond 30 million parameters.
pub fn record(recording: &mut Recording, gradient: Value, options: &GradientNorm) -> Result<Value> {
    Ok(record_watching(recording, FlatGradient::Whole(gradient), options, None)?.prepared)
}

/// As [`record`], for a gradient that may still have to be added up, and with losses that must be finite. One dispatch of one
/// workgroup: partial gradients should be few, or of a small network.
///
/// # Errors
/// As [`record`]; [`Error::Argument`] if the losses lie outside their value.
pub fn record_watching(
    recording: &mut Recording,
    gradient: FlatGradient,
    options: &GradientNorm,
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
        return Err(Error::shape("gradient norm", "gradient", shape, "whole vec4s", hint));
    }
    let rounds = length / 1024 * (splits + 2);
    if length > MAX_PARAMETERS || rounds > MAX_ROUNDS {
        return Err(Error::Unsupported {
            operation: format!("gradient norm of {splits} times {length} parameters"),
            reason: format!(
                "one workgroup sums at most {MAX_PARAMETERS}; some drivers end longer loops silently"
            ),
            hint: "use narrower layers".into(),
        });
    }
    let (losses, metric) = match watched {
        Some(WatchedLoss { losses, metric }) => {
            losses.check(recording, "gradient norm")?;
            (losses, metric)
        }
        None => (Column { value: source, first: 0, stride: 1, count: 0 }, options.metric),
    };
    let table_rows = recording.shape(options.table)?.rows();
    let (written, settled, prepared4) = match gradient {
        FlatGradient::Whole(gradient) => {
            let prepared = recording.scratch("prepared", DType::F32, [12]);
            (prepared, PreparedStep { gradient, prepared }, 0)
        }
        FlatGradient::Partials(_) => {
            // Views begin at multiples of 64 elements.
            let first = length.next_multiple_of(64);
            let both = recording.scratch("gradient, prepared", DType::F32, [first + 12, 1]);
            (both, PreparedStep { gradient: both, prepared: both }, first / 4)
        }
    };
    let state = RunState::value(recording)?;
    let latch = MetricsRing::latch_value(recording)?;
    recording
        .dispatch(&KERNEL, "gradient norm")
        .define("REDUCE", u32::from(matches!(gradient, FlatGradient::Partials(_))))
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
        .set("prepared4", prepared4 as u32)
        .set("losses", losses.count as u32)
        .set("loss_first", losses.first as u32)
        .set("loss_stride", losses.stride as u32)
        .set("loss_slot", metric)
        .workgroups([1, 1, 1])
        .flops(2 * shape.len() as u64)
        .finish()?;
    if written == settled.gradient {
        let gradient = recording.rows(written, 0, length)?;
        let prepared = recording.rows(written, 4 * prepared4, 12)?;
        return Ok(PreparedStep { gradient, prepared });
    }
    Ok(settled)
}
