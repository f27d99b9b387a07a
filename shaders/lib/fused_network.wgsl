// All layers of a narrow network for a slab of rows that stays in workgroup memory, in passes of
// one matrix product each.
//
//   passes 0 .. hidden - 1, forward: z_l = init_l + h_l W_l, h_(l + 1) = act_l(z_l)
//     h_0 = packed inputs      init_l = bias_l, and for layer 0
//     init_0 = start[r / candidates], the part that the rows of a context share, or the bias
//   passes hidden .. 2 hidden - 2, backward: d_l = (d_(l + 1) W_(l + 1)') act_l'(z_l)
//     d_(hidden - 1) = W_out[.., 0] act'(z)
//   out = bias + h_hidden W_out      gradient at the packed inputs = W_0 d_0
//
// The kernel declares `params` with the members named in NETWORK below and the bindings
//   parameters : flat, W k-major [4 inputs4, 4 outputs4], the same transposed behind it for
//     backward passes, read
//   start : packed [.., 4 outputs4 of layer 0], read
//   description : FusedDescription, read
//   slopes : [total4 + ..] [padded rows] vec4, act_l'(z_l) layer after layer
// NETWORK: rows, hidden (layers, at most 8), passes, inputs4 (of layer 0), start_offset,
// candidates, output_weight, output_bias, output4 (columns of the last layer), padded_rows (rows
// that slopes has room for: whole slabs); offsets in vec4.
//
// Defines: WORKGROUP, LANE_COLUMNS (lanes along columns, divides WORKGROUP), ROW_BLOCK (at most
// 16), COLUMN_BLOCK4 (at most 4), PAD4 (vec4s between rows of the slab), ACTIVATION (code of
// lib/activation.wgsl, or ACTIVATION_MIXED: each layer's own), VALUE, GRADIENT.
// Widths are at most 4 LANE_COLUMNS COLUMN_BLOCK4. Each lane owns ROW_BLOCK x COLUMN_BLOCK4 vec4 of
// every layer: it alone writes and reads the slopes there, which live in storage because 4 bytes x
// rows x the sum of widths do not fit beside the slab.
// Numerics: the sums of a pass over ascending inputs; those of the last layer and of the gradient
// at the inputs begin at an element that depends on the row alone.
//#include "lib/activation.wgsl"

const ROW_LANES: u32 = WORKGROUP / LANE_COLUMNS;
const SLAB_ROWS: u32 = ROW_LANES * ROW_BLOCK;
const SLAB_WIDTH4: u32 = LANE_COLUMNS * COLUMN_BLOCK4;
const SLAB_STRIDE4: u32 = SLAB_WIDTH4 + PAD4;
// Stands for a network whose layers have activations of their own.
// Shared with the host.
const ACTIVATION_MIXED: u32 = 10u;
// Shared with the host.
const MAX_PASSES: u32 = 16u;

// The product of a pass, in vec4s, and what happens to its sums.
// Shared with the host.
struct FusedPass {
    weight: u32,
    bias: u32, // forward passes
    inputs4: u32,
    outputs4: u32,
    slopes_before: u32, // columns of the layers before the one whose slopes the pass leaves or meets
    activation: u32, // of the layer, forward passes
}

// Shared with the host.
struct FusedDescription {
    passes: array<FusedPass, MAX_PASSES>, // params.passes of them
    numbers: array<vec4<u32>>, // bits of what else a kernel wants, rows of inputs4
}

var<workgroup> slab: array<vec4<f32>, SLAB_ROWS * SLAB_STRIDE4>;
var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;

// The first of a lane's rows within the slab, the first of its columns, and the first row of the
// slab.
struct Tile {
    row: u32,
    column: u32,
    base: u32,
}

fn tile_of(lane: u32, base: u32) -> Tile {
    return Tile(lane / LANE_COLUMNS, lane % LANE_COLUMNS, base);
}

// Driver loops are unrolled up to a fixed cost only: rows are walked in groups of four.
fn start_rows(begin: u32, tile: Tile, outputs4: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = min(tile.base + tile.row + m * ROW_LANES, params.rows - 1u);
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
            acc[m * COLUMN_BLOCK4 + c] = start[params.start_offset + (row / params.candidates) * outputs4 + column];
        }
    }
}

fn fill_rows(begin: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] = w[c];
        }
    }
}

fn multiply_rows(begin: u32, tile: Tile, k: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let a = slab[(tile.row + m * ROW_LANES) * SLAB_STRIDE4 + k];
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] += a.x * w[c] + a.y * w[COLUMN_BLOCK4 + c]
                + a.z * w[2u * COLUMN_BLOCK4 + c] + a.w * w[3u * COLUMN_BLOCK4 + c];
        }
    }
}

fn store_rows(begin: u32, tile: Tile) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            slab[(tile.row + m * ROW_LANES) * SLAB_STRIDE4 + tile.column + c * LANE_COLUMNS] = acc[m * COLUMN_BLOCK4 + c];
        }
    }
}

fn store_all(tile: Tile) {
    store_rows(0u, tile);
    store_rows(4u, tile);
    store_rows(8u, tile);
    store_rows(12u, tile);
}

// acc += slab W: the one inner product of all passes.
fn product(tile: Tile, weight: u32, inputs4: u32, outputs4: u32) {
    for (var k = 0u; k < inputs4; k++) {
        // Columns past the end repeat the last one.
        for (var j = 0u; j < 4u; j++) {
            let at = weight + (4u * k + j) * outputs4;
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                w[j * COLUMN_BLOCK4 + c] = parameters[at + min(tile.column + c * LANE_COLUMNS, outputs4 - 1u)];
            }
        }
        multiply_rows(0u, tile, k);
        multiply_rows(4u, tile, k);
        multiply_rows(8u, tile, k);
        multiply_rows(12u, tile, k);
    }
}

