//! The actions of the agents' chunks (`shaders/policy/choose_action.wgsl`).

use super::agents::{AgentLayout, AgentValues};
use crate::gpu::{KernelSource, KernelVariant, Knob, Recording, Value, embedded_kernel};
use crate::math::Bounds;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("policy/choose_action.wgsl");

/// The kernel in every variant that can be recorded.
pub(super) fn variants() -> impl Iterator<Item = KernelVariant> {
    (0..2).map(|predicted| KernelVariant::new(&KERNEL, &[("PREDICTED", predicted)]))
}

/// Numbers of each agent's prediction within a value: those of agent `i` begin at element `i *
/// stride`.
#[derive(Clone, Copy, Debug)]
pub struct Predictions {
    /// The value.
    pub value: Value,
    /// Elements from one agent's to the next one's.
    pub stride: usize,
    /// `[capacity]`, as floats: chains or samples that each was chosen from and that are not
    /// finite, where there was a choice.
    pub lost: Option<Value>,
}

/// Records choosing the agents' actions, from new predictions where there are any.
///
/// * `action`: `[capacity, dims]`, written; `bounds`: a box of a whole prediction. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    layout: &AgentLayout,
    values: &AgentValues,
    predictions: Option<Predictions>,
    action: Value,
    bounds: Option<&Bounds>,
    agents: Knob,
) -> Result<()> {
    let numbers = layout.prediction();
    recording.expect_shape("choose action", action, [layout.capacity, layout.action])?;
    let borders = match bounds {
        Some(bounds) => bounds.low().iter().chain(bounds.high()).copied().collect(),
        None => [vec![-f32::MAX; numbers], vec![f32::MAX; numbers]].concat(),
    };
    let borders = recording.constant("box", [2, numbers], &borders)?;
    let lost = match predictions {
        // Bound, but not read.
        None => borders,
        Some(Predictions { lost: Some(lost), .. }) => {
            recording.expect_shape("choose action", lost, [layout.capacity])?;
            lost
        }
        Some(_) => recording.constant("none lost", [layout.capacity], &vec![0.0f32; layout.capacity])?,
    };
    if let Some(Predictions { value, stride, .. }) = predictions {
        let found = recording.shape(value)?;
        let last = (layout.capacity - 1).saturating_mul(stride).saturating_add(numbers);
        if found.len() < last || found.len() > u32::MAX as usize {
            let expected = format!("at least {last} numbers");
            let hint = "predict for every agent";
            return Err(Error::shape("choose action", "the prediction", found, expected, hint));
        }
    }
    recording
        .dispatch(&KERNEL, "choose action")
        .define("PREDICTED", u32::from(predictions.is_some()))
        // Bound, but not read, where there is none.
        .bind("prediction", predictions.map_or(borders, |predictions| predictions.value))
        .bind("box", borders)
        .bind("agents", values.agents)
        .bind("chunk", values.chunk)
        .bind("last", values.last)
        .bind("action", action)
        .bind("lost", lost)
        .set("capacity", layout.capacity as u32)
        .set("predict", layout.predict as u32)
        .set("execute", layout.execute as u32)
        .set("dims", layout.action as u32)
        .set("stride", predictions.map_or(0, |predictions| predictions.stride) as u32)
        .knob("agents", agents)
        .workgroups_folded(layout.capacity)
        .finish()
}
