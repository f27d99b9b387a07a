// Ends a training step: its metrics go into the ring, and the run goes on to the next step.
//
//   ring[step mod capacity, slot] = norm and mean loss of up to two optimiser steps, mean of a column
//   step = step + 1 (64 bits)
//   a column that holds a value that is not finite, or whose sum is not, sets latch = (1, step low, step high, slot), once
//
// first, second : prepared optimiser steps of gradient_norm, 3 vec4s, read      column : number i at column_first +
// column_stride i, count of them, read (none: any buffer)      state : RunState, written      latch : [4] written
// ring : [capacity, 2 + slots] written: columns 0 and 1 hold step + 1 (0 = never written), then the bits of f32 values
// A slot of NONE is not written.
// Workgroup 64, 512 bytes. Grid (1, 1, 1). Values strided by 64.
// Numerics: 64 partial sums, then a tree of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    count: u32,
    column_first: u32,
    column_stride: u32,
    column_slot: u32,
    first_loss_slot: u32,
    first_norm_slot: u32,
    second_loss_slot: u32,
    second_norm_slot: u32,
    capacity: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> first: array<vec4<f32>, 3>;
@group(0) @binding(2) var<storage, read> second: array<vec4<f32>, 3>;
@group(0) @binding(3) var<storage, read> column: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: RunState;
@group(0) @binding(5) var<storage, read_write> ring: array<u32>;
@group(0) @binding(6) var<storage, read_write> latch: array<u32, 4>;
//#include "lib/ring.wgsl"

const NONE: u32 = 0xffffffffu;
const BAD: u32 = 0x7fc00000u;

// (sum, 1 if a value is bad)
var<workgroup> sums: array<vec2<f32>, 64>;

fn write_slot(row: u32, slot: u32, value: f32, bad: bool) {
    if (slot != NONE) {
        ring[row + 2u + slot] = select(bitcast<u32>(value), BAD, bad);
    }
}

@compute @workgroup_size(64, 1, 1)
fn finish_step(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var fault = 0.0;
    let rounds = (params.count + 63u) / 64u;
    for (var round = 0u; round < rounds; round++) {
        let at = 64u * round + lane;
        if (at < params.count) {
            let value = column[params.column_first + params.column_stride * at];
            if (is_finite(value)) {
                sum += value;
            } else {
                fault = 1.0;
            }
        }
    }
    sums[lane] = vec2<f32>(sum, fault);
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width / 2u) {
        if (lane < width) {
            sums[lane] += sums[lane + width];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let run = state;
        let low = run.step_low + 1u;
        let high = run.step_high + select(0u, 1u, low == 0u);
        let row = ring_row(run, params.capacity) * params.columns;
        ring[row] = low;
        ring[row + 1u] = high;
        write_slot(row, params.first_norm_slot, first[0].x, false);
        write_slot(row, params.first_loss_slot, first[2].x, first[2].y != 0.0);
        write_slot(row, params.second_norm_slot, second[0].x, false);
        write_slot(row, params.second_loss_slot, second[2].x, second[2].y != 0.0);
        // A sum that overflowed is as bad as a value that was not finite.
        let total = sums[0];
        let bad = total.y != 0.0 || !is_finite(total.x);
        write_slot(row, params.column_slot, total.x / f32(max(params.count, 1u)), bad);
        if (bad) {
            set_latch(run, params.column_slot);
        }
        state.step_low = low;
        state.step_high = high;
    }
}
