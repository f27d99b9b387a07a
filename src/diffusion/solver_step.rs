//! The update of a solver (`shaders/diffusion/solver_step.wgsl`).

use super::SolverStep;
use crate::gpu::run::random::{check_counter, check_elements};
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/solver_step.wgsl");

/// What an update works on.
#[derive(Clone, Copy, Debug)]
pub struct StepValues {
    /// The point that the update starts from, `[.., dims]`.
    pub base: Value,
    /// The point where the noise was evaluated, of the same shape.
    pub point: Value,
    /// The noise there: as many rows of `dims` numbers.
    pub noise: Value,
    /// The gradient of the energy that guides, as many rows of `dims` numbers.
    pub energy_gradient: Option<Value>,
    /// `[2, rows, dims]`: the last two model values, kept by the updates themselves.
    pub previous_outputs: Value,
    /// The next point, of the shape of the others; written.
    pub next: Value,
}

/// Records the update behind the evaluation number `index` (arXiv 2211.01095; guidance of arXiv
/// 2304.12824). One dispatch.
///
/// The knob multiplies the energy's gradient; it does nothing without one.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ, [`Error::Argument`] beyond 65536 evaluations.
pub fn record(
    recording: &mut Recording,
    step: &SolverStep,
    index: usize,
    values: &StepValues,
    guidance_scale: Knob,
    stream: u32,
) -> Result<()> {
    let shape = recording.shape(values.point)?.clone();
    let (rows, dims) = (shape.rows(), shape.width());
    for value in [values.base, values.next] {
        recording.expect_shape("solver step", value, shape.clone())?;
    }
    recording.expect_shape("solver step", values.previous_outputs, [2, rows, dims])?;
    let mut strides = Vec::new();
    for (name, value) in [("the noise", Some(values.noise)), ("the energy_gradient", values.energy_gradient)]
    {
        let Some(value) = value else {
            strides.push(0);
            continue;
        };
        let found = recording.shape(value)?;
        if found.rows() != rows || found.width() != dims {
            let expected = format!("{rows} rows of {dims}");
            return Err(Error::shape("solver step", name, found, expected, "one number per coordinate"));
        }
        strides.push(found.stride() as u32);
    }
    let blocks = rows.saturating_mul(dims.div_ceil(4));
    check_elements("solver step", blocks)?;
    let inner = u32::try_from(index).unwrap_or(u32::MAX);
    check_counter("solver step", stream, inner)?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "solver step")
        .define("GUIDED", u32::from(values.energy_gradient.is_some()))
        .define("FRESH", u32::from(step.fresh != 0.0))
        .bind("b", values.base)
        .bind("x", values.point)
        .bind("noise", values.noise)
        .bind("energy_gradient", values.energy_gradient.unwrap_or(values.noise))
        .bind("state", state)
        .bind("previous_outputs", values.previous_outputs)
        .bind("next", values.next)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("noise_stride", strides[0])
        .set("slope_stride", strides[1])
        .set("stream", stream)
        .set("inner", inner)
        .set("sigma", step.level.sigma() as f32)
        .set("point_factor", step.point as f32)
        .set("noise_factor", step.noise as f32)
        .set("start_factor", step.start as f32)
        .set("model_0", step.model[0] as f32)
        .set("model_1", step.model[1] as f32)
        .set("model_2", step.model[2] as f32)
        .set("fresh", step.fresh as f32)
        .knob("guidance_scale", guidance_scale)
        .invocations(blocks)
        .finish()
}
