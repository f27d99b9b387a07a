//! The sum behind a residual block (`shaders/nn/passes/add_residual.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::nn::dense::dense_input_gradient::Epilogue;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/add_residual.wgsl");

/// Records `x * slope + skip`.
///
/// * `x`, and slope and skip of `epilogue`: packed `[rows, width]`, 1 and 0 where absent; returns
///   the same shape. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ or are not packed.
pub fn record(recording: &mut Recording, x: Value, epilogue: Epilogue) -> Result<Value> {
    let shape = recording.shape(x)?.clone();
    if !shape.is_packed() {
        return Err(Error::shape("residual sum", "x", shape, "packed rows", "pack the rows first"));
    }
    epilogue.check(recording, "residual sum", &shape)?;
    let out = recording.scratch("residual sum", DType::F32, shape.clone());
    recording
        .dispatch(&KERNEL, "residual sum")
        .defines(&epilogue.defines())
        .bind("x", x)
        .bind("slope", epilogue.slope.unwrap_or(x))
        .bind("skip", epilogue.skip.unwrap_or(x))
        .bind("out", out)
        .set("count4", (shape.len() / 4) as u32)
        .invocations(shape.len() / 4)
        .finish()?;
    Ok(out)
}
