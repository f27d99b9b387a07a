// Draws negatives from a mixture and evaluates the density of all candidates, its narrow network
// included.
//
//   outputs[b] = network(x[b]), layers one after the other
//   y[b, first .. first + draws] = draws from the mixture
//   log_q[b, k] = log q(y[b, k] | x[b]) for all k      (lib/mixture_draw.wgsl, lib/mixture.wgsl)
//
// parameters : flat, read      x : [contexts, x_width] read      state : RunState, read
// network : [layers] of PackedLayer, read
// normalizer : [2, dims] of y, then [2, x_width] of x, shift then scale, read
// y : [contexts, candidates, dims], candidates outside the draws read, the others written
// log_q : [contexts, candidates] written
// Defines: WORKGROUP; ROWS contexts per workgroup, at most 4; ACTIVATION of the hidden layers
// (codes of lib/activation.wgsl).
// Workgroup WORKGROUP x 1 x 1, at most 12 KiB. Grid ceil(contexts / ROWS), folded over x and y.
// Lanes run along outputs, then along candidates. Widths of hidden layers, of x and of the outputs
// at most 4 MAX_WIDTH4.
// Numerics: sums as those of dense_forward.wgsl, i ascending in groups of four; densities as in
// mixture_log_density.wgsl.
//#include "lib/activation.wgsl"
//#include "lib/packed_layer.wgsl"
//#include "lib/padding.wgsl"
//#include "lib/run_state.wgsl"

struct Params {
    contexts: u32,
    candidates: u32,
    first: u32,
    draws: u32,
    components: u32,
    dims: u32,
    x_width: u32,
    layers: u32,
    stride: u32,
    low: f32,
    high: f32,
    log_volume: f32,
    component_stream: u32,
    normal_stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read> network: array<PackedLayer>;
@group(0) @binding(5) var<storage, read> normalizer: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> log_q: array<f32>;

// Shared with the host.
const MAX_WIDTH4: u32 = 64u;

// Rows on their way through the network: what a layer reads in one half, what it writes in the
// other.
var<workgroup> hidden: array<vec4<f32>, 2u * ROWS * MAX_WIDTH4>;
// The outputs, `stride` per row.
var<workgroup> mixture: array<f32, ROWS * 4u * MAX_WIDTH4>;
//#include "lib/mixture_draw.wgsl"

fn pack_rows(lane: u32, first_context: u32) {
    let inputs4 = network[0].inputs4;
    for (var at = lane; at < ROWS * inputs4; at += WORKGROUP) {
        let row = at / inputs4;
        let context = min(first_context + row, params.contexts - 1u);
        var packed = vec4<f32>(0.0);
        for (var part = 0u; part < 4u; part++) {
            let j = 4u * (at % inputs4) + part;
            if (j < params.x_width) {
                let shift = normalizer[2u * params.dims + j];
                let scale = normalizer[2u * params.dims + params.x_width + j];
                packed[part] = (x[context * params.x_width + j] - shift) * scale;
            }
        }
        hidden[row * MAX_WIDTH4 + at % inputs4] = packed;
    }
}

fn run_layer(lane: u32, layer: u32) {
    let own = network[layer];
    let outputs4 = own.outputs4;
    let source = (layer & 1u) * ROWS * MAX_WIDTH4;
    let target_half = ROWS * MAX_WIDTH4 - source;
    for (var column = lane; column < outputs4; column += WORKGROUP) {
        var acc: array<vec4<f32>, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            acc[r] = parameters[own.bias + column];
        }
        for (var k = 0u; k < own.inputs4; k++) {
            let at = own.weight + 4u * k * outputs4 + column;
            let w0 = parameters[at];
            let w1 = parameters[at + outputs4];
            let w2 = parameters[at + 2u * outputs4];
            let w3 = parameters[at + 3u * outputs4];
            for (var r = 0u; r < ROWS; r++) {
                let a = hidden[source + r * MAX_WIDTH4 + k];
                acc[r] += a.x * w0 + a.y * w1 + a.z * w2 + a.w * w3;
            }
        }
        if (layer + 1u == params.layers) {
            for (var r = 0u; r < ROWS; r++) {
                let at = r * params.stride + 4u * column;
                mixture[at] = acc[r].x;
                mixture[at + 1u] = acc[r].y;
                mixture[at + 2u] = acc[r].z;
                mixture[at + 3u] = acc[r].w;
            }
        } else {
            for (var r = 0u; r < ROWS; r++) {
                let a = activate(ACTIVATION, acc[r]);
                hidden[target_half + r * MAX_WIDTH4 + column] = inside_only(a.value, column, own.outputs);
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn mixture_propose(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Contexts past the end repeat the last one and write nothing: no return before a barrier.
    let first_context = (group.y * groups.x + group.x) * ROWS;
    pack_rows(lane, first_context);
    workgroupBarrier();
    for (var layer = 0u; layer < params.layers; layer++) {
        run_layer(lane, layer);
        workgroupBarrier();
    }
    for (var at = lane; at < ROWS * params.candidates; at += WORKGROUP) {
        let row = at / params.candidates;
        let k = at % params.candidates;
        let context = first_context + row;
        if (context < params.contexts) {
            let place = context * params.candidates + k;
            mixture_exponents = 0u;
            if (k >= params.first && k - params.first < params.draws) {
                mixture_draw(row, context * params.draws + k - params.first, place * params.dims);
            }
            var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
            for (var c = 0u; c < params.components; c++) {
                pair = pair_add(pair, mixture_joint(row, c, place * params.dims));
            }
            let log_density = pair_value(pair) - pair_value(mixture_softmax(row)) + params.log_volume;
            log_q[place] = mixture_result(log_density);
        }
    }
}
