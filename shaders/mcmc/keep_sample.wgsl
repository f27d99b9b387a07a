// Copies a range of columns of every row to one place of a trace.
//
//   out[place, row, j] = source[row, first + j],  j < width
//
// source : [rows, stride] read      out : [places, rows, width] written at `place`
// Workgroup 64. Grid over rows * width invocations, folded over x and y.

struct Params {
    rows: u32,
    width: u32,
    stride: u32,
    first: u32,
    place: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn keep_sample(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    let count = params.rows * params.width;
    if (at >= count) {
        return;
    }
    let row = at / params.width;
    out[params.place * count + at] = source[row * params.stride + params.first + at % params.width];
}
