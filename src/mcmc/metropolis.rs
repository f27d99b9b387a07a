//! Trajectories ended: accepted or rejected (`shaders/mcmc/metropolis.wgsl`).

use super::begin_chains::{Memory, energy_stride};
use super::begin_leapfrog::LeapfrogTrajectory;
use crate::Result;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/metropolis.wgsl");

/// Whether an accepted trajectory adds to the chain's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// It does.
    Yes,
    /// It does not: warm-up.
    No,
}

/// Numbers of one decision.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// Number of the random stream of decisions.
    pub stream: u32,
    /// The chain's step.
    pub inner: u32,
    /// The temperature, before its knob.
    pub temperature: f64,
    /// Whether it is counted.
    pub count: Count,
}

/// Records the last half kick of every trajectory and the choice between its end and its start. One
/// dispatch.
///
/// * `energy`: one number per row, `gradient`: `[.., dims]`, both at the proposed; `y`:
///   `[.., dims]`, written where accepted.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    decision: &Decision,
    temperature: Knob,
    (energy, gradient): (Value, Value),
    (memory, trajectory): (&Memory, &LeapfrogTrajectory),
    y: Value,
) -> Result<()> {
    let shape = recording.shape(y)?.clone();
    let gradient = recording.plain_input("metropolis", gradient, shape.clone())?;
    let energy_stride = energy_stride(recording, energy, shape.rows())?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "metropolis")
        .bind("state", state)
        .bind("energy", energy)
        .bind("gradient", gradient)
        .bind("momentum", trajectory.momentum)
        .bind("proposed", trajectory.proposed)
        .bind("cache", memory.cache)
        .bind("y", y)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .set("energy_stride", energy_stride)
        .set("stream", decision.stream)
        .set("inner", decision.inner)
        .set("counted", u32::from(decision.count == Count::Yes))
        .set("temperature", decision.temperature as f32)
        .knob("temperature", temperature)
        .invocations(shape.rows())
        .finish()
}
