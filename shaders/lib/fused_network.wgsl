// All layers of a narrow network for a slab of rows that stays in workgroup memory.
//
//   h_0 = packed inputs      z_l = init_l + h_l W_l      h_(l + 1) = act_l(z_l)      l < hidden
//   out = bias + h_hidden W_out      d_hidden = W_out[.., 0]      d_l = W_l (d_(l + 1) act_l'(z_l))
//   init_0 = start[r / candidates], the part that the rows of a context share, or the bias; init_l = bias_l
//
// The kernel declares `params` with the members named in NETWORK below and the bindings
//   parameters : flat, W k-major [4 inputs4, 4 outputs4], read      start : packed [.., 4 outputs4 of layer 0], read
//   description : two vec4 per hidden layer (weight, bias, inputs4, outputs4; slopes of the layers before, activation, -, -),
//   then what else a kernel wants, read
//   slopes : [total4 + inputs4, padded rows] vec4, act_l'(z_l) layer after layer, then the gradient at the packed inputs
// NETWORK: rows, hidden (layers, at most 8), total4 (sum of their outputs4), inputs4 (of layer 0), start_offset, candidates,
// output_weight, output_bias, output4 (columns of the last layer); offsets in vec4.
//
// Defines: WORKGROUP, LANE_COLUMNS (lanes along columns, divides WORKGROUP), ROW_BLOCK (at most 32), COLUMN_BLOCK4 (at most 4),
// PAD4 (vec4s between rows of the slab), ACTIVATION (code of lib/activation.wgsl, 6: each layer's own), VALUE, GRADIENT.
// Widths are at most 4 LANE_COLUMNS COLUMN_BLOCK4. Each lane owns ROW_BLOCK x COLUMN_BLOCK4 vec4 of every layer: it alone
// writes and reads the slopes there, which live in storage because 4 bytes x rows x the sum of widths do not fit beside the slab.
// Numerics: the sums of a hidden layer over ascending inputs; those of the last layer and of the gradient at the inputs
// begin at an element that depends on the row alone.
//#include "lib/activation.wgsl"

const ROW_LANES: u32 = WORKGROUP / LANE_COLUMNS;
const SLAB_ROWS: u32 = ROW_LANES * ROW_BLOCK;
const SLAB_WIDTH4: u32 = LANE_COLUMNS * COLUMN_BLOCK4;
const SLAB_STRIDE4: u32 = SLAB_WIDTH4 + PAD4;
const MOST_LAYERS: u32 = 8u;

var<workgroup> slab: array<vec4<f32>, SLAB_ROWS * SLAB_STRIDE4>;
var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;

// The first of a lane's rows within the slab, the first of its columns, and the first row of the slab.
struct Tile {
    row: u32,
    column: u32,
    base: u32,
}

fn tile_of(lane: u32, base: u32) -> Tile {
    return Tile(lane / LANE_COLUMNS, lane % LANE_COLUMNS, base);
}

fn code_of(layer: u32) -> u32 {
    if (ACTIVATION == 6u) {
        return description[2u * layer + 1u].y;
    }
    return ACTIVATION;
}

fn slope_at(layer: u32, row: u32, outputs4: u32, column: u32, padded_rows: u32) -> u32 {
    return description[2u * layer + 1u].x * padded_rows + row * outputs4 + column;
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

// Starts from the first column block of `w`.
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

fn multiply_all(tile: Tile, k: u32) {
    multiply_rows(0u, tile, k);
    multiply_rows(4u, tile, k);
    multiply_rows(8u, tile, k);
    multiply_rows(12u, tile, k);
    multiply_rows(16u, tile, k);
    multiply_rows(20u, tile, k);
    multiply_rows(24u, tile, k);
    multiply_rows(28u, tile, k);
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
    store_rows(16u, tile);
    store_rows(20u, tile);
    store_rows(24u, tile);
    store_rows(28u, tile);
}

// acc += slab W, the inner product of the forward pass.
fn product(tile: Tile, weight: u32, inputs4: u32, outputs4: u32) {
    for (var k = 0u; k < inputs4; k++) {
        // Columns past the end repeat the last one.
        for (var j = 0u; j < 4u; j++) {
            let at = weight + (4u * k + j) * outputs4;
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                w[j * COLUMN_BLOCK4 + c] = parameters[at + min(tile.column + c * LANE_COLUMNS, outputs4 - 1u)];
            }
        }
        multiply_all(tile, k);
    }
}

// acc += slab W', the inner product of the backward pass.
fn product_transposed(tile: Tile, weight: u32, inputs4: u32, outputs4: u32) {
    for (var k = 0u; k < outputs4; k++) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let at = weight + 4u * min(tile.column + c * LANE_COLUMNS, inputs4 - 1u) * outputs4 + k;
            let t = transpose(mat4x4<f32>(
                parameters[at], parameters[at + outputs4], parameters[at + 2u * outputs4], parameters[at + 3u * outputs4]));
            w[c] = t[0];
            w[COLUMN_BLOCK4 + c] = t[1];
            w[2u * COLUMN_BLOCK4 + c] = t[2];
            w[3u * COLUMN_BLOCK4 + c] = t[3];
        }
        multiply_all(tile, k);
    }
}

