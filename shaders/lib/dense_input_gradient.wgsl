// What the kernels of a dense layer's input gradient share: parameters, bindings and what becomes
// of the sums.
//
//   out[r, i] = (sum_o dz[r, o] W[i, o]) * slope[r, i] + skip[r, i]
//   (slope = 1 when SLOPE = 0; skip = 0 when SKIP = 0, else the gradient that a residual block
//     passes on)
//
// dz : packed [rows, 4 outputs4] read
// parameters : flat, W k-major [4 inputs4, 4 outputs4], read
// slope, skip : packed [rows, 4 inputs4] read (SLOPE = 1, SKIP = 1, otherwise any buffer)
// out : packed [rows, 4 inputs4] written
// Defines: SLOPE, SKIP.

struct Params {
    rows: u32,
    inputs4: u32,
    outputs4: u32,
    weight_offset: u32, // vec4 units
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> skip: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

// Leaves what becomes of the sums in the vec4 `column` of a row, if there is one.
fn finish_sum(row: u32, column: u32, sum: vec4<f32>) {
    let at = min(row, params.rows - 1u) * params.inputs4 + min(column, params.inputs4 - 1u);
    var v = sum;
    if (SLOPE == 1u) {
        v = v * slope[at];
    }
    if (SKIP == 1u) {
        v = v + skip[at];
    }
    if (row < params.rows && column < params.inputs4) {
        out[at] = v;
    }
}
