// Gradient of one dense layer with respect to its input, each operand loaded once per subgroup of
// 8: dense_input_gradient.wgsl for renderers whose loads cost most.
//
//   out = (dz W') * slope + skip      (bindings: lib/dense_input_gradient.wgsl)
//
// weights : from the matrix W on, [WEIGHTS4 vec4], uniform (UNIFORM_WEIGHTS = 1, otherwise any
// tensor)
// Defines: ROW_BLOCK (8, 16 or 32), COLUMN_BLOCK4 (vec4 of inputs, at most 4), UNIFORM_WEIGHTS,
// WEIGHTS4 (at least the vec4s of W, 1 if not uniform), SLOPE, SKIP.
// Workgroup 8 x 1 x 1: one subgroup of exactly 8, no workgroup memory. Grid (ceil(rows /
// ROW_BLOCK), ceil(inputs4 / (8 COLUMN_BLOCK4)), 1). Lanes lie along columns of out: each owns
// ROW_BLOCK x COLUMN_BLOCK4 vec4, loads its own part of W and one of eight rows of dz, which it
// shares by broadcast.
// Numerics: one sum per input, o ascending: the order of dense_input_gradient.wgsl. Zero padding of
// W gives zero padding of out.
//#include "lib/dense_input_gradient.wgsl"
//#include "lib/shared_rows.wgsl"

@group(0) @binding(6) var<uniform> weights: array<vec4<f32>, WEIGHTS4>;

fn weight(at: u32) -> vec4<f32> {
    if (UNIFORM_WEIGHTS == 1u) {
        return weights[at];
    }
    return parameters[params.weight_offset + at];
}

// The block is transposed so that the sums run over vec4s of out.
fn load_weights(k: u32, first_column: u32) {
    let stride = params.outputs4;
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        // Columns past the end repeat the last one: no branch around the loads.
        let at = 4u * min(first_column + 8u * c, params.inputs4 - 1u) * stride + k;
        let t = transpose(mat4x4<f32>(
            weight(at), weight(at + stride), weight(at + 2u * stride), weight(at + 3u * stride)));
        w[c] = t[0];
        w[COLUMN_BLOCK4 + c] = t[1];
        w[2u * COLUMN_BLOCK4 + c] = t[2];
        w[3u * COLUMN_BLOCK4 + c] = t[3];
    }
}

fn multiply_rows(begin: u32, first_row: u32, lane: u32, k: u32) {
    if (begin < ROW_BLOCK) {
        let a = dz[min(first_row + begin + lane, params.rows - 1u) * params.outputs4 + k];
        multiply_shared_rows(begin, a);
    }
}

// Driver loops are unrolled up to a fixed cost only, so rows are walked in groups of four: one loop
// that stayed rolled would put the accumulators into memory.
fn finish_rows(begin: u32, first_row: u32, first_column: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = first_row + m;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            finish_sum(row, first_column + 8u * c, acc[m * COLUMN_BLOCK4 + c]);
        }
    }
}

@compute @workgroup_size(8, 1, 1)
fn dense_input_gradient_subgroup(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_row = group.x * ROW_BLOCK;
    let first_column = group.y * (8u * COLUMN_BLOCK4) + lane;
    for (var k = 0u; k < params.outputs4; k++) {
        load_weights(k, first_column);
        multiply_rows(0u, first_row, lane, k);
        multiply_rows(8u, first_row, lane, k);
        multiply_rows(16u, first_row, lane, k);
        multiply_rows(24u, first_row, lane, k);
    }
    finish_rows(0u, first_row, first_column);
    finish_rows(4u, first_row, first_column);
    finish_rows(8u, first_row, first_column);
    finish_rows(12u, first_row, first_column);
    finish_rows(16u, first_row, first_column);
    finish_rows(20u, first_row, first_column);
    finish_rows(24u, first_row, first_column);
    finish_rows(28u, first_row, first_column);
}
