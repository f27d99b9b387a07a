// Advances a run by one step; besides finish_step.wgsl the only kernel that writes the run state.
//
//   step = step + 1 (64 bits); the seed stays
//
// state : RunState, written
// Workgroup 1. Grid (1, 1, 1).
//#include "lib/run_state.wgsl"

@group(0) @binding(0) var<storage, read_write> state: RunState;

@compute @workgroup_size(1, 1, 1)
fn advance() {
    let low = state.step_low + 1u;
    state.step_high = state.step_high + select(0u, 1u, low == 0u);
    state.step_low = low;
}
