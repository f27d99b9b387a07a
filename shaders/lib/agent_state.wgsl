// What a policy keeps of each agent, beside its history and its chunk.

// Shared with the host.
struct AgentState {
    // 1 if this tick's observation is in the history.
    observed: u32,
    // Actions of the chunk that were executed; a chunk's length or more: a prediction is due.
    position: u32,
    // Observations, and predictions, that were not finite; both stop at the largest u32.
    bad_observations: u32,
    bad_predictions: u32,
    // Chains or samples that predictions were chosen from and that were not finite; stops there
    // too.
    lost_chains: u32,
}

fn counted(count: u32) -> u32 {
    return counted_more(count, 1u);
}

fn counted_more(count: u32, more: u32) -> u32 {
    return select(count + more, 0xffffffffu, count > 0xffffffffu - more);
}
