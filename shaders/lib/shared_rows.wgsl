// The inner product of dense layers whose lanes, a subgroup of exactly 8, lie along columns: each
// lane owns ROW_BLOCK x COLUMN_BLOCK4 vec4 of sums and its own columns of the matrix, and shares
// one of eight rows by broadcast.
//
//   acc[m, c] += sum_j a_m[j] w[j, c], j = 0..3
//
// Defines: ROW_BLOCK (8, 16 or 32), COLUMN_BLOCK4 (vec4, at most 4).

var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
// Element (j, c) of the four rows of the matrix that are multiplied next.
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;

fn multiply_row(m: u32, a: vec4<f32>) {
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        acc[m * COLUMN_BLOCK4 + c] += a.x * w[c] + a.y * w[COLUMN_BLOCK4 + c]
            + a.z * w[2u * COLUMN_BLOCK4 + c] + a.w * w[3u * COLUMN_BLOCK4 + c];
    }
}

// Rows `begin` to `begin + 7`, whose four elements the lanes hold in order. Written out: a lane's
// number must be constant.
fn multiply_shared_rows(begin: u32, a: vec4<f32>) {
    multiply_row(begin, subgroupBroadcast(a, 0u));
    multiply_row(begin + 1u, subgroupBroadcast(a, 1u));
    multiply_row(begin + 2u, subgroupBroadcast(a, 2u));
    multiply_row(begin + 3u, subgroupBroadcast(a, 3u));
    multiply_row(begin + 4u, subgroupBroadcast(a, 4u));
    multiply_row(begin + 5u, subgroupBroadcast(a, 5u));
    multiply_row(begin + 6u, subgroupBroadcast(a, 6u));
    multiply_row(begin + 7u, subgroupBroadcast(a, 7u));
}
