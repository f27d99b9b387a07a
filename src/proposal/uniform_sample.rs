//! Draws from a uniform box (`shaders/proposal/uniform_sample.wgsl`).

use super::traits::{Draws, check_draws};
use crate::Result;
use crate::gpu::{KernelSource, Recording, RunState, embedded_kernel};
use crate::math::Bounds;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/uniform_sample.wgsl");

/// Records `y_j = low_j + (high_j - low_j) u_j` for `count` draws per context. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if the candidates do not fit, [`crate::Error::Argument`] for no draws or
/// a stream in use.
pub fn record(recording: &mut Recording, bounds: &Bounds, draws: &Draws<'_>) -> Result<()> {
    let dims = bounds.dims();
    let (contexts, candidates) = check_draws(recording, "uniform sample", draws, dims)?;
    let stream = recording.stream(draws.stream)?;
    let borders = recording.constant("box", [2, dims], &bounds.flat())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "sample")
        .bind("box", borders)
        .bind("state", state)
        .bind("y", draws.candidates)
        .set("contexts", contexts as u32)
        .set("draws", draws.count as u32)
        .set("candidates", candidates as u32)
        .set("first", draws.first as u32)
        .set("dims", dims as u32)
        .set("stream", stream)
        .set("inner", draws.inner)
        .invocations(contexts * draws.count)
        .finish()
}
