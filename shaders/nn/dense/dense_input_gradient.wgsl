// Gradient of one dense layer with respect to its input.
//
//   out = (dz W') * slope + skip      (bindings: lib/dense_input_gradient.wgsl)
//
// Defines: WORKGROUP, LANE_COLUMNS (lanes along columns of out, divides WORKGROUP), ROW_BLOCK (at
// most 32), COLUMN_BLOCK4 (vec4 of inputs, at most 4), SLOPE, SKIP.
// Workgroup WORKGROUP x 1 x 1, no workgroup memory. Grid (ceil(rows / (WORKGROUP / LANE_COLUMNS *
// ROW_BLOCK)), ceil(inputs4 / (LANE_COLUMNS * COLUMN_BLOCK4)), 1). Each lane owns ROW_BLOCK x
// COLUMN_BLOCK4 vec4 of out.
// Numerics: one sum per input, o ascending. Zero padding of W gives zero padding of out.
//#include "lib/dense_input_gradient.wgsl"

const ROW_LANES: u32 = WORKGROUP / LANE_COLUMNS;

var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;

// Driver loops are unrolled up to a fixed cost only, so rows are walked in groups of four: one loop
// that stayed rolled would put the accumulators into memory (8 times slower on lavapipe).
fn multiply_rows(begin: u32, first_row: u32, k: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        // Rows past the end repeat the last one: no branch around the loads.
        let a = dz[min(first_row + m * ROW_LANES, params.rows - 1u) * params.outputs4 + k];
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] += a.x * w[c] + a.y * w[COLUMN_BLOCK4 + c]
                + a.z * w[2u * COLUMN_BLOCK4 + c] + a.w * w[3u * COLUMN_BLOCK4 + c];
        }
    }
}

fn store_rows(begin: u32, first_row: u32, first_column: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = first_row + m * ROW_LANES;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            finish_sum(row, first_column + c * LANE_COLUMNS, acc[m * COLUMN_BLOCK4 + c]);
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn dense_input_gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let stride = params.outputs4;
    let first_row = group.x * (ROW_LANES * ROW_BLOCK) + lane.x / LANE_COLUMNS;
    let first_column = group.y * (LANE_COLUMNS * COLUMN_BLOCK4) + lane.x % LANE_COLUMNS;
    let last_column = params.inputs4 - 1u;

    for (var k = 0u; k < params.outputs4; k++) {
        // Columns past the end repeat the last one. The block is transposed so that the sums run
        // over vec4s of out.
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let at = params.weight_offset + 4u * min(first_column + c * LANE_COLUMNS, last_column) * stride + k;
            let t = transpose(mat4x4<f32>(
                parameters[at], parameters[at + stride], parameters[at + 2u * stride], parameters[at + 3u * stride]));
            w[c] = t[0];
            w[COLUMN_BLOCK4 + c] = t[1];
            w[2u * COLUMN_BLOCK4 + c] = t[2];
            w[3u * COLUMN_BLOCK4 + c] = t[3];
        }
        multiply_rows(0u, first_row, k);
        multiply_rows(4u, first_row, k);
        multiply_rows(8u, first_row, k);
        multiply_rows(12u, first_row, k);
        multiply_rows(16u, first_row, k);
        multiply_rows(20u, first_row, k);
        multiply_rows(24u, first_row, k);
        multiply_rows(28u, first_row, k);
    }
    store_rows(0u, first_row, first_column);
    store_rows(4u, first_row, first_column);
    store_rows(8u, first_row, first_column);
    store_rows(12u, first_row, first_column);
    store_rows(16u, first_row, first_column);
    store_rows(20u, first_row, first_column);
    store_rows(24u, first_row, first_column);
    store_rows(28u, first_row, first_column);
}
