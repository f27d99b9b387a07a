// The run state one step later.
//#include "lib/run_state.wgsl"

fn next_step(run: RunState) -> RunState {
    let low = run.step_low + 1u;
    let high = run.step_high + select(0u, 1u, low == 0u);
    return RunState(low, high, run.seed_low, run.seed_high);
}
