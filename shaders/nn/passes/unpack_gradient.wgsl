// The chain rule of pack_inputs: from the gradient at packed, normalized inputs to that at the
// caller's rows.
//
//   dx[r, j] = dz[r, j] * scale[j]
//
// dz : packed [rows, width] read
// affine : [2, width], shift then scale, read
// dx : [rows, width] written
// Workgroup 64. Grid over rows * width invocations, folded over x and y.

struct Params {
    rows: u32,
    width: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn unpack_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.rows * params.width) {
        return;
    }
    let row = at / params.width;
    let j = at % params.width;
    dx[at] = dz[row * params.stride + j] * normalizer[params.width + j];
}
