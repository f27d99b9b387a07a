// Squared error of a prediction, of noise or of samples without it, and its gradient, one
// invocation per row.
//
//   loss[r] = sum_j (prediction[r, j] - target[r, j])^2
//   output_gradient[r, j] = d(mean_r loss)/d prediction = 2 (prediction - target) / rows
//   Source: arXiv 2006.11239, simple objective, there for noise.
//
// prediction, target_rows : packed [rows, dims] read, padding 0
// output_gradient : packed [rows, dims] written, padding 0
// loss : [rows] written
// Workgroup 64. Grid over rows invocations, folded over x and y. At most 65535 vec4s per row.
// Numerics: sums over j in ascending order of vec4s; what is not finite stays so.

struct Params {
    rows: u32,
    dims4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> prediction: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> target_rows: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn denoising_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let scale = 2.0 / f32(params.rows);
    var sum = vec4<f32>(0.0);
    for (var block = 0u; block < params.dims4; block++) {
        let at = row * params.dims4 + block;
        let gap = prediction[at] - target_rows[at];
        sum += gap * gap;
        output_gradient[at] = scale * gap;
    }
    loss[row] = (sum.x + sum.y) + (sum.z + sum.w);
}
