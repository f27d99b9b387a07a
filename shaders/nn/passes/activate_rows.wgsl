// An activation on its own, for layers that are not the epilogue of another one.
//
//   output[r, j] = act(h[r, j])      slope[r, j] = act'(h[r, j])
//
// h : packed [rows, width] read      output : packed [rows, width] written, padding zero
// slope : the same, its padding act'(0) (SLOPE = 1, otherwise any spare buffer)
// Defines: ACTIVATION (codes of lib/activation.wgsl), SLOPE.
// Workgroup 64. Grid over rows * stride4 invocations, folded over x and y; one invocation writes
// one vec4.
//#include "lib/activation.wgsl"
//#include "lib/padding.wgsl"

struct Params {
    count4: u32,
    stride4: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> slope: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn activate_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count4) {
        return;
    }
    let a = activate(ACTIVATION, h[at]);
    output[at] = inside_only(a.value, at % params.stride4, params.width);
    if (SLOPE == 1u) {
        slope[at] = a.slope;
    }
}
