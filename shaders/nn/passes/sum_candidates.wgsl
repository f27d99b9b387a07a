// Sums a gradient over the candidates of each context: the way back of the shared context half.
//
//   out[b, j] = start + sum_k x[b * candidates + k - first_row, j]
//   over those k whose row is one of x
//   start = out[b, j] if CARRY = 1 and the first candidate of b comes before x, else 0
//
// x : packed [rows, width] read: rows first_row and up among the candidates of these contexts
// out : packed [contexts, width] written; read too when CARRY = 1, so that ranges of rows add up
// one after the other
// Defines: CARRY.
// Workgroup 64. Grid over contexts * stride4 invocations, folded over x and y; one invocation sums
// one vec4.
// Numerics: k ascending, also from range to range.

struct Params {
    contexts: u32,
    candidates: u32,
    first_row: u32,
    rows: u32,
    max: u32, // rows of x in one context, at most
    stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn sum_candidates(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.contexts * params.stride4) {
        return;
    }
    let context = at / params.stride4;
    let column = at % params.stride4;
    let begin = context * params.candidates;
    let end = min(begin + params.candidates, params.first_row + params.rows);
    let first = max(begin, params.first_row);
    var sum = vec4<f32>(0.0);
    if (CARRY == 1u && begin < params.first_row) {
        sum = out[at];
    }
    for (var k = 0u; k < params.max; k++) {
        if (first + k < end) {
            sum += x[(first + k - params.first_row) * params.stride4 + column];
        }
    }
    out[at] = sum;
}
