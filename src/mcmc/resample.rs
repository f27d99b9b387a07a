//! Samples drawn anew by their weights, with noise (`shaders/mcmc/resample.wgsl`).

use super::chain_inputs::check_dims;
use crate::gpu::run::random::check_elements;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};
use crate::math::Bounds;
use crate::math::clip_chains::record_box;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/resample.wgsl");

/// Numbers of one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Number of the random stream that picks samples.
    pub picks: u32,
    /// Number of the random stream of noise.
    pub stream: u32,
    /// The round.
    pub inner: u32,
    /// Standard deviation of the noise as a share of the box's half-width in each dimension.
    pub noise: f64,
}

/// Records drawing each sample of `out` with replacement among its context's samples in `y`, with
/// noise, clipped to the box. One dispatch.
///
/// * `cumulative`: `[contexts, samples]`; `y`, `out`: `[contexts, samples, dims]`.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    round: &Round,
    step_scale: Knob,
    bounds: &Bounds,
    cumulative: Value,
    (y, out): (Value, Value),
) -> Result<()> {
    let shape = recording.shape(y)?.clone();
    let [contexts, samples, dims] = *shape.dims() else {
        let hint = "all samples of each context";
        return Err(Error::shape("resample", "y", shape, "[contexts, samples, dims]", hint));
    };
    recording.expect_shape("resample", out, shape.clone())?;
    recording.expect_shape("resample", cumulative, [contexts, samples])?;
    check_dims("resample", dims)?;
    let rows = contexts * samples;
    check_elements("resample", rows.saturating_mul(dims.div_ceil(4)))?;
    let borders = record_box(recording, Some(bounds), dims)?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "resample")
        .bind("box", borders)
        .bind("state", state)
        .bind("cumulative", cumulative)
        .bind("y", y)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("samples", samples as u32)
        .set("dims", dims as u32)
        .set("halvings", usize::BITS - samples.saturating_sub(1).leading_zeros())
        .set("picks", round.picks)
        .set("stream", round.stream)
        .set("inner", round.inner)
        .set("noise", round.noise as f32)
        .knob("step_scale", step_scale)
        .invocations(rows)
        .finish()
}
