//! Trajectories begun: momenta, the first half kick and drift (`shaders/sampler/launch.wgsl`).

use super::begin_chains::Memory;
use crate::Result;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/launch.wgsl");

/// What a step size is of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOf {
    /// The leapfrog step `eps`, in data units.
    Leapfrog,
    /// `eta = eps^2 / 2`, as in Langevin dynamics, in squared data units.
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
pub struct Launch {
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
pub struct Flight {
    /// Momenta, kicked to the middle of a leapfrog step.
    pub momentum: Value,
    /// Where the trajectories are.
    pub draft: Value,
}

/// Records the beginning of a trajectory of every chain: `h = p - eps/2 dE/dy`, `draft = y + eps h` with `p = sqrt(T) n`. One
/// dispatch.
///
/// * `y`: `[.., dims]`, read; `borders`: `[2, dims]`; knobs `step_scale`, `temperature`.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    launch: &Launch,
    [step_scale, temperature]: [Knob; 2],
    (y, borders): (Value, Value),
    memory: &Memory,
    flight: &Flight,
) -> Result<()> {
    let shape = recording.shape(y)?.clone();
    recording.expect_shape("launch", flight.draft, shape.clone())?;
    recording.expect_shape("launch", flight.momentum, shape.clone())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "launch")
        .defines(&launch.size_of.defines())
        .bind("box", borders)
        .bind("state", state)
        .bind("tuner", memory.tuner)
        .bind("y", y)
        .bind("cache", memory.cache)
        .bind("momentum", flight.momentum)
        .bind("draft", flight.draft)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .set("stream", launch.stream)
        .set("inner", launch.inner)
        .set("step", launch.size as f32)
        .set("temperature", launch.temperature as f32)
        .turn("step_scale", step_scale)
        .turn("temperature", temperature)
        .invocations(shape.rows())
        .finish()
}
