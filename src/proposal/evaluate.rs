//! Densities of points given from the host, and draws brought to it.

use super::{Draws, Proposal};
use crate::gpu::{DType, Gpu, Recording, RunState, Tensor};
use crate::nn::{Points, run_and_read};
use crate::{Error, Result};

/// Evaluates `log q(y | x)` at points given from the host; one number per point, in the order of `y`, in nats of data units.
/// Uploads, compiles, runs and waits: for evaluations and tests, not for loops.
///
/// # Errors
/// [`Error::Shape`] if the points do not fit, [`Error::Argument`] without contexts.
pub fn evaluate_log_density(gpu: &Gpu, proposal: &dyn Proposal, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = Recording::tuned("gibbs/evaluate proposal", gpu.target());
    let (context, y, bindings) = points.record(gpu, &mut recording)?;
    let Some(context) = context else {
        return Err(Error::argument("evaluate proposal", "the context", "is missing"));
    };
    let prepared = proposal.record_prepare(&mut recording, context)?;
    let value = proposal.record_log_density(&mut recording, &prepared, y)?;
    let bindings = bindings.merge(&proposal.bindings()).only(&recording);
    let [values] = run_and_read(gpu, &mut recording, [value], bindings)?;
    Ok(values)
}

/// Draws `count` points per context and brings them to the host: `[contexts, count, dims]`. Uploads, compiles, runs and waits.
///
/// * `context`: `contexts` rows of equal width; `run`: its seed and step number the draws.
///
/// # Errors
/// [`Error::Shape`] if the contexts do not fit, [`Error::Argument`] for no draws.
pub fn draw(
    gpu: &Gpu,
    proposal: &dyn Proposal,
    context: &[f32],
    contexts: usize,
    count: usize,
    run: &RunState,
) -> Result<Vec<f32>> {
    if contexts == 0 || context.is_empty() {
        return Err(Error::argument("draw", "the contexts", "are none; give at least one row"));
    }
    let mut recording = Recording::tuned("gibbs/draw", gpu.target());
    let shape = [contexts, context.len() / contexts];
    let tensor = Tensor::from_slice(gpu, "context", shape, context)?;
    let context = recording.slot("context", DType::F32, shape)?;
    let candidates = recording.scratch("draws", DType::F32, [contexts, count, proposal.dims()]);
    let prepared = proposal.record_prepare(&mut recording, context)?;
    let draws = Draws { candidates, first: 0, count, stream: "draw", inner: 0 };
    proposal.record_sample(&mut recording, &prepared, &draws)?;
    let bindings = run.bindings().with("context", &tensor).merge(&proposal.bindings());
    let bindings = bindings.only(&recording);
    let [candidates] = run_and_read(gpu, &mut recording, [candidates], bindings)?;
    Ok(candidates)
}
