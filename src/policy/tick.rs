//! A tick of a policy: observations into histories, predictions, actions.

use super::agents::{AgentLayout, AgentValues};
use super::options::PolicyDescription;
use super::parts::Parts;
use super::{choose_action, observe};
use crate::Result;
use crate::gpu::{Bindings, Gpu, Knob, Plan, Recording, Value};

/// A compiled tick.
#[derive(Debug)]
pub(super) struct Tick {
    pub plan: Plan,
    /// How many agents are present.
    pub agents: Knob,
}

impl Tick {
    /// Compiles a recorded tick; of the tensors it takes those that it has slots for.
    pub fn compile(gpu: &Gpu, recording: &Recording, bindings: &Bindings, agents: Knob) -> Result<Self> {
        Ok(Self { plan: recording.compile(gpu, &bindings.only(recording))?, agents })
    }
}

/// Where a tick's tensors are.
pub(super) struct Place {
    /// `[capacity, observation]`, for a policy that takes one.
    pub observation: Option<Value>,
    /// `[capacity]` u32.
    pub reset: Value,
    /// `[capacity, action]`, written.
    pub action: Value,
}

/// Records a tick; returns the knob of present agents.
pub(super) fn record(
    recording: &mut Recording,
    parts: &Parts,
    description: &PolicyDescription,
    layout: &AgentLayout,
    place: &Place,
    predicts: bool,
) -> Result<Knob> {
    let capacity = layout.capacity;
    let agents = recording.knob("agents", capacity as f32);
    let values = AgentValues::new(recording, layout)?;
    let observation = match place.observation {
        Some(observation) => observation,
        // What is not there is always finite.
        None => recording.constant("no observation", [capacity, 1], &vec![0.0f32; capacity])?,
    };
    observe::record(recording, layout, &values, (observation, place.reset), &description.resting, agents)?;
    let bounds = description.bounds.as_ref();
    let predictions = match predicts {
        false => None,
        true => {
            let context = (layout.observation > 0).then_some(values.history);
            let inference = &description.inference;
            let record =
                |recording: &mut Recording| parts.record(recording, inference, bounds, context, capacity);
            Some(recording.scoped("predict", record)?)
        }
    };
    choose_action::record(recording, layout, &values, predictions, place.action, bounds, agents)?;
    Ok(agents)
}
