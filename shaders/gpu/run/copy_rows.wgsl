// Rows copied to another distance from one another: padded ones without their padding, or plain
// ones padded with zeros.
//
//   out[r, j] = x[r, j] for j < width, 0 beyond
//
// x : [rows, x_stride] read      out : [rows, out_stride] written; both strides are at least width
// Workgroup 64. Grid over rows * out_stride invocations, folded over x and y.
// Numerics: exact, bit for bit.

struct Params {
    rows: u32,
    width: u32,
    x_stride: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn copy_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.rows * params.out_stride) {
        return;
    }
    let row = at / params.out_stride;
    let j = at % params.out_stride;
    var value = 0.0;
    if (j < params.width) {
        value = x[row * params.x_stride + j];
    }
    out[at] = value;
}
