//! Trajectories begun: momenta, the first half kick and drift (`shaders/mcmc/begin_leapfrog.wgsl`).

use super::begin_chains::Memory;
use crate::Result;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/begin_leapfrog.wgsl");

/// What a step size is of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOf {
    /// The leapfrog step `eps`, in scales.
    Leapfrog,
    /// `eta = eps^2 / 2`, as in Langevin dynamics, in squared scales.
    Langevin,
}

impl SizeOf {
    /// The kernel's defines.
    pub(super) fn defines(self) -> [(&'static str, u32); 1] {
        [("SQUARED", u32::from(self == SizeOf::Langevin))]
    }
}

/// Numbers of one trajectory.
#[derive(Clone, Copy, Debug)]
pub struct BeginLeapfrog {
    /// Number of the random stream of momenta.
    pub stream: u32,
    /// The chain's step.
    pub inner: u32,
    /// The step size, before its factors.
    pub size: f64,
    /// What it is the size of.
    pub size_of: SizeOf,
    /// The temperature, before its knob.
    pub temperature: f64,
}

/// Tensors of trajectories under way, both `[.., dims]` like the chains.
#[derive(Clone, Copy, Debug)]
pub struct LeapfrogTrajectory {
    /// Momenta, kicked to the middle of a leapfrog step, in units of 1 / scale.
    pub momentum: Value,
    /// Where the trajectories are.
    pub proposed: Value,
}

/// Records the beginning of a trajectory of every chain: `h = p - eps/2 s dE/dy`,
/// `proposed = y + eps s h` with `p = sqrt(T) n` and `s` the scales in the memory. One dispatch.
///
/// * `y`: `[.., dims]`, read; `borders`: `[2, dims]`; knobs `step_scale`, `temperature`.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    begin_leapfrog: &BeginLeapfrog,
    [step_scale, temperature]: [Knob; 2],
    (y, borders): (Value, Value),
    memory: &Memory,
    trajectory: &LeapfrogTrajectory,
) -> Result<()> {
    let shape = recording.shape(y)?.clone();
    recording.expect_shape("begin leapfrog", trajectory.proposed, shape.clone())?;
    recording.expect_shape("begin leapfrog", trajectory.momentum, shape.clone())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "begin leapfrog")
        .defines(&begin_leapfrog.size_of.defines())
        .bind("box", borders)
        .bind("state", state)
        .bind("step_adaptation", memory.step_adaptation)
        .bind("y", y)
        .bind("cache", memory.cache)
        .bind("momentum", trajectory.momentum)
        .bind("proposed", trajectory.proposed)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .set("stream", begin_leapfrog.stream)
        .set("inner", begin_leapfrog.inner)
        .set("step", begin_leapfrog.size as f32)
        .set("temperature", begin_leapfrog.temperature as f32)
        .knob("step_scale", step_scale)
        .knob("temperature", temperature)
        .invocations(shape.rows())
        .finish()
}
