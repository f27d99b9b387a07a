// Log-density of a uniform box.
//
//   log q(y) = -sum_j ln(high_j - low_j) inside (borders included), OUTSIDE_LOG_DENSITY outside
//
// box : [2, dims], low then high, read      y : [rows, dims] read      log_q : [rows] written
// log_density = -sum_j ln(high_j - low_j) comes from the host in f64 precision.
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/uniform_box.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    log_density: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> box: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_q: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn uniform_log_density(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var inside = true;
    var sound = true;
    for (var j = 0u; j < params.dims; j++) {
        let value = y[row * params.dims + j];
        inside = inside && value >= box[j] && value <= box[params.dims + j];
        sound = sound & is_finite(value);
    }
    log_q[row] = box_log_density(params.log_density, inside, sound);
}