// From packed inputs in the slab through all hidden layers. Leaves h_hidden there or, where no value is wanted, the gradient
// at the sums of the last hidden layer.
fn forward_hidden(tile: Tile, padded_rows: u32) {
    for (var layer = 0u; layer < min(params.hidden, MOST_LAYERS); layer++) {
        let place = description[2u * layer];
        let inputs4 = min(place.z, SLAB_WIDTH4);
        let outputs4 = min(place.w, SLAB_WIDTH4);
        if (layer == 0u) {
            start_rows(0u, tile, outputs4);
            start_rows(4u, tile, outputs4);
            start_rows(8u, tile, outputs4);
            start_rows(12u, tile, outputs4);
            start_rows(16u, tile, outputs4);
            start_rows(20u, tile, outputs4);
            start_rows(24u, tile, outputs4);
            start_rows(28u, tile, outputs4);
        } else {
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                w[c] = parameters[place.y + min(tile.column + c * LANE_COLUMNS, outputs4 - 1u)];
            }
            fill_rows(0u);
            fill_rows(4u);
            fill_rows(8u);
            fill_rows(12u);
            fill_rows(16u);
            fill_rows(20u);
            fill_rows(24u);
            fill_rows(28u);
        }
        product(tile, place.x, inputs4, outputs4);
        workgroupBarrier();
        store_all(tile);
        activate_tile(tile, layer, outputs4, padded_rows);
        workgroupBarrier();
    }
}

// Over what the lane just stored: an activation inside the unrolled loops is too large for them.
fn activate_tile(tile: Tile, layer: u32, outputs4: u32, padded_rows: u32) {
    let code = code_of(layer);
    let seeds = GRADIENT == 1u && VALUE == 0u && layer + 1u == params.hidden;
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
        let seed = output_column(column);
        if (tile.column + c * LANE_COLUMNS < outputs4) {
            for (var m = 0u; m < ROW_BLOCK; m++) {
                let row = tile.row + m * ROW_LANES;
                let at = row * SLAB_STRIDE4 + column;
                let a = activate(code, slab[at]);
                if (seeds) {
                    slab[at] = a.slope * seed;
                } else {
                    slab[at] = a.value;
                    if (GRADIENT == 1u) {
                        slopes[slope_at(layer, tile.base + row, outputs4, column, padded_rows)] = a.slope;
                    }
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
    let inputs4 = min(description[2u * params.hidden - 2u].w, SLAB_WIDTH4);
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
fn seed_tile(tile: Tile, padded_rows: u32) {
    let layer = params.hidden - 1u;
    let outputs4 = min(description[2u * layer].w, SLAB_WIDTH4);
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
        let seed = output_column(column);
        for (var m = 0u; m < ROW_BLOCK; m++) {
            let row = tile.row + m * ROW_LANES;
            if (tile.column + c * LANE_COLUMNS < outputs4) {
                slab[row * SLAB_STRIDE4 + column] =
                    seed * slopes[slope_at(layer, tile.base + row, outputs4, column, padded_rows)];
            }
        }
    }
}

// From the gradient at the sums of the last hidden layer to that at the sums of the first, both in the slab.
fn backward_hidden(tile: Tile, padded_rows: u32) {
    for (var step = 1u; step < min(params.hidden, MOST_LAYERS); step++) {
        let layer = params.hidden - step;
        let place = description[2u * layer];
        let inputs4 = min(place.z, SLAB_WIDTH4);
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            w[c] = vec4<f32>(0.0);
        }
        fill_rows(0u);
        fill_rows(4u);
        fill_rows(8u);
        fill_rows(12u);
        fill_rows(16u);
        fill_rows(20u);
        fill_rows(24u);
        fill_rows(28u);
        product_transposed(tile, place.x, inputs4, min(place.w, SLAB_WIDTH4));
        workgroupBarrier();
        store_all(tile);
        slope_tile(tile, layer - 1u, inputs4, padded_rows);
        workgroupBarrier();
    }
}

fn slope_tile(tile: Tile, layer: u32, outputs4: u32, padded_rows: u32) {
    for (var c = 0u; c < COLUMN_BLOCK4; c++) {
        let column = min(tile.column + c * LANE_COLUMNS, outputs4 - 1u);
        if (tile.column + c * LANE_COLUMNS < outputs4) {
            for (var m = 0u; m < ROW_BLOCK; m++) {
                let row = tile.row + m * ROW_LANES;
                let at = row * SLAB_STRIDE4 + column;
                slab[at] = slab[at] * slopes[slope_at(layer, tile.base + row, outputs4, column, padded_rows)];
            }
        }
    }
}

// One vec4 of the gradient at the packed inputs for one row of the slab, which holds the gradient at the first layer's sums.
fn input_gradient_of(row: u32, column: u32) -> vec4<f32> {
    let place = description[0];
    let outputs4 = min(place.w, SLAB_WIDTH4);
    var sum = vec4<f32>(0.0);
    for (var j = 0u; j < outputs4; j++) {
        let k = (row + j) % outputs4;
        let d = slab[row * SLAB_STRIDE4 + k];
        let at = place.x + 4u * column * outputs4 + k;
        sum += vec4<f32>(
            dot(d, parameters[at]), dot(d, parameters[at + outputs4]),
            dot(d, parameters[at + 2u * outputs4]), dot(d, parameters[at + 3u * outputs4]));
    }
    return sum;
}

// Where the gradient of a row at the packed inputs is kept.
fn gradient_at(row: u32, column: u32, padded_rows: u32) -> u32 {
    return params.total4 * padded_rows + row * params.inputs4 + column;
}
