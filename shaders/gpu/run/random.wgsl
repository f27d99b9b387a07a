// Fills a tensor with uniforms or normals of a stream.
//
//   out[4 e + lane] = uniform or normal number `lane` of element e's block
//
// out : [count] written      state : run state, read
// Defines: NORMAL (0 uniform, 1 normal). Workgroup 64. Grid over ceil(count / 4) invocations,
// folded over x and y.
//#include "lib/philox.wgsl"

struct Params {
    count: u32,
    stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn random(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let element = id.y * groups.x * 64u + id.x;
    let words = random_words4(state, element, params.stream, params.inner);
    var values = uniform4(words);
    if (NORMAL == 1u) {
        values = normal4(words);
    }
    for (var lane = 0u; lane < 4u; lane++) {
        let at = 4u * element + lane;
        if (element < (params.count + 3u) / 4u && at < params.count) {
            out[at] = values[lane];
        }
    }
}
