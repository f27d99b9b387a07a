// One dense layer, each operand loaded once per subgroup of 8: dense_forward.wgsl for renderers
// whose loads cost most.
//
//   z = start + h W      output = act(z)      slope = act'(z)
//   (bindings: lib/dense_forward.wgsl)
//
// weights : from the matrix W on, [WEIGHTS4 vec4], uniform (UNIFORM_WEIGHTS = 1, otherwise any
// tensor)
// Defines: ROW_BLOCK (8, 16 or 32), COLUMN_BLOCK4 (vec4, at most 4), UNIFORM_WEIGHTS, WEIGHTS4 (at
// least the vec4s of W, 1 if not uniform), ACTIVATION, INIT (1 to 3), SLOPE.
// Workgroup 8 x 1 x 1: one subgroup of exactly 8, no workgroup memory. Grid (ceil(rows /
// ROW_BLOCK), ceil(outputs4 / (8 COLUMN_BLOCK4)), 1). Lanes lie along columns: each owns ROW_BLOCK
// x COLUMN_BLOCK4 vec4 of output, loads its own columns of W and one of eight rows of h, which it
// shares by broadcast.
// Numerics: one sum per output, i ascending: the order of dense_forward.wgsl.
//#include "lib/dense_forward.wgsl"
//#include "lib/shared_rows.wgsl"

@group(0) @binding(6) var<uniform> weights: array<vec4<f32>, WEIGHTS4>;

fn column_of(first_column: u32, c: u32) -> u32 {
    // Columns past the end repeat the last one: no branch around the loads.
    return min(first_column + 8u * c, params.outputs4 - 1u);
}

// Rows past the end belong to the last one's context.
fn inside_context_row(row: u32) -> u32 {
    return context_row(min(row, params.rows - 1u));
}

// Driver loops are unrolled up to a fixed cost only, so rows are walked in groups: one loop that
// stayed rolled would put the accumulators into memory.
fn start_rows(begin: u32, first_row: u32, first_column: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let of_row = inside_context_row(first_row + m);
            acc[m * COLUMN_BLOCK4 + c] = start_of_sum(of_row, column_of(first_column, c));
        }
    }
}

fn load_weights(k: u32, first_column: u32) {
    for (var j = 0u; j < 4u; j++) {
        let at = (4u * k + j) * params.outputs4;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            if (UNIFORM_WEIGHTS == 1u) {
                w[j * COLUMN_BLOCK4 + c] = weights[at + column_of(first_column, c)];
            } else {
                w[j * COLUMN_BLOCK4 + c] = parameters[params.weight_offset + at + column_of(first_column, c)];
            }
        }
    }
}

fn multiply_rows(begin: u32, first_row: u32, lane: u32, k: u32) {
    if (begin < ROW_BLOCK) {
        let a = h[min(first_row + begin + lane, params.rows - 1u) * params.inputs4 + k];
        multiply_shared_rows(begin, a);
    }
}

// Pre-activations go to memory first: an activation inside the unrolled loops would make the
// compiler take minutes.
fn store_rows(begin: u32, first_row: u32, first_column: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = first_row + m;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = first_column + 8u * c;
            if (row < params.rows && column < params.outputs4) {
                output[row * params.outputs4 + column] = acc[m * COLUMN_BLOCK4 + c];
            }
        }
    }
}

fn activate_row(row: u32, first_column: u32) {
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = first_column + 8u * c;
        if (row < params.rows && column < params.outputs4) {
            finish_sum(row, column, output[row * params.outputs4 + column]);
        }
    }
}

@compute @workgroup_size(8, 1, 1)
fn dense_forward_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_row = group.x * ROW_BLOCK;
    let first_column = group.y * (8u * COLUMN_BLOCK4) + lane;

    let of_first = inside_context_row(first_row);
    if (INIT == 1u || of_first == inside_context_row(first_row + ROW_BLOCK - 1u)) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let start = start_of_sum(of_first, column_of(first_column, c));
            for (var m = 0u; m < ROW_BLOCK; m++) {
                acc[m * COLUMN_BLOCK4 + c] = start;
            }
        }
    } else {
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
        load_weights(k, first_column);
        multiply_rows(0u, first_row, lane, k);
        multiply_rows(8u, first_row, lane, k);
        multiply_rows(16u, first_row, lane, k);
        multiply_rows(24u, first_row, lane, k);
    }
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
            activate_row(first_row + m, first_column);
        }
    }
}
