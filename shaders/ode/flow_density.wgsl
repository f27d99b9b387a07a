// The log-density at the end of a probability flow, carried back to its begin.
//
//   out[r] = log_det[r] + constant - |x[r]|^2 / 2
//
// x : [rows, dims] read, rows x_stride numbers apart
// log_det : [rows] read
// out : [rows] written, in nats
// Workgroup 64. Grid over rows invocations, folded over x and y.

struct Params {
    rows: u32,
    dims: u32,
    x_stride: u32,
    constant: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> log_det: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn flow_density(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let here = x[row * params.x_stride + j];
        sum += here * here;
    }
    out[row] = log_det[row] + params.constant - 0.5 * sum;
}
