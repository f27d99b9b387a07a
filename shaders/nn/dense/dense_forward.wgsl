// One dense layer: affine map, activation and, for training, the slope of the activation.
//
//   z = start + h W      output = act(z)      slope = act'(z)
//   (bindings: lib/dense_forward.wgsl)
//
// Defines: WORKGROUP, LANE_COLUMNS (lanes along columns, divides WORKGROUP), ROW_BLOCK (at most
// 32), COLUMN_BLOCK4 (vec4, at most 4), ACTIVATION, INIT (those of the fragment, and 0: sums begin
// with 0), SLOPE.
// Workgroup WORKGROUP x 1 x 1, no workgroup memory. Grid (ceil(rows / (WORKGROUP / LANE_COLUMNS *
// ROW_BLOCK)), ceil(outputs4 / (LANE_COLUMNS * COLUMN_BLOCK4)), 1). Each lane owns ROW_BLOCK x
// COLUMN_BLOCK4 vec4 of output.
// Numerics: one sum per output, i ascending.
//#include "lib/dense_forward.wgsl"

const ROW_LANES: u32 = WORKGROUP / LANE_COLUMNS;

var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;

// Driver loops are unrolled up to a fixed cost only, so rows are walked in groups of four: one loop
// that stayed rolled would put the accumulators into memory (8 times slower on lavapipe).
fn start_rows(begin: u32, first_row: u32, first_column: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = min(first_row + m * ROW_LANES, params.rows - 1u);
        let of_row = context_row(row);
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = min(first_column + c * LANE_COLUMNS, params.outputs4 - 1u);
            acc[m * COLUMN_BLOCK4 + c] = start_of_sum(of_row, column);
        }
    }
}

fn multiply_rows(begin: u32, first_row: u32, k: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        // Rows past the end repeat the last one: no branch around the loads.
        let a = h[min(first_row + m * ROW_LANES, params.rows - 1u) * params.inputs4 + k];
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
            let column = first_column + c * LANE_COLUMNS;
            if (row < params.rows && column < params.outputs4) {
                output[row * params.outputs4 + column] = acc[m * COLUMN_BLOCK4 + c];
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn dense_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let stride = params.outputs4;
    let first_row = group.x * (ROW_LANES * ROW_BLOCK) + lane.x / LANE_COLUMNS;
    let first_column = group.y * (LANE_COLUMNS * COLUMN_BLOCK4) + lane.x % LANE_COLUMNS;
    let last_column = stride - 1u;

    if (INIT != 0u) {
        start_rows(0u, first_row, first_column);
        start_rows(4u, first_row, first_column);
        start_rows(8u, first_row, first_column);
        start_rows(12u, first_row, first_column);
        start_rows(16u, first_row, first_column);
        start_rows(20u, first_row, first_column);
        start_rows(24u, first_row, first_column);
        start_rows(28u, first_row, first_column);
    }
    for (var k = 0u; k < params.inputs4; k++) {
        // Columns past the end repeat the last one.
        for (var j = 0u; j < 4u; j++) {
            let at = params.weight_offset + (4u * k + j) * stride;
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                w[j * COLUMN_BLOCK4 + c] = parameters[at + min(first_column + c * LANE_COLUMNS, last_column)];
            }
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

    // The pre-activations go to memory first: an activation inside the unrolled loops is too large
    // for them.
    store_rows(0u, first_row, first_column);
    store_rows(4u, first_row, first_column);
    store_rows(8u, first_row, first_column);
    store_rows(12u, first_row, first_column);
    store_rows(16u, first_row, first_column);
    store_rows(20u, first_row, first_column);
    store_rows(24u, first_row, first_column);
    store_rows(28u, first_row, first_column);
    if (ACTIVATION != 0u || SLOPE == 1u) {
        for (var m = 0u; m < ROW_BLOCK; m++) {
            let row = first_row + m * ROW_LANES;
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                let column = first_column + c * LANE_COLUMNS;
                if (row < params.rows && column < stride) {
                    finish_sum(row, column, output[row * stride + column]);
                }
            }
        }
    }
}
