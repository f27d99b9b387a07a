//! Actions from chunks (`shaders/policy/choose_action.wgsl`).

use super::Agent;

/// The action of one agent, `[dims]`. `prediction`: `[predict, dims]`, if there is one this tick,
/// and how many of what it was chosen from were lost; `low`, `high`: `[predict, dims]`.
pub fn choose_action(
    agent: &mut Agent,
    prediction: Option<(&[f64], u32)>,
    (low, high): (&[f64], &[f64]),
    execute: u32,
) -> Vec<f64> {
    let dims = agent.last.len();
    if agent.position < execute {
        let first = agent.position as usize * dims;
        agent.last = agent.chunk[first..first + dims].to_vec();
        agent.position += 1;
        return agent.last.clone();
    }
    let Some((prediction, lost)) = prediction else { return agent.last.clone() };
    let finite = prediction.iter().all(|value| value.is_finite());
    agent.chunk = if agent.observed && finite {
        prediction
            .iter()
            .zip(low.iter().zip(high))
            .map(|(value, (low, high))| value.clamp(*low, *high))
            .collect()
    } else {
        agent.last.repeat(prediction.len() / dims)
    };
    if agent.observed {
        agent.lost_chains = agent.lost_chains.saturating_add(lost);
    }
    if agent.observed && !finite {
        agent.bad_predictions = agent.bad_predictions.saturating_add(1);
    }
    agent.position = 1;
    agent.last = agent.chunk[..dims].to_vec();
    agent.last.clone()
}
