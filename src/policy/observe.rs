//! Observations into the agents' histories (`shaders/policy/observe.wgsl`).

use super::agents::{AgentLayout, AgentValues};
use crate::Result;
use crate::gpu::{KernelSource, Knob, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("policy/observe.wgsl");

/// Records taking a tick's observations.
///
/// * `observation`: `[capacity, width]`; `reset`: `[capacity]` u32, not 0 where an agent begins
///   anew; `agents`: the knob of present agents. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    layout: &AgentLayout,
    values: &AgentValues,
    (observation, reset): (Value, Value),
    resting: &[f32],
    agents: Knob,
) -> Result<()> {
    recording.expect_shape("observe", observation, [layout.capacity, layout.observation.max(1)])?;
    recording.expect_shape("observe", reset, [layout.capacity])?;
    let resting = recording.constant("resting action", [layout.action], resting)?;
    recording
        .dispatch(&KERNEL, "observe")
        .bind("observation", observation)
        .bind("reset", reset)
        .bind("resting", resting)
        .bind("stage", values.stage)
        .bind("agents", values.agents)
        .bind("history", values.history)
        .bind("last", values.last)
        .set("capacity", layout.capacity as u32)
        .set("width", layout.observation.max(1) as u32)
        .set("history", layout.history as u32)
        .set("dims", layout.action as u32)
        .set("execute", layout.execute as u32)
        .knob("agents", agents)
        .workgroups_folded(layout.capacity)
        .finish()
}
