// Rows in other units.
//
//   out[r, j] = (x[r, j] - before_j) factor_j + after_j
//
// x : [rows, dims] read, out : [rows, dims] written; rows x_stride and out_stride numbers apart.
// Padding of out is zero.
// units : [3, dims], before, then factor, then after, read
// Workgroup 64. Grid over rows * ceil(dims / 4) invocations, folded over x and y; one invocation
// writes four numbers.
// Numerics: a difference, a product and a sum; what is not finite stays so.

struct Params {
    rows: u32,
    dims: u32,
    x_stride: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> units: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn change_units(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = (params.dims + 3u) / 4u;
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.rows * blocks) {
        return;
    }
    let row = at / blocks;
    let first = 4u * (at % blocks);
    for (var lane = 0u; lane < 4u; lane++) {
        let j = first + lane;
        var value = 0.0;
        if (j < params.dims) {
            let offset = x[row * params.x_stride + j] - units[j];
            value = offset * units[params.dims + j] + units[2u * params.dims + j];
        }
        if (j < params.out_stride) {
            out[row * params.out_stride + j] = value;
        }
    }
}
