// Prepares an optimiser step: the global norm of the gradient, the clip factor, the step's row of the schedule table.
//
//   norm = sqrt(sum_p gradient[p]^2)      clip = min(1, max_norm / norm), or 1 when max_norm = 0
//   unless latched or the gradient is not finite: count = count + 1, go = 1; else go = 0
//   a gradient that is not finite (or reaches 1e36, or 1e18 after clipping) sets latch = (1, step low, step high, slot)
//   before that, a loss that is not finite (or whose sum is not) sets the latch with its own slot
//   prepared = (norm, clip, go, 0 | rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), EMA decay | mean loss, bad loss, 0, 0), t = count
//   REDUCE = 1: the gradient is sum_s gradients[s, p] first, s ascending, and is written in front of `prepared`
//
// gradients : [splits, parameters] read in vec4s (REDUCE = 0: splits = 1)
// losses : number i at loss_first + loss_stride i, losses of them, read (none: any buffer)
// table : [steps] of vec4 (rate, c1, c2, EMA decay), row t - 1, read      state : run state, read
// latch : [4] written      count : [1], steps taken, written
// prepared : 3 vec4s written from prepared4 on (REDUCE = 1: behind the gradient, which begins at 0)
// Defines: REDUCE.
// Workgroup 256, 4096 bytes. Grid (1, 1, 1). Elements strided by 256.
// Numerics: 256 partial sums of squares scaled by the largest magnitude (no overflow), then a tree of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    count4: u32,
    table_rows: u32,
    max_norm: f32,
    slot: u32,
    splits: u32,
    prepared4: u32, // vec4 units
    losses: u32,
    loss_first: u32,
    loss_stride: u32,
    loss_slot: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> losses: array<f32>;
@group(0) @binding(3) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> state: RunState;
@group(0) @binding(5) var<storage, read_write> latch: array<u32, 4>;
@group(0) @binding(6) var<storage, read_write> count: array<u32, 1>;
@group(0) @binding(7) var<storage, read_write> prepared: array<vec4<f32>>;
//#include "lib/ring.wgsl"

const LANES: u32 = 256u;
// Stands for "not finite" while magnitudes are compared.
const FAULT: f32 = 3.0e38;
// Gradients from here on count as not finite: their norm may overflow.
const PEAK: f32 = 1.0e36;
// The same after clipping: their squares overflow in the optimiser.
const CLIPPED_PEAK: f32 = 1.0e18;

// (largest magnitude or sum of squares, sum of losses, 1 if a loss is bad, 0)
var<workgroup> shared_values: array<vec4<f32>, LANES>;

fn gradient_at(at: u32) -> vec4<f32> {
    if (REDUCE == 1u) {
        // This lane wrote it.
        return prepared[at];
    }
    return gradients[at];
}

@compute @workgroup_size(LANES, 1, 1)
fn gradient_norm(@builtin(local_invocation_index) lane: u32) {
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
                prepared[at] = sum;
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
    shared_values[lane] = vec4<f32>(largest, loss_sum, loss_fault, 0.0);
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            let a = shared_values[lane];
            let b = shared_values[lane + width];
            shared_values[lane] = vec4<f32>(max(a.x, b.x), a.y + b.y, max(a.z, b.z), 0.0);
        }
        workgroupBarrier();
    }
    let totals = shared_values[0];
    let peak = totals.x;
    workgroupBarrier();
    let inverse = select(0.0, 1.0 / max(peak, 1.0e-30), peak > 1.0e-30);
    var sum = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.count4 && peak < PEAK) {
            let g = gradient_at(at) * inverse;
            sum += dot(g, g);
        }
    }
    shared_values[lane].x = sum;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            shared_values[lane].x += shared_values[lane + width].x;
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let norm = select(peak * sqrt(shared_values[0].x), FAULT, peak >= PEAK);
        var clip = 1.0;
        if (params.max_norm > 0.0 && norm > params.max_norm) {
            clip = params.max_norm / norm;
        }
        // A sum that overflowed is as bad as a loss that was not finite.
        let bad_loss = totals.z != 0.0 || !is_finite(totals.y);
        if (bad_loss) {
            set_latch(state, params.loss_slot);
        }
        if (peak >= PEAK || peak * clip >= CLIPPED_PEAK) {
            set_latch(state, params.slot);
        }
        let go = latch[0] == 0u;
        let taken = count[0] + select(0u, 1u, go);
        count[0] = taken;
        let loss = select(totals.y / f32(max(params.losses, 1u)), 0.0, bad_loss);
        prepared[params.prepared4] = vec4<f32>(norm, clip, select(0.0, 1.0, go), 0.0);
        prepared[params.prepared4 + 1u] = table[min(max(taken, 1u), params.table_rows) - 1u];
        prepared[params.prepared4 + 2u] = vec4<f32>(loss, select(0.0, 1.0, bad_loss), 0.0, 0.0);
    }
}
