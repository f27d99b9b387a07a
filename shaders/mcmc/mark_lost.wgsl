// Which chains are lost: have a coordinate that is not finite.
//
//   lost[r] = 1 if a y[r, j] is not finite, else 0
//
// y : [rows, dims] read      lost : [rows] written
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/finite.wgsl"

struct Params {
    rows: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> lost: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn mark_lost(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var sound = true;
    for (var j = 0u; j < params.dims; j++) {
        sound = sound && is_finite(y[row * params.dims + j]);
    }
    lost[row] = select(1.0, 0.0, sound);
}
