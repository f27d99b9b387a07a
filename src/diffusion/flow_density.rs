//! Log-densities from the end of a probability flow (`shaders/diffusion/flow_density.wgsl`).

use super::flow_trace::check_loop;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/flow_density.wgsl");

/// Records `volume + constant - |x|^2 / 2` per row: `[rows, 1]`. One dispatch.
///
/// * `x`: rows of any stride; `volume`: `[rows, 1]`.
///
/// # Errors
/// [`crate::Error::Shape`] if the rows differ.
pub fn record(recording: &mut Recording, x: Value, volume: Value, constant: f64) -> Result<Value> {
    let shape = recording.shape(x)?.clone();
    let rows = shape.rows();
    check_loop("log-density", shape.width())?;
    recording.expect_shape("log-density: volume", volume, [rows, 1])?;
    let out = recording.scratch("log-density", DType::F32, [rows, 1]);
    recording
        .dispatch(&KERNEL, "log-density")
        .bind("x", x)
        .bind("volume", volume)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("dims", shape.width() as u32)
        .set("x_stride", shape.stride() as u32)
        .set("constant", constant as f32)
        .invocations(rows)
        .finish()?;
    Ok(out)
}