fn fill(tile: Tile, pass_index: u32, bias: u32, outputs4: u32) {
    if (pass_index == 0u) {
        start_rows(0u, tile, outputs4);
        start_rows(4u, tile, outputs4);
        start_rows(8u, tile, outputs4);
        start_rows(12u, tile, outputs4);
    } else {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let from_bias = parameters[bias + min(tile.column + c * LANE_COLUMNS, outputs4 - 1u)];
            w[c] = select(vec4<f32>(0.0), from_bias, pass_index < params.hidden);
        }
        fill_rows(0u);
        fill_rows(4u);
        fill_rows(8u);
        fill_rows(12u);
    }
}

// One pass over the slab, which holds what went in and then what comes out. Where no value is
// wanted, the last forward pass leaves the gradient at the sums of its layer.
fn run_pass(tile: Tile, pass_index: u32) {
    let place = description.passes[pass_index];
    let inputs4 = min(place.inputs4, SLAB_WIDTH4);
    let outputs4 = min(place.outputs4, SLAB_WIDTH4);
    fill(tile, pass_index, place.bias, outputs4);
    product(tile, place.weight, inputs4, outputs4);
    workgroupBarrier();
    store_all(tile);
    finish_tile(tile, pass_index, outputs4);
    workgroupBarrier();
}

// Over what the lane just stored: an activation inside the unrolled loops is too large for them.
fn finish_tile(tile: Tile, pass_index: u32, outputs4: u32) {
    let slopes_before = description.passes[pass_index].slopes_before;
    let code = select(ACTIVATION, description.passes[pass_index].activation, ACTIVATION == ACTIVATION_MIXED);
    let forward = pass_index < params.hidden;
    let seeds = GRADIENT == 1u && VALUE == 0u && pass_index + 1u == params.hidden;
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
        let seed = output_column(column);
        if (tile.column + c * LANE_COLUMNS < outputs4) {
            for (var m = 0u; m < ROW_BLOCK; m++) {
                let row = tile.row + m * ROW_LANES;
                let at = row * SLAB_STRIDE4 + column;
                let kept = slopes_before * params.padded_rows + (tile.base + row) * outputs4 + column;
                if (forward) {
                    let a = activate(code, slab[at]);
                    if (seeds) {
                        slab[at] = a.slope * seed;
                    } else {
                        slab[at] = a.value;
                        if (GRADIENT == 1u) {
                            slopes[kept] = a.slope;
                        }
                    }
                } else {
                    slab[at] = slab[at] * slopes[kept];
                }
            }
        }
    }
}

// W_out[4 column .., 0].
fn output_column(column: u32) -> vec4<f32> {
    if (GRADIENT == 0u) {
        return vec4<f32>(0.0);
    }
    let at = params.output_weight + 4u * column * params.output4;
    return vec4<f32>(
        parameters[at].x, parameters[at + params.output4].x,
        parameters[at + 2u * params.output4].x, parameters[at + 3u * params.output4].x);
}

// One vec4 of the last layer for one row of the slab, which holds h_hidden.
fn output_of(row: u32, column: u32) -> vec4<f32> {
    let inputs4 = min(description.passes[params.hidden - 1u].outputs4, SLAB_WIDTH4);
    var sum = parameters[params.output_bias + column];
    for (var j = 0u; j < inputs4; j++) {
        // Each row begins elsewhere, so that lanes meet different banks.
        let k = (row + j) % inputs4;
        let a = slab[row * SLAB_STRIDE4 + k];
        let at = params.output_weight + 4u * k * params.output4 + column;
        sum += a.x * parameters[at] + a.y * parameters[at + params.output4]
            + a.z * parameters[at + 2u * params.output4] + a.w * parameters[at + 3u * params.output4];
    }
    return sum;
}

// The gradient at the sums of the last hidden layer, from the kept slopes.
fn seed_tile(tile: Tile) {
    let pass_index = params.hidden - 1u;
    let outputs4 = min(description.passes[pass_index].outputs4, SLAB_WIDTH4);
    let before = description.passes[pass_index].slopes_before;
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
        let seed = output_column(column);
        if (tile.column + c * LANE_COLUMNS < outputs4) {
            for (var m = 0u; m < ROW_BLOCK; m++) {
                let row = tile.row + m * ROW_LANES;
                slab[row * SLAB_STRIDE4 + column] =
                    seed * slopes[before * params.padded_rows + (tile.base + row) * outputs4 + column];
            }
        }
    }
}

// One vec4 of the gradient at the packed inputs for one row of the slab, which holds the gradient
// at the first layer's sums.
fn input_gradient_of(row: u32, column: u32) -> vec4<f32> {
    let first = description.passes[0];
    let outputs4 = min(first.outputs4, SLAB_WIDTH4);
    var sum = vec4<f32>(0.0);
    for (var j = 0u; j < outputs4; j++) {
        let k = (row + j) % outputs4;
        let d = slab[row * SLAB_STRIDE4 + k];
        let at = first.weight + 4u * column * outputs4 + k;
        sum += vec4<f32>(
            dot(d, parameters[at]), dot(d, parameters[at + outputs4]),
            dot(d, parameters[at + 2u * outputs4]), dot(d, parameters[at + 3u * outputs4]));
    }
    return sum;
}
