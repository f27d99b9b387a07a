// Sums a gradient over the candidates of each context: the way back of the shared context half.
//
//   out[b, j] = sum_k x[b * candidates + k, j]
//
// x : packed [contexts * candidates, width] read      out : packed [contexts, width] written
// Workgroup 64. Grid over contexts * stride4 invocations, folded over x and y; one invocation sums one vec4.
// Numerics: k ascending.

struct Params {
    contexts: u32,
    candidates: u32,
    stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn sum_candidates(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.contexts * params.stride4) {
        return;
    }
    let first = (at / params.stride4) * params.candidates * params.stride4 + at % params.stride4;
    var sum = vec4<f32>(0.0);
    for (var k = 0u; k < params.candidates; k++) {
        sum += x[first + k * params.stride4];
    }
    out[at] = sum;
}
