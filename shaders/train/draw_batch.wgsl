// Draws the rows of a batch and gathers them.
//
//   x[b] = data_x[i[b]]      y[b, 0] = data_y[i[b]]      with the row i[b] chosen by
//   DRAW 0, replacement: i[b] = high 32 bits of word0 * rows
//   DRAW 1, weighted:
//   j = high 32 bits of word0 * rows, i[b] = j if word1 < table[j].threshold, else
//     table[j].alias_row
//   DRAW 2, epochs:
//   position p = step * batch + b, epoch e = p / rows, i[b] = P_e(p mod rows), P_e a permutation of
//                        the rows made of SWAPS rounds r of: u' = (K_r - u) mod rows; u = u' if
//                          bit_r(max(u, u')) is set
//   Source of P_e: Hoang, Morris, Rogaway, CRYPTO 2012 (swap-or-not): each round pairs u with u'
//     and swaps the whole pair
//   or leaves it, so every round is a permutation of exactly the rows, whatever their number.
//
// data_x : [rows, x_width] read      data_y : [rows, y_width] read      state : RunState, read
// table : [rows] of AliasEntry, read (DRAW 1; any two words otherwise)
// x : [batch, x_width] written
// y : [batch, y_stride], the first y_width elements of each row written
// Random: DRAW 0 and 1, element b owns the block whose words 0 and 1 choose the row; the bias is
// below rows / 2^32. DRAW 2, the step counter holds the epoch and element q owns the block (K,
// salt, K, salt) of rounds 2q and 2q + 1.
// Workgroup 64. Grid over batch invocations, folded over x and y.
// Numerics: integers only, the same rows on every device. Positions are 64-bit and wrap beyond
// 2^64.
// Defines: DRAW 0 to 2; SWAPS, even.
//#include "lib/philox.wgsl"

struct Params {
    batch: u32,
    rows: u32,
    x_width: u32,
    y_width: u32,
    y_stride: u32,
    stream: u32,
}

// An entry of an alias table.
// Shared with the host.
struct AliasEntry {
    threshold: u32,
    alias_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data_x: array<f32>;
@group(0) @binding(2) var<storage, read> data_y: array<f32>;
@group(0) @binding(3) var<storage, read> table: array<AliasEntry>;
@group(0) @binding(4) var<storage, read> state: RunState;
@group(0) @binding(5) var<storage, read_write> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// (low, high) of step * batch + b.
fn position(run: RunState, b: u32) -> vec2<u32> {
    let product = run.step_low * params.batch;
    let low = product + b;
    let high = mul_high(run.step_low, params.batch) + run.step_high * params.batch + select(0u, 1u, low < b);
    return vec2<u32>(low, high);
}

struct Place {
    epoch_low: u32,
    epoch_high: u32,
    // Position within the epoch, below rows.
    at: u32,
}

// Long division of a position by the number of rows, a bit of the low half at a time.
fn place(p: vec2<u32>) -> Place {
    var rest = p.y % params.rows;
    var quotient = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
        // The 33rd bit of the doubled rest; the subtraction below is right modulo 2^32.
        let over = (rest >> 31u) == 1u;
        rest = (rest << 1u) | ((p.x >> (31u - bit)) & 1u);
        quotient = quotient << 1u;
        if (over || rest >= params.rows) {
            rest -= params.rows;
            quotient |= 1u;
        }
    }
    return Place(quotient, p.y / params.rows, rest);
}

// One hashed bit of a row and a round's salt; two rounds of multiply and shift.
fn hashed_bit(row: u32, salt: u32) -> bool {
    var word = row ^ salt;
    word = (word ^ (word >> 16u)) * 0x7feb352du;
    word = (word ^ (word >> 15u)) * 0x846ca68bu;
    return (word >> 31u) == 1u;
}

fn swap_or_not(row: u32, key: u32, salt: u32) -> u32 {
    let pivot = mul_high(key, params.rows);
    let partner = pivot - row + select(params.rows, 0u, row <= pivot);
    return select(row, partner, hashed_bit(max(row, partner), salt));
}

fn epoch_row(run: RunState, b: u32) -> u32 {
    let p = place(position(run, b));
    let epoch = RunState(p.epoch_low, p.epoch_high, run.seed_low, run.seed_high);
    var row = p.at;
    for (var pair = 0u; pair < SWAPS / 2u; pair++) {
        let words = random_words4(epoch, pair, params.stream, 0u);
        row = swap_or_not(row, words.x, words.y);
        row = swap_or_not(row, words.z, words.w);
    }
    return row;
}

fn random_row(run: RunState, b: u32) -> u32 {
    let words = random_words4(run, b, params.stream, 0u);
    let row = mul_high(words.x, params.rows);
    if (DRAW == 0u) {
        return row;
    }
    let entry = table[row];
    return select(entry.alias_row, row, words.y < entry.threshold);
}

fn chosen_row(run: RunState, b: u32) -> u32 {
    if (DRAW == 2u) {
        return epoch_row(run, b);
    }
    return random_row(run, b);
}

@compute @workgroup_size(64, 1, 1)
fn draw_batch(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let b = id.y * groups.x * 64u + id.x;
    if (b >= params.batch) {
        return;
    }
    let row = chosen_row(state, b);
    for (var j = 0u; j < params.x_width; j++) {
        x[b * params.x_width + j] = data_x[row * params.x_width + j];
    }
    for (var j = 0u; j < params.y_width; j++) {
        y[b * params.y_stride + j] = data_y[row * params.y_width + j];
    }
}
