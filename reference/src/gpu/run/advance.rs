//! Step counter of a run (`shaders/gpu/run/advance.wgsl`).

/// Counters shared by all plans of a run; both numbers are u64 as (low, high) words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunState {
    /// Steps done, (low, high).
    pub step: [u32; 2],
    /// Seed of the run, (low, high).
    pub seed: [u32; 2],
}

/// `step += 1` as one u64, wrapping; the seed is unchanged.
pub fn advance(state: RunState) -> RunState {
    let (low, carry) = state.step[0].overflowing_add(1);
    let high = state.step[1].wrapping_add(u32::from(carry));
    RunState { step: [low, high], seed: state.seed }
}
