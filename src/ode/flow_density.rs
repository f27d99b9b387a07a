//! Log-densities from the end of a probability flow (`shaders/ode/flow_density.wgsl`).

use super::flow_divergence::check_loop;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("ode/flow_density.wgsl");

/// Records `log_det + constant - |x|^2 / 2` per row: `[rows, 1]`. One dispatch.
///
/// * `x`: rows of any stride; `log_det`: `[rows, 1]`.
///
/// # Errors
/// [`crate::Error::Shape`] if the rows differ.
pub fn record(recording: &mut Recording, x: Value, log_det: Value, constant: f64) -> Result<Value> {
    let shape = recording.shape(x)?.clone();
    let rows = shape.rows();
    check_loop("log-density", shape.width())?;
    recording.expect_shape("log-density: log_det", log_det, [rows, 1])?;
    let out = recording.scratch("log-density", DType::F32, [rows, 1]);
    recording
        .dispatch(&KERNEL, "log-density")
        .bind("x", x)
        .bind("log_det", log_det)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("dims", shape.width() as u32)
        .set("x_stride", shape.stride() as u32)
        .set("constant", constant as f32)
        .invocations(rows)
        .finish()?;
    Ok(out)
}
