// Prepares an optimizer step: the global norm of the gradient, the clip factor, the step's row of
// the schedule table.
//
//   norm = sqrt(sum_p gradient[p]^2)      clip = min(1, max_norm / norm), or 1 when max_norm = 0
//   unless latched or the gradient is not finite: count = count + 1, go = 1; else go = 0
//   a gradient that is not finite (or reaches MAX_MAGNITUDE, or 1e18 after clipping) sets the latch
//     with `slot`
//   before that, a loss that is not finite (or whose sum is not) sets it with `loss_slot`
//   REDUCE = 1: the gradient is sum_s gradients[s, p] first, s ascending, and is written behind the
//     step
//
// gradients : [splits, parameters] read in vec4s (REDUCE = 0: splits = 1)
// losses : number i at loss_first + loss_stride i, losses of them, read (none: any buffer)
// table : [steps] of ScheduleRow, row count - 1, read      state : RunState, read
// latch : Latch, written      count : steps taken, written
// prepared : the OptimizerStep, and from element 64 on the gradient (REDUCE = 1), written
// Defines: REDUCE.
// Workgroup 256, 5120 bytes. Grid (1, 1, 1). Elements strided by 256.
// Numerics: 256 partial sums of squares scaled by the largest magnitude (no overflow), then a tree
// of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/optimizer_step.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    count4: u32,
    table_rows: u32,
    max_norm: f32,
    slot: u32,
    splits: u32,
    losses: u32,
    loss_first: u32,
    loss_stride: u32,
    loss_slot: u32,
}

// Where the gradient begins: views of a value begin at multiples of 256 bytes.
// Shared with the host.
const GRADIENT_BYTES: u32 = 256u;

struct SummedGradient {
    @size(GRADIENT_BYTES) step: OptimizerStep,
    gradient: array<vec4<f32>>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> losses: array<f32>;
@group(0) @binding(3) var<storage, read> table: array<ScheduleRow>;
@group(0) @binding(4) var<storage, read> state: RunState;
@group(0) @binding(5) var<storage, read_write> latch: Latch;
@group(0) @binding(6) var<storage, read_write> count: u32;
@group(0) @binding(7) var<storage, read_write> prepared: SummedGradient;
//#include "lib/latch.wgsl"

const LANES: u32 = 256u;
const TREE_LANES: u32 = LANES;
const TREE_WIDTH: u32 = LANES;
// Stands for "not finite" while magnitudes are compared.
const FAULT: f32 = 3.0e38;
// Gradients that reach this after clipping count as not finite: their squares overflow in the
// optimizer. Before clipping that is MAX_MAGNITUDE: their norm may overflow.
const CLIPPED_PEAK: f32 = 1.0e18;

struct TreeValue {
    largest: f32, // magnitude of the gradient
    loss_sum: f32,
    loss_fault: f32, // 1 if a loss is bad
}

fn tree_merge(a: TreeValue, b: TreeValue) -> TreeValue {
    return TreeValue(max(a.largest, b.largest), a.loss_sum + b.loss_sum, max(a.loss_fault, b.loss_fault));
}
//#include "lib/tree.wgsl"
//#include "lib/tree_sum.wgsl"

fn gradient_at(at: u32) -> vec4<f32> {
    if (REDUCE == 1u) {
        // This lane wrote it.
        return prepared.gradient[at];
    }
    return gradients[at];
}

@compute @workgroup_size(LANES, 1, 1)
fn prepare_step(@builtin(local_invocation_index) lane: u32) {
    let rounds = (params.count4 + LANES - 1u) / LANES;
    var largest = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.count4) {
            if (REDUCE == 1u) {
                var sum = vec4<f32>(0.0);
                for (var s = 0u; s < params.splits; s++) {
                    sum += gradients[s * params.count4 + at];
                }
                prepared.gradient[at] = sum;
            }
            let g = gradient_at(at);
            let finite = is_finite(g.x) && is_finite(g.y) && is_finite(g.z) && is_finite(g.w);
            let a = abs(g);
            largest = select(FAULT, max(largest, max(max(a.x, a.y), max(a.z, a.w))), finite);
        }
    }
    var loss_sum = 0.0;
    var loss_fault = 0.0;
    let loss_rounds = (params.losses + LANES - 1u) / LANES;
    for (var round = 0u; round < loss_rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.losses) {
            let loss = losses[params.loss_first + params.loss_stride * at];
            if (is_finite(loss)) {
                loss_sum += loss;
            } else {
                loss_fault = 1.0;
            }
        }
    }
    let totals = tree_reduce(lane, TreeValue(largest, loss_sum, loss_fault));
    let peak = totals.largest;
    let inverse = select(0.0, 1.0 / max(peak, 1.0e-30), peak > 1.0e-30);
    var sum = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.count4 && peak < MAX_MAGNITUDE) {
            let g = gradient_at(at) * inverse;
            sum += dot(g, g);
        }
    }
    let squares = tree_sum(lane, vec2<f32>(sum, 0.0)).x;
    if (lane == 0u) {
        let norm = select(peak * sqrt(squares), FAULT, peak >= MAX_MAGNITUDE);
        var clip = 1.0;
        if (params.max_norm > 0.0 && norm > params.max_norm) {
            clip = params.max_norm / norm;
        }
        // A sum that overflowed is as bad as a loss that was not finite.
        let bad_loss = totals.loss_fault != 0.0 || !is_finite(totals.loss_sum);
        if (bad_loss) {
            set_latch(state, params.loss_slot);
        }
        if (peak >= MAX_MAGNITUDE || peak * clip >= CLIPPED_PEAK) {
            set_latch(state, params.slot);
        }
        let go = latch.is_set == 0u;
        let taken = count + select(0u, 1u, go);
        count = taken;
        let schedule = table[min(max(taken, 1u), params.table_rows) - 1u];
        let mean_loss = select(totals.loss_sum / f32(max(params.losses, 1u)), 0.0, bad_loss);
        prepared.step = OptimizerStep(
            norm, clip, select(0.0, 1.0, go), schedule, mean_loss, select(0.0, 1.0, bad_loss));
    }
}
