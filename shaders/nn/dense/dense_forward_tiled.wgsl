// One dense layer by tiles in workgroup memory, for GPUs: what nn/dense_forward.wgsl computes, from
// the same bindings.
//
//   z = start + h W      output = act(z)      slope = act'(z)
//   (bindings: lib/dense_forward.wgsl)
//
// Defines: ACTIVATION, INIT (1 to 3), SLOPE.
// Workgroup 64 x 1 x 1, 9.3 KiB of workgroup memory. Grid (ceil(rows / 64), ceil(outputs4 / 16),
// 1). A workgroup owns 64 x 64 of the output, each lane 8 rows and 2 vec4 of columns, both 8 apart;
// slabs of 16 inputs pass through workgroup memory, their rows padded by a vec4 so that neither
// operand meets bank conflicts.
// Numerics: one sum per output, i ascending.
//#include "lib/dense_forward.wgsl"
//#include "lib/tile.wgsl"

@compute @workgroup_size(LANES, 1, 1)
fn dense_forward_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let stride = params.outputs4;
    let tile_row = group.x * TILE_ROWS;
    let tile_column = group.y * TILE_COLUMNS4;
    let own_row = lane / 8u;
    let own_column = lane % 8u;
    let last_row = params.rows - 1u;
    let last_column = stride - 1u;

    for (var m = 0u; m < 8u; m++) {
        let row = min(tile_row + own_row + 8u * m, last_row);
        let of_row = context_row(row);
        for (var c = 0u; c < 2u; c++) {
            let column = min(tile_column + own_column + 8u * c, last_column);
            acc[2u * m + c] = start_of_sum(of_row, column);
        }
    }

    let slabs = (params.inputs4 + SLAB4 - 1u) / SLAB4;
    for (var slab = 0u; slab < slabs; slab++) {
        // Rows and columns past the end repeat the last ones and are not stored; inputs past the
        // end are zero on both sides, because what lies behind the weights may be no number.
        for (var i = 0u; i < 4u; i++) {
            let at = lane + LANES * i;
            let k4 = SLAB4 * slab + at % SLAB4;
            let row = min(tile_row + at / SLAB4, last_row);
            let value = h[row * params.inputs4 + min(k4, params.inputs4 - 1u)];
            a_tile[at / SLAB4 * A_STRIDE + at % SLAB4] = select(vec4<f32>(0.0), value, k4 < params.inputs4);
        }
        for (var i = 0u; i < 4u; i++) {
            let at = lane + LANES * i;
            let k = 4u * SLAB4 * slab + at / TILE_COLUMNS4;
            let column = min(tile_column + at % TILE_COLUMNS4, last_column);
            let value = parameters[params.weight_offset + min(k, 4u * params.inputs4 - 1u) * stride + column];
            w_tile[at / TILE_COLUMNS4 * W_STRIDE + at % TILE_COLUMNS4] =
                select(vec4<f32>(0.0), value, k < 4u * params.inputs4);
        }
        workgroupBarrier();
        multiply_slab(own_row, own_column);
        workgroupBarrier();
    }

    for (var m = 0u; m < 8u; m++) {
        let row = tile_row + own_row + 8u * m;
        for (var c = 0u; c < 2u; c++) {
            let column = tile_column + own_column + 8u * c;
            if (row < params.rows && column < stride) {
                finish_sum(row, column, acc[2u * m + c]);
            }
        }
    }
}
