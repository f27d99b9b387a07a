// Adds the partial gradients of all row ranges.
//
//   gradient[p] = sum_s partials[s, p]      (ACCUMULATE = 1: gradient[p] + that sum)
//
// partials : [splits, parameters] read      gradient : [parameters] written (both in vec4s)
// Defines: ACCUMULATE.
// Workgroup 64. Grid over count4 invocations, folded over x and y. Numerics: s ascending.

struct Params {
    splits: u32,
    count4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn reduce_partials(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count4) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var s = 0u; s < params.splits; s++) {
        sum += partials[s * params.count4 + at];
    }
    if (ACCUMULATE == 1u) {
        gradient[at] = gradient[at] + sum;
    } else {
        gradient[at] = sum;
    }
}
