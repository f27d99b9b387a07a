// The latch of the first step whose numbers are not finite. The includer binds `latch`, a Latch,
// written.
//#include "lib/run_state.wgsl"

// Shared with the host.
struct Latch {
    is_set: u32, // 1 once a step went bad
    step_low: u32,
    step_high: u32,
    slot: u32, // of the metric
}

// The first call of a run names the step and the metric's slot; later ones change nothing.
fn set_latch(run: RunState, slot: u32) {
    if (latch.is_set == 0u) {
        latch = Latch(1u, run.step_low, run.step_high, slot);
    }
}
