// Random directions for the trace of a Jacobian.
//
//   NORMAL 0: +1 or -1 with equal chances (the top bit of a word)      NORMAL 1: standard normals
//   Source: arXiv 1810.01367; both have unit covariance.
//
// state : run state, read      out : packed [rows, dims] written, padding zero
// Random: element row * ceil(dims / 4) + j / 4 owns dimensions j .. j + 3; `inner` is the probe.
// Defines: NORMAL. Workgroup 64. Grid over rows * ceil(dims / 4) invocations, folded over x and y.
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn flow_probe(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = (params.dims + 3u) / 4u;
    let element = id.y * groups.x * 64u + id.x;
    if (element >= params.rows * blocks) {
        return;
    }
    let words = random_words4(state, element, params.stream, params.inner);
    var values = select(vec4<f32>(-1.0), vec4<f32>(1.0), (words >> vec4<u32>(31u)) == vec4<u32>(1u));
    if (NORMAL == 1u) {
        values = normal4(words);
    }
    let lanes = vec4<u32>(4u * (element % blocks)) + vec4<u32>(0u, 1u, 2u, 3u);
    out[element] = select(vec4<f32>(0.0), values, lanes < vec4<u32>(params.dims));
}
