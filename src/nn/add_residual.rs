//! The sum behind a residual block (`shaders/nn/add_residual.wgsl`).

use super::dense_input_gradient::Onward;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/add_residual.wgsl");

/// Records `x * slope + skip`.
///
/// * `x`, and slope and skip of `onward`: packed `[rows, width]`, 1 and 0 where absent; returns the same shape. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ or are not packed.
pub fn record(recording: &mut Recording, x: Value, onward: Onward) -> Result<Value> {
    let shape = recording.shape(x)?.clone();
    if !shape.is_packed() {
        return Err(Error::shape("residual sum", "x", shape, "packed rows", "pack the rows first"));
    }
    onward.check(recording, "residual sum", &shape)?;
    let out = recording.scratch("residual sum", DType::F32, shape.clone());
    recording
        .dispatch(&KERNEL, "residual sum")
        .defines(&onward.defines())
        .bind("x", x)
        .bind("slope", onward.slope.unwrap_or(x))
        .bind("skip", onward.skip.unwrap_or(x))
        .bind("out", out)
        .set("count4", (shape.len() / 4) as u32)
        .invocations(shape.len() / 4)
        .finish()?;
    Ok(out)
}
