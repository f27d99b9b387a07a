//! Log-density of a uniform box (`shaders/proposal/uniform_log_density.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::math::Bounds;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/uniform_log_density.wgsl");

/// Records `log q(y) = -sum_j ln(high_j - low_j)` inside the box, [`super::OUTSIDE_LOG_DENSITY`]
/// outside.
///
/// * `y`: `[contexts, candidates, dims]`; returns `[contexts, candidates]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `y` does not fit.
pub fn record(recording: &mut Recording, bounds: &Bounds, y: Value) -> Result<Value> {
    let dims = bounds.dims();
    let found = recording.shape(y)?.clone();
    let [contexts, candidates, _] = *found.dims() else {
        let hint = "give all candidates of each context";
        return Err(Error::shape("uniform log-density", "y", found, "[contexts, candidates, dims]", hint));
    };
    recording.expect_shape("uniform log-density", y, [contexts, candidates, dims])?;
    let log_q = recording.scratch("log_q", DType::F32, [contexts, candidates]);
    let borders = recording.constant("box", [2, dims], &bounds.flat())?;
    recording
        .dispatch(&KERNEL, "log-density")
        .bind("box", borders)
        .bind("y", y)
        .bind("log_q", log_q)
        .set("rows", (contexts * candidates) as u32)
        .set("dims", dims as u32)
        .set("log_density", -bounds.log_volume() as f32)
        .invocations(contexts * candidates)
        .finish()?;
    Ok(log_q)
}
