//! Adding up partial gradients (`shaders/nn/reduce_partials.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/reduce_partials.wgsl");

/// Records `gradient[p] = sum_s partials[s, p]`, `s` ascending.
///
/// * `partials`: `[splits, parameters]`, `parameters` a multiple of 4; returns `[parameters]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `parameters` is not a multiple of 4.
pub fn record(recording: &mut Recording, partials: Value) -> Result<Value> {
    let shape = recording.shape(partials)?.clone();
    let (splits, parameters) = (shape.rows(), shape.width());
    if parameters % 4 != 0 {
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("reduce partials", "partials", shape, "rows of whole vec4s", hint));
    }
    let out = recording.scratch("gradient", DType::F32, [parameters]);
    recording
        .dispatch(&KERNEL, "reduce partials")
        .bind("partials", partials)
        .bind("gradient", out)
        .set("splits", splits as u32)
        .set("count4", (parameters / 4) as u32)
        .invocations(parameters / 4)
        .finish()?;
    Ok(out)
}
