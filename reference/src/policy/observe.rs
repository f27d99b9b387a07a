//! Observations into histories (`shaders/policy/observe.wgsl`).

use super::Agent;

/// One agent's tick. `observation`: `[width]`; `resting`: `[dims]`; `execute`: actions of a chunk
/// that are executed.
pub fn observe(agent: &mut Agent, observation: &[f64], reset: bool, resting: &[f64], execute: u32) {
    if agent.stage == 0 || reset {
        agent.stage = 1;
        agent.position = execute;
        agent.last = resting.to_vec();
    }
    agent.observed = observation.iter().all(|value| value.is_finite());
    if !agent.observed {
        agent.bad_observations = agent.bad_observations.saturating_add(1);
        return;
    }
    let width = observation.len();
    if agent.stage == 1 {
        agent.history = observation.repeat(agent.history.len() / width);
    } else {
        agent.history.rotate_left(width);
        let newest = agent.history.len() - width;
        agent.history[newest..].copy_from_slice(observation);
    }
    agent.stage = 2;
}
