// Records the mean of a vector in the metrics ring and latches the first non-finite step.
//
//   ring[step mod capacity, slot] = offset + scale / count * sum_i values[first + i]
//   latch = (1, step low, step high, slot), once, when any value or the sum is NaN or infinite
//
// values : [>= first + count] read      state : run state, read
// ring : [capacity, 2 + slots] written: columns 0 and 1 hold step + 1 (0 = never written), then the bits of f32 values
// latch : [4] written
// Workgroup 64, 512 bytes. Grid (1, 1, 1). Values strided by 64.
// Numerics: 64 partial sums, then a tree of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    first: u32,
    count: u32,
    slot: u32,
    capacity: u32,
    columns: u32,
    scale: f32,
    offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<u32>;
@group(0) @binding(4) var<storage, read_write> latch: array<u32, 4>;

var<workgroup> sums: array<f32, 64>;
var<workgroup> faults: array<u32, 64>;

// step mod capacity for a 64-bit step, bit by bit: capacity is below 2^31.
fn ring_row() -> u32 {
    var rest = 0u;
    for (var bit = 0u; bit < 64u; bit++) {
        let word = select(state.step_high, state.step_low, bit >= 32u);
        rest = 2u * rest + ((word >> (31u - (bit & 31u))) & 1u);
        rest = select(rest, rest - params.capacity, rest >= params.capacity);
    }
    return rest;
}

@compute @workgroup_size(64, 1, 1)
fn metrics(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var fault = 0u;
    let rounds = (params.count + 63u) / 64u;
    for (var round = 0u; round < rounds; round++) {
        let at = 64u * round + lane;
        if (at < params.count) {
            let value = values[params.first + at];
            if (is_finite(value)) {
                sum += value;
            } else {
                fault = 1u;
            }
        }
    }
    sums[lane] = sum;
    faults[lane] = fault;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width / 2u) {
        if (lane < width) {
            sums[lane] += sums[lane + width];
            faults[lane] |= faults[lane + width];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let row = ring_row() * params.columns;
        let low = state.step_low + 1u;
        ring[row] = low;
        ring[row + 1u] = state.step_high + select(0u, 1u, low == 0u);
        let mean = params.offset + params.scale * (sums[0] / f32(params.count));
        // A sum that overflowed is as bad as a value that was not finite.
        let bad = faults[0] != 0u || !is_finite(sums[0]);
        ring[row + 2u + params.slot] = select(bitcast<u32>(mean), 0x7fc00000u, bad);
        if (bad && latch[0] == 0u) {
            latch[0] = 1u;
            latch[1] = state.step_low;
            latch[2] = state.step_high;
            latch[3] = params.slot;
        }
    }
}
