// Normalizes the rows of an input, takes their Fourier features and packs them for dense layers.
//
//   u[r, i] = (x[r, i] - shift[i]) * scale[i]      phase[r, j] = sum_i u[r, i] B[i, j]   (in turns)
//   out[r, 2 j] = cos(2 pi phase[r, j])      out[r, 2 j + 1] = sin(2 pi phase[r, j])
//   for j < frequencies
//   out[r, 2 frequencies + i] = u[r, i] for i < kept      0 in the padding
//   Source: arXiv 2006.10739, equation 5.
//
// x : [rows, width] read
// affine : [2, width], shift then scale, read
// matrix : B, [width, frequencies] read
// out : packed [rows, 2 frequencies + kept] written      kept is 0 or width
// Workgroup 64. Grid over rows * stride4 invocations, folded over x and y; one invocation writes
// one vec4.
// Numerics: phases are exact modulo one turn but for 2^-33 turn per term (lib/turns.wgsl), whatever
// their size: a feature is within 5e-7 of its exact value at the f32 numbers u and B, for up to 256
// inputs. A non-finite x shows in all features of its row.
//#include "lib/finite.wgsl"
//#include "lib/turns.wgsl"

struct Params {
    rows: u32,
    width: u32,
    frequencies: u32,
    kept: u32,
    stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read> matrix: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

fn normalized(row: u32, i: u32) -> f32 {
    return (x[row * params.width + i] - normalizer[i]) * normalizer[params.width + i];
}

fn feature_pair(row: u32, frequency: u32) -> vec2<f32> {
    var turn = 0u;
    var stray = 0u;
    for (var i = 0u; i < params.width; i++) {
        let value = x[row * params.width + i];
        stray = select(bitcast<u32>(value), stray, is_finite(value));
        turn += turns(normalized(row, i), matrix[i * params.frequencies + frequency]);
    }
    return select(turn_circle(turn), vec2<f32>(bitcast<f32>(stray)), stray != 0u);
}

@compute @workgroup_size(64, 1, 1)
fn fourier_features(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    let row = at / params.stride4;
    let first = 4u * (at % params.stride4);
    if (row >= params.rows) {
        return;
    }
    let features = 2u * params.frequencies;
    var packed = vec4<f32>(0.0);
    for (var pair = 0u; pair < 2u; pair++) {
        let feature = first + 2u * pair;
        if (feature < features) {
            let circle = feature_pair(row, feature / 2u);
            packed[2u * pair] = circle.x;
            packed[2u * pair + 1u] = circle.y;
        } else {
            for (var lane = 0u; lane < 2u; lane++) {
                let i = feature + lane - features;
                if (i < params.kept) {
                    packed[2u * pair + lane] = normalized(row, i);
                }
            }
        }
    }
    out[at] = packed;
}
