// The inner product of dense layers by tiles of 64 x 64 in workgroup memory: 64 lanes with 8 rows
// and 2 vec4 of columns each, both 8 apart, over slabs of 16 of what is summed.
//
//   acc[m, c] += sum_k a_tile[own_row + 8 m, k] w_tile[k, own_column + 8 c]
//
// Workgroup memory 9.3 KiB; rows are padded by a vec4 so that neither operand meets bank conflicts.
// The caller fills both tiles and sets the barriers.

const LANES: u32 = 64u;
// Shared with the host.
const TILE_ROWS: u32 = 64u;
// Shared with the host.
const TILE_COLUMNS4: u32 = 16u;
const SLAB4: u32 = 4u;
const A_STRIDE: u32 = SLAB4 + 1u;
const W_STRIDE: u32 = TILE_COLUMNS4 + 1u;

var<workgroup> a_tile: array<vec4<f32>, TILE_ROWS * A_STRIDE>;
// Element (k, column) of the slab in row k.
var<workgroup> w_tile: array<vec4<f32>, 4u * SLAB4 * W_STRIDE>;
var<private> acc: array<vec4<f32>, 16>;
var<private> w: array<vec4<f32>, 8>;

fn multiply_slab(own_row: u32, own_column: u32) {
    for (var k4 = 0u; k4 < SLAB4; k4++) {
        for (var j = 0u; j < 4u; j++) {
            let at = (4u * k4 + j) * W_STRIDE + own_column;
            w[2u * j] = w_tile[at];
            w[2u * j + 1u] = w_tile[at + 8u];
        }
        for (var m = 0u; m < 8u; m++) {
            let a = a_tile[(own_row + 8u * m) * A_STRIDE + k4];
            for (var c = 0u; c < 2u; c++) {
                acc[2u * m + c] += a.x * w[c] + a.y * w[2u + c] + a.z * w[4u + c] + a.w * w[6u + c];
            }
        }
    }
}
