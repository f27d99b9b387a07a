// Advances a run by one step; besides finish_step.wgsl the only kernel that writes the run state.
//
//   step = step + 1 (64 bits); the seed stays
//
// state : RunState, written
// Workgroup 1. Grid (1, 1, 1).
//#include "lib/next_step.wgsl"

@group(0) @binding(0) var<storage, read_write> state: RunState;

@compute @workgroup_size(1, 1, 1)
fn advance() {
    let after = next_step(state);
    state.step_low = after.step_low;
    state.step_high = after.step_high;
}
