//! Policies: what each agent remembers and which action it gets.

pub mod choose_action;
pub mod observe;

/// What a policy keeps of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// 0 new, 1 waiting for a finite observation, 2 has one.
    pub stage: u32,
    /// Whether this tick's observation is in the history.
    pub observed: bool,
    /// Actions of the chunk that were executed.
    pub position: u32,
    /// Observations that were not finite.
    pub bad_observations: u32,
    /// Predictions that were not finite.
    pub bad_predictions: u32,
    /// Chains that predictions were chosen from and that were lost.
    pub lost_chains: u32,
    /// `[history, width]`, the oldest row first.
    pub history: Vec<f64>,
    /// `[predict, dims]`.
    pub chunk: Vec<f64>,
    /// `[dims]`.
    pub last: Vec<f64>,
}
