// The metrics ring, a row per step with the numbers of RingHeader in front of its metrics, and the
// latch of the first bad step.
//
// The includer binds `ring`, words, and `latch`, a Latch, both written, and has params.{capacity,
// columns}.
//#include "lib/finite.wgsl"
//#include "lib/latch.wgsl"
//#include "lib/next_step.wgsl"

// Step + 1; 0 where nothing was written yet.
// Shared with the host.
struct RingHeader {
    stamp_low: u32,
    stamp_high: u32,
}
// Shared with the host.
const RING_HEADER_WORDS: u32 = 2u;

// The first word of a step's row: step mod capacity for a 64-bit step, bit by bit; capacity is
// below 2^31.
fn ring_row(run: RunState) -> u32 {
    var rest = 0u;
    for (var bit = 0u; bit < 64u; bit++) {
        let word = select(run.step_high, run.step_low, bit >= 32u);
        rest = 2u * rest + ((word >> (31u - (bit & 31u))) & 1u);
        rest = select(rest, rest - params.capacity, rest >= params.capacity);
    }
    return rest * params.columns;
}

fn write_header(row: u32, run: RunState) {
    let after = next_step(run);
    let header = RingHeader(after.step_low, after.step_high);
    ring[row] = header.stamp_low;
    ring[row + 1u] = header.stamp_high;
}

fn write_metric(row: u32, slot: u32, value: f32, bad: bool) {
    ring[row + RING_HEADER_WORDS + slot] = select(bitcast<u32>(value), NOT_A_NUMBER, bad);
}
