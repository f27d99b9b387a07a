//! Draws and densities of a uniform box in one dispatch (`shaders/proposal/uniform_propose.wgsl`).

use super::traits::{Draws, check_draws};
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, RunState, Value, embedded_kernel};
use crate::math::Bounds;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/uniform_propose.wgsl");

/// Records draws and the log-densities of all candidates, `[contexts, candidates]`: the same
/// numbers as those of [`super::uniform_sample`] and [`super::uniform_log_density`]. The candidates
/// outside the draws are read. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if the candidates do not fit, [`crate::Error::Argument`] for no draws or
/// a stream in use.
pub fn record(recording: &mut Recording, bounds: &Bounds, draws: &Draws<'_>) -> Result<Value> {
    let dims = bounds.dims();
    let (contexts, candidates) = check_draws(recording, "uniform proposal", draws, dims)?;
    let stream = recording.stream(draws.stream)?;
    let borders = recording.constant("box", [2, dims], &bounds.flat())?;
    let state = RunState::value(recording)?;
    let log_q = recording.scratch("log_q", DType::F32, [contexts, candidates]);
    recording
        .dispatch(&KERNEL, "propose")
        .bind("box", borders)
        .bind("state", state)
        .bind("y", draws.candidates)
        .bind("log_q", log_q)
        .set("contexts", contexts as u32)
        .set("candidates", candidates as u32)
        .set("first", draws.first as u32)
        .set("draws", draws.count as u32)
        .set("dims", dims as u32)
        .set("log_density", -bounds.log_volume() as f32)
        .set("stream", stream)
        .set("inner", draws.inner)
        .invocations(contexts * candidates)
        .finish()?;
    Ok(log_q)
}
