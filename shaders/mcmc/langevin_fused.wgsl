// Several steps of unadjusted Langevin dynamics on the energy of a narrow network, in one dispatch.
//
//   count times: y = y - eta s^2 dE/dy + noise sqrt(2 eta temperature) s n, clamped to the box
//   eta = step * step_scale      s: scale of each dimension
//   E = f(start[r / candidates], (y[r] - shift) scale), f as in lib/fused_network.wgsl
//   Source: arXiv 2309.05803, sampling by the energy gradient; as langevin.wgsl, step by step and
//     draw by draw.
//
// parameters, start, description, slopes : as in lib/fused_network.wgsl, the description's numbers
// being the network's shift and scale, the box's low and high, and the scales, [5, 4 inputs4]
// schedule : [steps] of LangevinStep, read
// state : RunState, read      y : [rows, dims] read and written, each element by one lane
// Random: element row * ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3; `inner`
// is the chain's step.
// Defines: those of lib/fused_network.wgsl, VALUE = 0, GRADIENT = 1.
// Workgroup WORKGROUP x 1 x 1, the slab of SLAB_ROWS x SLAB_STRIDE4 vec4. Grid (ceil(rows of the
// range / SLAB_ROWS), 1, 1). The host keeps the loop rounds of an invocation and the predicted time
// of a dispatch low by its choice of `count`.
//#include "lib/fused_network.wgsl"
//#include "lib/langevin.wgsl"
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    inputs4: u32,
    hidden: u32,
    passes: u32,
    total4: u32, // sum of the layers' columns: where the gradient at the inputs begins in slopes
    start_offset: u32,
    candidates: u32, // rows per row of start, at least 1
    output_weight: u32,
    output_bias: u32,
    output4: u32,
    first_group: u32,
    padded_rows: u32, // rows that slopes has room for: whole slabs
    stream: u32,
    first: u32, // steps of the chain before this dispatch
    count: u32,
}

struct Knobs {
    step_scale: f32,
    temperature: f32,
}

// Shared with the host.
struct LangevinStep {
    size: f32, // eta, before its knob
    noise: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> start: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> description: FusedDescription;
@group(0) @binding(5) var<storage, read> schedule: array<LangevinStep>;
@group(0) @binding(6) var<storage, read> state: RunState;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> slopes: array<vec4<f32>>;

// What the description holds for four dimensions: the network's shift and scale, low, high, or the
// scales of steps.
fn number(kind: u32, column: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(description.numbers[kind * params.inputs4 + column]);
}

fn gradient_at(row: u32, column: u32) -> u32 {
    return params.total4 * params.padded_rows + row * params.inputs4 + column;
}

fn pack(row: u32, column: u32, here: vec4<f32>) {
    slab[row * SLAB_STRIDE4 + column] = (here - number(0u, column)) * number(1u, column);
}

// Moves four dimensions of a chain by the gradient that the lane kept, and packs them for the next
// step.
fn advance_chain(row: u32, column: u32, chain: u32, inner: u32) {
    let eta = schedule[inner].size * knobs.step_scale;
    let spread = langevin_spread(schedule[inner].noise, eta, knobs.temperature);
    let n = normal4(random_words4(state, chain * params.inputs4 + column, params.stream, inner));
    let energy_gradient = slopes[gradient_at(chain, column)];
    let low = number(2u, column);
    let high = number(3u, column);
    let scale = number(4u, column);
    var next = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
        if (4u * column + j < params.dims) {
            let at = chain * params.dims + 4u * column + j;
            next[j] = langevin_move(y[at], energy_gradient[j], scale[j], eta, spread * n[j], low[j], high[j]);
            y[at] = next[j];
        }
    }
    pack(row, column, next);
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn langevin_fused(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let base = (params.first_group + group.x) * SLAB_ROWS;
    let tile = tile_of(lane, base);
    let items = SLAB_ROWS * min(params.inputs4, SLAB_WIDTH4);
    for (var item = lane; item < items; item += WORKGROUP) {
        let row = item / params.inputs4;
        let column = item % params.inputs4;
        var here = vec4<f32>(0.0);
        for (var j = 0u; j < 4u; j++) {
            if (base + row < params.rows && 4u * column + j < params.dims) {
                here[j] = y[(base + row) * params.dims + 4u * column + j];
            }
        }
        pack(row, column, here);
    }
    workgroupBarrier();
    for (var done = 0u; done < params.count; done++) {
        for (var index = 0u; index < min(params.passes, MAX_PASSES); index++) {
            run_pass(tile, index);
        }
        for (var item = lane; item < items; item += WORKGROUP) {
            let row = item / params.inputs4;
            let column = item % params.inputs4;
            slopes[gradient_at(base + row, column)] = input_gradient_of(row, column) * number(1u, column);
        }
        workgroupBarrier();
        for (var item = lane; item < items; item += WORKGROUP) {
            let row = item / params.inputs4;
            if (base + row < params.rows) {
                advance_chain(row, item % params.inputs4, base + row, params.first + done);
            }
        }
        workgroupBarrier();
    }
}
