// Where a step's metrics lie in the ring, and the latch of the first bad step.
// The includer binds `latch`, four words, written, and includes lib/run_state.wgsl.

// step mod capacity for a 64-bit step, bit by bit: capacity is below 2^31.
fn ring_row(run: RunState, capacity: u32) -> u32 {
    var rest = 0u;
    for (var bit = 0u; bit < 64u; bit++) {
        let word = select(run.step_high, run.step_low, bit >= 32u);
        rest = 2u * rest + ((word >> (31u - (bit & 31u))) & 1u);
        rest = select(rest, rest - capacity, rest >= capacity);
    }
    return rest;
}

// The first call of a run names the step and the metric's slot; later ones change nothing.
fn set_latch(run: RunState, slot: u32) {
    if (latch[0] == 0u) {
        latch[0] = 1u;
        latch[1] = run.step_low;
        latch[2] = run.step_high;
        latch[3] = slot;
    }
}
