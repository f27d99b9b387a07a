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
//#include "lib/ring.wgsl"

var<workgroup> sums: array<f32, 64>;
var<workgroup> faults: array<u32, 64>;

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
        let row = ring_row(state, params.capacity) * params.columns;
        let low = state.step_low + 1u;
        ring[row] = low;
        ring[row + 1u] = state.step_high + select(0u, 1u, low == 0u);
        let mean = params.offset + params.scale * (sums[0] / f32(params.count));
        // A sum that overflowed is as bad as a value that was not finite.
        let bad = faults[0] != 0u || !is_finite(sums[0]);
        ring[row + 2u + params.slot] = select(bitcast<u32>(mean), 0x7fc00000u, bad);
        if (bad) {
            set_latch(state, params.slot);
        }
    }
}
