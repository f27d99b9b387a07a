// Double-well energy of points, one invocation per point.
//
//   energy[r] = sum_j (y[r,j]^2 - 1)^2
//
// y : [rows, dims] read     energy : [rows] written
// Workgroup 64. Grid: rows invocations, folded over x and y.

struct Params {
    rows: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> energy: array<f32>;

@compute @workgroup_size(64)
fn double_well(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.y * groups.x + group.x) * 64u + lane;
    if (row >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let value = y[row * params.dims + j];
        let well = value * value - 1.0;
        sum += well * well;
    }
    energy[row] = sum;
}
