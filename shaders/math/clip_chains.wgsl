// Moves chains into the box.
//
//   y_j = min(max(y_j, low_j), high_j)
//
// box : [2, dims], low then high, read      y : [rows, dims] written
// A value that is not finite stays, so that it shows.
// Workgroup 64. Grid over rows * dims invocations, folded over x and y.
//#include "lib/finite.wgsl"

struct Params {
    count: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> box: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn clip_chains(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count) {
        return;
    }
    let j = at % params.dims;
    let value = y[at];
    if (is_finite(value)) {
        y[at] = clamp(value, box[j], box[params.dims + j]);
    }
}
