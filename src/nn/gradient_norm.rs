//! Global norm, clip factor and schedule row of an optimiser step (`shaders/nn/gradient_norm.wgsl`).

use crate::gpu::{DType, KernelSource, MetricsRing, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/gradient_norm.wgsl");

/// Most parameters: two passes of 1024 per round stay below the 65535 rounds after which lavapipe ends loops.
const MAX_PARAMETERS: usize = 30_000_000;

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

/// Records the preparation of an optimiser step: `norm = sqrt(sum g^2)`, `clip = min(1, max_norm / norm)`, the count, the
/// table's row. While the latch is set, or when the gradient is not finite, the count stays and the step is called off.
///
/// * `gradient`: `[parameters]`, whole `vec4`s. Returns `[8]`: norm, clip, go, 0, then the row. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the gradient is not whole `vec4`s, [`Error::Unsupported`] beyond 30 million parameters.
pub fn record(recording: &mut Recording, gradient: Value, options: &GradientNorm) -> Result<Value> {
    let shape = recording.shape(gradient)?.clone();
    if shape.len() % 4 != 0 {
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("gradient norm", "gradient", shape, "whole vec4s", hint));
    }
    if shape.len() > MAX_PARAMETERS {
        return Err(Error::Unsupported {
            operation: format!("gradient norm of {} parameters", shape.len()),
            reason: format!(
                "one workgroup sums at most {MAX_PARAMETERS}; some drivers end longer loops silently"
            ),
            hint: "use narrower layers".into(),
        });
    }
    let table_rows = recording.shape(options.table)?.rows();
    let prepared = recording.scratch("prepared", DType::F32, [8]);
    let state = RunState::value(recording)?;
    let latch = MetricsRing::latch_value(recording)?;
    recording
        .dispatch(&KERNEL, "gradient norm")
        .bind("gradient", gradient)
        .bind("table", options.table)
        .bind("state", state)
        .bind("latch", latch)
        .bind("count", options.count)
        .bind("prepared", prepared)
        .set("count4", (shape.len() / 4) as u32)
        .set("table_rows", table_rows as u32)
        .set("max_norm", options.max_norm)
        .set("slot", options.metric)
        .workgroups([1, 1, 1])
        .flops(2 * shape.len() as u64)
        .finish()?;
    Ok(prepared)
}
