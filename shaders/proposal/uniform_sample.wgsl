// Draws from a uniform box.
//
//   y_j = low_j + (high_j - low_j) u_j
//
// box : [2, dims], low then high, read      state : run state, read
// y : [contexts, candidates, dims], entries first .. first + draws of each context written
// Random: element (b * draws + k) * ceil(dims / 4) + j / 4 owns the uniforms of dimensions j ..
// j + 3.
// Workgroup 64. Grid over contexts * draws invocations, folded over x and y.
//#include "lib/philox.wgsl"

struct Params {
    contexts: u32,
    draws: u32,
    candidates: u32,
    first: u32,
    dims: u32,
    stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> box: array<f32>;
@group(0) @binding(2) var<storage, read> state: RunState;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn uniform_sample(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let draw = id.y * groups.x * 64u + id.x;
    if (draw >= params.contexts * params.draws) {
        return;
    }
    let place = (draw / params.draws) * params.candidates + params.first + draw % params.draws;
    let blocks = (params.dims + 3u) / 4u;
    for (var block = 0u; block < blocks; block++) {
        let u = uniform4(random_words4(state, draw * blocks + block, params.stream, params.inner));
        for (var lane = 0u; lane < 4u; lane++) {
            let j = 4u * block + lane;
            if (j < params.dims) {
                let low = box[j];
                y[place * params.dims + j] = low + (box[params.dims + j] - low) * u[lane];
            }
        }
    }
}
