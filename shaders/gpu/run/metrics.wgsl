// Records the mean of a vector in the metrics ring and latches the first non-finite step.
//
//   ring[step mod capacity, slot] = offset + scale / count * sum_i values[first + i]
//   a value that is not finite, or a sum that is not, sets the latch, once
//
// values : [>= first + count] read      state : RunState, read      latch : Latch, written
// ring : [capacity, columns] written: a RingHeader, then the bits of an f32 per slot
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
@group(0) @binding(4) var<storage, read_write> latch: Latch;
//#include "lib/ring.wgsl"

const TREE_LANES: u32 = 64u;
const TREE_WIDTH: u32 = 64u;
//#include "lib/tree_sum.wgsl"

@compute @workgroup_size(64, 1, 1)
fn metrics(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var fault = 0.0;
    let rounds = (params.count + 63u) / 64u;
    for (var round = 0u; round < rounds; round++) {
        let at = 64u * round + lane;
        if (at < params.count) {
            let value = values[params.first + at];
            if (is_finite(value)) {
                sum += value;
            } else {
                fault = 1.0;
            }
        }
    }
    let total = tree_sum(lane, vec2<f32>(sum, fault));
    if (lane == 0u) {
        let row = ring_row(state);
        write_header(row, state);
        let mean = params.offset + params.scale * (total.x / f32(params.count));
        // A sum that overflowed is as bad as a value that was not finite.
        let bad = total.y != 0.0 || !is_finite(total.x);
        write_metric(row, params.slot, mean, bad);
        if (bad) {
            set_latch(state, params.slot);
        }
    }
}
