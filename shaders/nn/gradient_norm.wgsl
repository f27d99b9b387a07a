// Prepares an optimiser step: the global norm of the gradient, the clip factor, the step's row of the schedule table.
//
//   norm = sqrt(sum_p gradient[p]^2)      clip = min(1, max_norm / norm), or 1 when max_norm = 0
//   unless latched or the gradient is not finite: count = count + 1, go = 1; else go = 0
//   a gradient that is not finite (or reaches 1e36, or 1e18 after clipping) sets latch = (1, step low, step high, slot)
//   prepared = (norm, clip, go, 0, rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), EMA decay) with t = count
//
// gradient : [parameters] read in vec4s      table : [steps] of vec4 (rate, c1, c2, EMA decay), row t - 1, read
// state : run state, read      latch : [4] written      count : [1], steps taken, written      prepared : [8] written
// Workgroup 256, 1024 bytes. Grid (1, 1, 1). Elements strided by 256.
// Numerics: 256 partial sums of squares scaled by the largest magnitude (no overflow), then a tree of fixed shape.
//#include "lib/finite.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    count4: u32,
    table_rows: u32,
    max_norm: f32,
    slot: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read_write> latch: array<u32, 4>;
@group(0) @binding(5) var<storage, read_write> count: array<u32, 1>;
@group(0) @binding(6) var<storage, read_write> prepared: array<f32, 8>;

const LANES: u32 = 256u;
// Stands for "not finite" while magnitudes are compared.
const FAULT: f32 = 3.0e38;
// Gradients from here on count as not finite: their norm may overflow.
const PEAK: f32 = 1.0e36;
// The same after clipping: their squares overflow in the optimiser.
const CLIPPED_PEAK: f32 = 1.0e18;

var<workgroup> shared_values: array<f32, LANES>;

@compute @workgroup_size(LANES, 1, 1)
fn gradient_norm(@builtin(local_invocation_index) lane: u32) {
    let rounds = (params.count4 + LANES - 1u) / LANES;
    var largest = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.count4) {
            let g = gradient[at];
            let finite = is_finite(g.x) && is_finite(g.y) && is_finite(g.z) && is_finite(g.w);
            let a = abs(g);
            largest = select(FAULT, max(largest, max(max(a.x, a.y), max(a.z, a.w))), finite);
        }
    }
    shared_values[lane] = largest;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            shared_values[lane] = max(shared_values[lane], shared_values[lane + width]);
        }
        workgroupBarrier();
    }
    let peak = shared_values[0];
    workgroupBarrier();
    let inverse = select(0.0, 1.0 / max(peak, 1.0e-30), peak > 1.0e-30);
    var sum = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let at = LANES * round + lane;
        if (at < params.count4 && peak < PEAK) {
            let g = gradient[at] * inverse;
            sum += dot(g, g);
        }
    }
    shared_values[lane] = sum;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            shared_values[lane] += shared_values[lane + width];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let norm = select(peak * sqrt(shared_values[0]), FAULT, peak >= PEAK);
        var clip = 1.0;
        if (params.max_norm > 0.0 && norm > params.max_norm) {
            clip = params.max_norm / norm;
        }
        let bad = peak >= PEAK || peak * clip >= CLIPPED_PEAK;
        if (bad && latch[0] == 0u) {
            latch[0] = 1u;
            latch[1] = state.step_low;
            latch[2] = state.step_high;
            latch[3] = params.slot;
        }
        let go = latch[0] == 0u;
        let taken = count[0] + select(0u, 1u, go);
        count[0] = taken;
        let row = table[min(max(taken, 1u), params.table_rows) - 1u];
        prepared[0] = norm;
        prepared[1] = clip;
        prepared[2] = select(0.0, 1.0, go);
        prepared[3] = 0.0;
        prepared[4] = row.x;
        prepared[5] = row.y;
        prepared[6] = row.z;
        prepared[7] = row.w;
    }
}
