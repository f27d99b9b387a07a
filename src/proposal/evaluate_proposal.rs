//! Densities of points given from the host, and draws brought to it.

use super::traits::{Draws, Proposal};
use crate::gpu::run::points::{Points, run_and_read};
use crate::gpu::{DType, Gpu, RunState, Tensor};
use crate::{Error, Result};

/// Evaluates `log q(y | x)` at points given from the host; one number per point, in the order of
/// `y`, in nats of data units. Uploads, compiles, runs and waits: for evaluations and tests, not
/// for loops.
///
/// # Errors
/// [`Error::Shape`] if the points do not fit, [`Error::Argument`] without contexts for a
/// conditional proposal.
pub fn evaluate_log_density(gpu: &Gpu, proposal: &dyn Proposal, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = gpu.record("gibbs/evaluate proposal");
    recording.provide_all(&proposal.bindings());
    let (context, y) = points.record(gpu, &mut recording)?;
    let context = match context {
        Some(context) => context,
        None if proposal.is_conditional() => {
            return Err(Error::argument("evaluate proposal", "the context", "is missing"));
        }
        None => recording.scratch("no context", DType::F32, [points.contexts, 0]),
    };
    let prepared = proposal.record_prepare(&mut recording, context)?;
    let value = proposal.record_log_density(&mut recording, &prepared, y)?;
    let [values] = run_and_read(gpu, &mut recording, [value])?;
    Ok(values)
}

/// Draws `count` points per context and brings them to the host: `[contexts, count, dims]`.
/// Uploads, compiles, runs and waits.
///
/// * `context`: `contexts` rows of equal width, none for a proposal that is not conditional; `run`:
///   its seed and step number the draws.
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
    if contexts == 0 || (context.is_empty() && proposal.is_conditional()) {
        return Err(Error::argument("draw", "the contexts", "are none; give at least one row"));
    }
    let mut recording = gpu.record("gibbs/draw");
    recording.provide_all(&run.bindings());
    recording.provide_all(&proposal.bindings());
    let shape = [contexts, context.len() / contexts];
    let context = match context.is_empty() {
        true => recording.scratch("no context", DType::F32, shape),
        false => recording.tensor(&Tensor::from_slice(gpu, "context", shape, context)?)?,
    };
    let candidates = recording.scratch("draws", DType::F32, [contexts, count, proposal.dims()]);
    let prepared = proposal.record_prepare(&mut recording, context)?;
    let draws = Draws { candidates, first: 0, count, stream: "draw", inner: 0 };
    proposal.record_sample(&mut recording, &prepared, &draws)?;
    let [candidates] = run_and_read(gpu, &mut recording, [candidates])?;
    Ok(candidates)
}
