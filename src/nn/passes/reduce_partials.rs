//! Adding up partial gradients (`shaders/nn/passes/reduce_partials.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/reduce_partials.wgsl");

/// Where a parameter gradient goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GradientMode {
    /// Into a fresh value.
    #[default]
    Overwrite,
    /// Added to this flat gradient, which earlier dispatches wrote. Sums are taken in the order of
    /// recording, so that bits depend on nothing else.
    Accumulate(Value),
}

/// Records `gradient[p] = sum_s partials[s, p]`, `s` ascending, or adds that sum to a gradient.
///
/// * `partials`: `[splits, parameters]`, `parameters` a multiple of 4; returns `[parameters]`, the
///   value of [`GradientMode::Accumulate`] if there is one. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `parameters` is not a multiple of 4 or the gradient has another length;
/// [`Error::Argument`] if the gradient to add to holds nothing yet.
pub fn record(recording: &mut Recording, partials: Value, mode: GradientMode) -> Result<Value> {
    let shape = recording.shape(partials)?.clone();
    let (splits, parameters) = (shape.rows(), shape.width());
    if parameters % 4 != 0 {
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("reduce partials", "partials", shape, "rows of whole vec4s", hint));
    }
    let out = match mode {
        GradientMode::Overwrite => recording.scratch("gradient", DType::F32, [parameters]),
        GradientMode::Accumulate(gradient) => {
            recording.expect_shape("reduce partials", gradient, [parameters])?;
            if !recording.is_written(gradient) {
                let problem = "holds nothing yet; record the first gradient with `GradientMode::Overwrite`";
                return Err(Error::argument("reduce partials", "the gradient to add to", problem));
            }
            gradient
        }
    };
    recording
        .dispatch(&KERNEL, "reduce partials")
        .define("ACCUMULATE", u32::from(mode != GradientMode::Overwrite))
        .bind("partials", partials)
        .bind("gradient", out)
        .set("splits", splits as u32)
        .set("count4", (parameters / 4) as u32)
        .invocations(parameters / 4)
        .finish()?;
    Ok(out)
}
