// Ends a training step: its metrics go into the ring, and the run goes on to the next step.
//
//   ring[step mod capacity, slot] = norm and mean loss of up to two optimizer steps, column's mean
//   step = step + 1 (64 bits)
//   a column that holds a value that is not finite, or whose sum is not, sets the latch, once
//
// first, second : OptimizerStep of prepare_step.wgsl, read
// column : number i at column_first + column_stride i, count of them, read (none: any buffer)
// state : RunState, written      latch : Latch, written
// ring : [capacity, columns] written: a RingHeader, then the bits of an f32 per slot. A slot of
// NONE is not written.
// Workgroup 64, 512 bytes. Grid (1, 1, 1). Values strided by 64.
// Numerics: 64 partial sums, then a tree of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/optimizer_step.wgsl"
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
@group(0) @binding(1) var<storage, read> first: OptimizerStep;
@group(0) @binding(2) var<storage, read> second: OptimizerStep;
@group(0) @binding(3) var<storage, read> column: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: RunState;
@group(0) @binding(5) var<storage, read_write> ring: array<u32>;
@group(0) @binding(6) var<storage, read_write> latch: Latch;
//#include "lib/ring.wgsl"

const TREE_LANES: u32 = 64u;
const TREE_WIDTH: u32 = 64u;
//#include "lib/tree_sum.wgsl"

// Shared with the host.
const NONE: u32 = 0xffffffffu;

fn write_slot(row: u32, slot: u32, value: f32, bad: bool) {
    if (slot != NONE) {
        write_metric(row, slot, value, bad);
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
    let total = tree_sum(lane, vec2<f32>(sum, fault));
    if (lane == 0u) {
        let run = state;
        let after = next_step(run);
        let row = ring_row(run);
        write_header(row, run);
        write_slot(row, params.first_norm_slot, first.norm, false);
        write_slot(row, params.first_loss_slot, first.mean_loss, first.bad_loss != 0.0);
        write_slot(row, params.second_norm_slot, second.norm, false);
        write_slot(row, params.second_loss_slot, second.mean_loss, second.bad_loss != 0.0);
        // A sum that overflowed is as bad as a value that was not finite.
        let bad = total.y != 0.0 || !is_finite(total.x);
        write_slot(row, params.column_slot, total.x / f32(max(params.count, 1u)), bad);
        if (bad) {
            set_latch(run, params.column_slot);
        }
        state.step_low = after.step_low;
        state.step_high = after.step_high;
    }
}
