//! Stages of the probability flow (`shaders/ode/flow_stage.wgsl`).

use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("ode/flow_stage.wgsl");

/// Where in its step a stage stands; a step has two at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It begins the step's sum of slopes.
    First = 0,
    /// Neither first nor last.
    Between = 1,
    /// It ends the step.
    Last = 2,
}

/// A stage, behind its evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Where it stands.
    pub place: Place,
    /// Length of the step in `rho`, times the stage's weight.
    pub weight: f64,
    /// Length of the step times the share of it at which the next stage of the step is evaluated;
    /// unused at the last.
    pub ahead: f64,
    /// `alpha` where the next evaluation happens.
    pub alpha: f64,
}

/// The tensors of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// `x / alpha` at the step's begin: any rows of the flow's dimensions, written by the last
    /// stage.
    pub y: Value,
    /// `[contexts, samples, dims]`, the step's sum of slopes.
    pub total: Value,
    /// `[contexts, samples, dims]`, where the score is evaluated, written.
    pub x: Value,
}

/// Records a stage whose slope is known. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ.
pub fn record(recording: &mut Recording, flow: &Flow, slope: Value, stage: &Stage) -> Result<()> {
    let x = recording.shape(flow.x)?.clone();
    let (rows, dims) = (x.rows(), x.width());
    recording.expect_shape("probability flow: total", flow.total, x.clone())?;
    let mut strides = [0, 0];
    for (stride, (name, value)) in strides.iter_mut().zip([("slope", slope), ("y", flow.y)]) {
        let shape = recording.shape(value)?;
        if (shape.rows(), shape.width()) != (rows, dims) || x.is_padded() {
            let expected = format!("{rows} rows of {dims} numbers, x without padding");
            return Err(Error::shape("probability flow", name, shape, expected, "flow in rows of one kind"));
        }
        *stride = shape.stride();
    }
    recording
        .dispatch(&KERNEL, "probability flow")
        .bind("slope", slope)
        .bind("y", flow.y)
        .bind("total", flow.total)
        .bind("x", flow.x)
        .set("count", (rows * dims) as u32)
        .set("dims", dims as u32)
        .set("slope_stride", strides[0] as u32)
        .set("y_stride", strides[1] as u32)
        .set("place", stage.place as u32)
        .set("weight", stage.weight as f32)
        .set("ahead", stage.ahead as f32)
        .set("alpha", stage.alpha as f32)
        .invocations(rows * dims)
        .finish()
}
