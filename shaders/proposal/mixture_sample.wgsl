// Draws from a conditional mixture of diagonal Gaussians whose parameters a network wrote.
//
//   c = smallest component with sum_{j <= c} softmax(logits)_j >= u
//   z = mean_c + exp(log_std_c) n      y = shift + z / scale
//
// mixture : network outputs, packed [contexts, stride], read (layout: lib/mixture.wgsl)
// normalizer : [2, dims], shift then scale, read      state : run state, read
// y : [contexts, candidates, dims], entries first .. first + draws of each context written
// Random: element b * draws + k owns the component's block (word 0); element (b * draws + k) *
// ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3. Two streams.
// Workgroup 64. Grid over contexts * draws invocations, folded over x and y.
//#include "lib/run_state.wgsl"

struct Params {
    contexts: u32,
    draws: u32,
    candidates: u32,
    first: u32,
    components: u32,
    dims: u32,
    stride: u32,
    low: f32,
    high: f32,
    component_stream: u32,
    normal_stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mixture: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
//#include "lib/mixture_draw.wgsl"

@compute @workgroup_size(64, 1, 1)
fn mixture_sample(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let draw = id.y * groups.x * 64u + id.x;
    if (draw >= params.contexts * params.draws) {
        return;
    }
    let context = draw / params.draws;
    let place = context * params.candidates + params.first + draw % params.draws;
    mixture_draw(context, draw, place * params.dims);
}
