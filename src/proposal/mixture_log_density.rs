//! Log-density of a mixture (`shaders/proposal/mixture_log_density.wgsl`).

use super::mixture_shape::MixtureShape;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/mixture_log_density.wgsl");

/// Records `log q(y | x)` of every candidate, in nats, with respect to data units.
///
/// * `outputs`: `[contexts, shape.outputs()]`, plain or packed; `y`:
///   `[contexts, candidates, dims]`.
/// * returns `[contexts, candidates]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `y` or `outputs` do not fit.
pub fn record(recording: &mut Recording, outputs: Value, shape: &MixtureShape, y: Value) -> Result<Value> {
    let found = recording.shape(y)?.clone();
    let [contexts, candidates, dims] = *found.dims() else {
        let hint = "give all candidates of each context";
        return Err(Error::shape("mixture log-density", "y", found, "[contexts, candidates, dims]", hint));
    };
    recording.expect_shape("mixture log-density", y, [contexts, candidates, shape.dims()])?;
    let outputs = recording.packed_input("mixture log-density", outputs, contexts, shape.outputs())?;
    let stride = recording.shape(outputs)?.stride();
    let log_q = recording.scratch("log_q", DType::F32, [contexts, candidates]);
    let normalizer = recording.constant("normalizer", [2, dims], &shape.normalizer.flat())?;
    recording
        .dispatch(&KERNEL, "log-density")
        .bind("mixture", outputs)
        .bind("normalizer", normalizer)
        .bind("y", y)
        .bind("log_q", log_q)
        .set("contexts", contexts as u32)
        .set("candidates", candidates as u32)
        .set("components", shape.components as u32)
        .set("dims", dims as u32)
        .set("stride", stride as u32)
        .set("low", shape.low)
        .set("high", shape.high)
        .set("log_volume", shape.normalizer.log_volume() as f32)
        .invocations(contexts * candidates)
        .finish()?;
    Ok(log_q)
}
