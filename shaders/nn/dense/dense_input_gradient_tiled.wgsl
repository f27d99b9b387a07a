// Gradient of one dense layer with respect to its input by tiles in workgroup memory, for GPUs:
// what nn/dense_input_gradient.wgsl computes, from the same bindings.
//
//   out = (dz W') * slope + skip      (bindings: lib/dense_input_gradient.wgsl)
//
// Defines: SLOPE, SKIP.
// Workgroup 64 x 1 x 1, 9.3 KiB of workgroup memory. Grid (ceil(rows / 64), ceil(inputs4 / 16), 1).
// A workgroup owns 64 x 64 of out, each lane 8 rows and 2 vec4 of columns, both 8 apart; slabs of
// 16 outputs pass through workgroup memory, where W lies transposed, their rows padded by a vec4
// against bank conflicts.
// Numerics: one sum per input, o ascending. Zero padding of W gives zero padding of out.
//#include "lib/dense_input_gradient.wgsl"
//#include "lib/tile.wgsl"

@compute @workgroup_size(LANES, 1, 1)
fn dense_input_gradient_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let stride = params.outputs4;
    let tile_row = group.x * TILE_ROWS;
    let tile_column = group.y * TILE_COLUMNS4;
    let own_row = lane / 8u;
    let own_column = lane % 8u;
    let last_row = params.rows - 1u;
    let last_column = params.inputs4 - 1u;

    let slabs = (stride + SLAB4 - 1u) / SLAB4;
    for (var slab = 0u; slab < slabs; slab++) {
        // Rows and columns past the end repeat the last ones and are not stored; outputs past the
        // end are zero on both sides.
        for (var i = 0u; i < 4u; i++) {
            let at = lane + LANES * i;
            let k4 = SLAB4 * slab + at % SLAB4;
            let row = min(tile_row + at / SLAB4, last_row);
            let value = dz[row * stride + min(k4, stride - 1u)];
            a_tile[at / SLAB4 * A_STRIDE + at % SLAB4] = select(vec4<f32>(0.0), value, k4 < stride);
        }
        // Each lane turns one block of 4 x 4.
        let k4 = SLAB4 * slab + lane % SLAB4;
        let column = min(tile_column + lane / SLAB4, last_column);
        let first = params.weight_offset + 4u * column * stride + min(k4, stride - 1u);
        let t = transpose(mat4x4<f32>(
            parameters[first], parameters[first + stride], parameters[first + 2u * stride], parameters[first + 3u * stride]));
        let to = 4u * (lane % SLAB4) * W_STRIDE + lane / SLAB4;
        let inside = k4 < stride;
        w_tile[to] = select(vec4<f32>(0.0), t[0], inside);
        w_tile[to + W_STRIDE] = select(vec4<f32>(0.0), t[1], inside);
        w_tile[to + 2u * W_STRIDE] = select(vec4<f32>(0.0), t[2], inside);
        w_tile[to + 3u * W_STRIDE] = select(vec4<f32>(0.0), t[3], inside);
        workgroupBarrier();
        multiply_slab(own_row, own_column);
        workgroupBarrier();
    }

    for (var m = 0u; m < 8u; m++) {
        let row = tile_row + own_row + 8u * m;
        for (var c = 0u; c < 2u; c++) {
            finish_sum(row, tile_column + own_column + 8u * c, acc[2u * m + c]);
        }
    }
}
