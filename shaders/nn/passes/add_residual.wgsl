// The sum behind a residual block, and the same on the way back where no other kernel takes it
// along.
//
//   out[i] = x[i] * slope[i] + skip[i]      (slope = 1 when SLOPE = 0, skip = 0 when SKIP = 0)
//
// x : packed [rows, width] read
// slope, skip : the same, read (SLOPE = 1, SKIP = 1, otherwise any buffer)
// out : the same, written
// Defines: SLOPE, SKIP.
// Workgroup 64. Grid over count4 invocations, folded over x and y; one invocation writes one vec4.
// Zero padding of x and skip stays zero.

struct Params {
    count4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> skip: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn add_residual(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count4) {
        return;
    }
    var v = x[at];
    if (SLOPE == 1u) {
        v = v * slope[at];
    }
    if (SKIP == 1u) {
        v = v + skip[at];
    }
    out[at] = v;
}
