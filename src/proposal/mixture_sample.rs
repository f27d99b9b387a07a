//! Draws from a mixture (`shaders/proposal/mixture_sample.wgsl`).

use super::{Draws, MixtureShape};
use crate::gpu::random::check_elements;
use crate::gpu::{KernelSource, Recording, RunState, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/mixture_sample.wgsl");

/// Checks where draws go and returns (contexts, candidates).
pub(super) fn check_draws(
    recording: &Recording,
    operation: &str,
    draws: &Draws<'_>,
    dims: usize,
) -> Result<(usize, usize)> {
    let shape = recording.shape(draws.candidates)?;
    let end = draws.first.saturating_add(draws.count);
    let fits = matches!(shape.dims(), [_, candidates, d] if *d == dims && *candidates >= end);
    if !fits || shape.is_packed() {
        let expected = format!("[contexts, at least {end}, {dims}]");
        return Err(Error::shape(operation, "candidates", shape, expected, "make room for every draw"));
    }
    let (contexts, candidates) = (shape.dims()[0], shape.dims()[1]);
    if draws.count == 0 {
        return Err(Error::argument(operation, "draws per context", "is 0; draw at least one"));
    }
    check_elements(operation, contexts.saturating_mul(draws.count).saturating_mul(dims.div_ceil(4)))?;
    Ok((contexts, candidates))
}

/// Records `count` draws per context: a component by its weight, then a normal, back in data units. Two streams:
/// `<stream>/component` and `<stream>/normal`.
///
/// * `outputs`: packed `[contexts, shape.outputs()]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the candidates or outputs do not fit, [`Error::Argument`] for no draws or a stream in use.
pub fn record(
    recording: &mut Recording,
    outputs: Value,
    shape: &MixtureShape,
    draws: &Draws<'_>,
) -> Result<()> {
    let dims = shape.dims();
    let (contexts, candidates) = check_draws(recording, "mixture sample", draws, dims)?;
    recording.expect_shape("mixture sample", outputs, Shape::packed(contexts, shape.outputs()))?;
    let stride = recording.shape(outputs)?.stride();
    let component_stream = recording.stream(&format!("{}/component", draws.stream))?;
    let normal_stream = recording.stream(&format!("{}/normal", draws.stream))?;
    let affine = recording.constant("affine", [2, dims], &shape.affine.flat())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "sample")
        .bind("mixture", outputs)
        .bind("affine", affine)
        .bind("state", state)
        .bind("y", draws.candidates)
        .set("contexts", contexts as u32)
        .set("draws", draws.count as u32)
        .set("candidates", candidates as u32)
        .set("first", draws.first as u32)
        .set("components", shape.components as u32)
        .set("dims", dims as u32)
        .set("stride", stride as u32)
        .set("low", shape.low)
        .set("high", shape.high)
        .set("component_stream", component_stream)
        .set("normal_stream", normal_stream)
        .set("inner", draws.inner)
        .invocations(contexts * draws.count)
        .finish()
}
