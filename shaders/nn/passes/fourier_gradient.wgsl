// The chain rule of fourier_features: from the gradient at the features to that at the caller's
// rows.
//
//   dx[r, i] = scale[i] * (2 pi sum_j B[i, j] (cos_j dz[r, 2 j + 1] - sin_j dz[r, 2 j]) + dz[r, 2
//       frequencies + i])
//   cos_j = features[r, 2 j], sin_j = features[r, 2 j + 1]; the last term only for i < kept
//
// dz, features : packed [rows, 2 frequencies + kept] read
// affine : [2, width], shift then scale, read
// matrix : B, [width, frequencies] read      dx : [rows, width] written      kept is 0 or width
// Workgroup 64. Grid over rows * width invocations, folded over x and y.
// Numerics: one sum per element, j ascending.

const TURN: f32 = 6.2831853;

struct Params {
    rows: u32,
    width: u32,
    frequencies: u32,
    kept: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<f32>;
@group(0) @binding(2) var<storage, read> features: array<f32>;
@group(0) @binding(3) var<storage, read> normalizer: array<f32>;
@group(0) @binding(4) var<storage, read> matrix: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn fourier_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.rows * params.width) {
        return;
    }
    let i = at % params.width;
    let row = (at / params.width) * params.stride;
    var sum = 0.0;
    for (var j = 0u; j < params.frequencies; j++) {
        let pair = row + 2u * j;
        let slope = features[pair] * dz[pair + 1u] - features[pair + 1u] * dz[pair];
        sum += matrix[i * params.frequencies + j] * slope;
    }
    sum *= TURN;
    if (i < params.kept) {
        sum += dz[row + 2u * params.frequencies + i];
    }
    dx[at] = sum * normalizer[params.width + i];
}
