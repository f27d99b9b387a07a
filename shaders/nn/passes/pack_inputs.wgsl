// Normalizes the rows of an input and packs them for dense layers.
//
//   out[r, j] = (x[r, j] - shift[j]) * scale[j] for j < width, 0 in the padding
//
// x : [rows, width] read
// affine : [2, width], shift then scale, read
// out : packed [rows, width] written
// Workgroup 64. Grid over rows * stride4 invocations, folded over x and y; one invocation writes
// one vec4.

struct Params {
    rows: u32,
    width: u32,
    stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn pack_inputs(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    let row = at / params.stride4;
    let first = 4u * (at % params.stride4);
    if (row >= params.rows) {
        return;
    }
    var packed = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let j = first + lane;
        if (j < params.width) {
            packed[lane] = (x[row * params.width + j] - normalizer[j]) * normalizer[params.width + j];
        }
    }
    out[at] = packed;
}
