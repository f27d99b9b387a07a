//! Draws from a mixture (`shaders/proposal/mixture_sample.wgsl`).

use super::mixture_shape::MixtureShape;
use super::traits::{Draws, check_draws};
use crate::Result;
use crate::gpu::{KernelSource, Recording, RunState, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/mixture_sample.wgsl");

/// Records `count` draws per context: a component by its weight, then a normal, back in data units.
/// Two streams: `<stream>/component` and `<stream>/normal`.
///
/// * `outputs`: `[contexts, shape.outputs()]`, plain or packed. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if the candidates or outputs do not fit, [`crate::Error::Argument`] for
/// no draws or a stream in use.
pub fn record(
    recording: &mut Recording,
    outputs: Value,
    shape: &MixtureShape,
    draws: &Draws<'_>,
) -> Result<()> {
    let dims = shape.dims();
    let (contexts, candidates) = check_draws(recording, "mixture sample", draws, dims)?;
    let outputs = recording.packed_input("mixture sample", outputs, contexts, shape.outputs())?;
    let stride = recording.shape(outputs)?.stride();
    let component_stream = recording.stream(&format!("{}/component", draws.stream))?;
    let normal_stream = recording.stream(&format!("{}/normal", draws.stream))?;
    let normalizer = recording.constant("normalizer", [2, dims], &shape.normalizer.flat())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "sample")
        .bind("mixture", outputs)
        .bind("normalizer", normalizer)
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
