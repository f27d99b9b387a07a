//! The end of a training step (`shaders/gpu/run/finish_step.wgsl`).

use super::advance::{RunState, advance};
use super::metrics::{Ring, metrics};

/// Writes each metric's mean, `(slot, values)`, into `ring` at the step of `state`, and returns the
/// state of the next step.
pub fn finish_step(ring: &mut Ring, state: RunState, entries: &[(usize, &[f64])]) -> RunState {
    let step = u64::from(state.step[0]) | u64::from(state.step[1]) << 32;
    for &(slot, values) in entries {
        metrics(ring, step, slot, values, 1.0, 0.0);
    }
    advance(state)
}
