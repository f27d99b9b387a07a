// Ranking-NCE of a whole narrow network in one dispatch: forward, loss, output_gradient, backward
// to the parameters.
//
//   h_0 = (y - shift) scale      z_1 = b_1 + Wx (x - shift) scale + Wy h_0
//   z_l = b_l + W_l h_(l-1)      h_l = act(z_l)
//   E = b + w h_L      l[k] = -E[k] - log_q[k] (CORRECTION = 0: -E[k])
//   loss, ess : lib/ranking.wgsl
//   partials[g] = d(mean_b loss)/d(parameters), the part of the contexts of workgroup g
//
// parameters : flat, read      x : [contexts, x_width] read (x_width = 0: any buffer)
// y : [contexts, candidates, y_width] read
// log_q : [contexts, candidates] read (CORRECTION = 0: any buffer)
// network : RankingNetwork, read
// work : [contexts] of vec4 (loss, ess, 0, 0) written, then from work_first4 on scratch memory of
// each workgroup
// partials : [groups, parameters] written (all in vec4s; the network's padding holds zeros and its
// gradient, too)
// Defines: WORKGROUP, a power of two; ROW_BLOCK (at most 16), COLUMN_BLOCK4: rows and vec4s of
// columns per task; INPUT_BLOCK4 (at most 4): vec4s of inputs per task of a weight gradient;
// ACTIVATION (codes of lib/activation.wgsl); CORRECTION.
// Workgroup WORKGROUP x 1 x 1, at most 5 KiB. Grid ceil(contexts / per_group), folded over x and y.
// A workgroup walks over its contexts; its lanes share the tasks of a layer, through storage
// scratch. Widths at most 64.
// Numerics: forward sums as those of dense_forward.wgsl, i ascending in groups of four; gradients
// rows ascending, then contexts; the ranking as in lib/ranking.wgsl.
//#include "lib/activation.wgsl"
//#include "lib/packed_layer.wgsl"
//#include "lib/padding.wgsl"

struct Params {
    contexts: u32,
    candidates: u32,
    per_group: u32,
    x_width: u32,
    y_width: u32,
    layers: u32, // hidden ones
    context_weight4: u32,
    last_weight4: u32,
    last_bias4: u32,
    parameters4: u32,
    work_first4: u32,
    work_stride4: u32,
}

// Shared with the host.
const MAX_WIDTH4: u32 = 16u;
// Shared with the host.
const MAX_HIDDEN: u32 = 8u;

// A hidden layer and its matrices, in vec4s from the workgroup's scratch on.
// Shared with the host.
struct HiddenLayer {
    layer: PackedLayer,
    source: u32, // [candidates, inputs4] what goes in
    output: u32, // [candidates, outputs4]
    slope: u32, // the same; then the gradient in front of the activation
}

// Shared with the host.
struct RankingNetwork {
    hidden: array<HiddenLayer, MAX_HIDDEN>, // params.layers of them
    normalizer: array<u32>, // bits of shift and scale of x, shift and scale of y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> log_q: array<f32>;
@group(0) @binding(5) var<storage, read> network: RankingNetwork;
@group(0) @binding(6) var<storage, read_write> work: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

// A workgroup's scratch, in vec4s: the normalized context, what all candidates share of the first
// layer, of each candidate (logit, output_gradient, 0, 0), the normalized actions, then the layers'
// matrices.
const SHARED4: u32 = MAX_WIDTH4;
// Shared with the host.
const RANKS4: u32 = 2u * MAX_WIDTH4;

var<workgroup> last_column: array<vec4<f32>, MAX_WIDTH4>;
//#include "lib/ranking.wgsl"

var<private> acc: array<vec4<f32>, ROW_BLOCK * COLUMN_BLOCK4>;
var<private> w: array<vec4<f32>, 4u * COLUMN_BLOCK4>;
var<private> products: array<vec4<f32>, 4u * INPUT_BLOCK4 * COLUMN_BLOCK4>;

fn hidden(layer: u32) -> HiddenLayer {
    return network.hidden[layer];
}

fn normalizer(at: u32) -> f32 {
    return bitcast<f32>(network.normalizer[at]);
}

fn pack_inputs(lane: u32, context: u32, base: u32) {
    let x4 = (params.x_width + 3u) / 4u;
    for (var at = lane; at < x4; at += WORKGROUP) {
        var packed = vec4<f32>(0.0);
        for (var part = 0u; part < 4u; part++) {
            let j = 4u * at + part;
            if (j < params.x_width) {
                packed[part] = (x[context * params.x_width + j] - normalizer(j)) * normalizer(params.x_width + j);
            }
        }
        work[base + at] = packed;
    }
    let y4 = (params.y_width + 3u) / 4u;
    let first = context * params.candidates;
    let shift = 2u * params.x_width;
    for (var at = lane; at < params.candidates * y4; at += WORKGROUP) {
        let row = (first + at / y4) * params.y_width;
        var packed = vec4<f32>(0.0);
        for (var part = 0u; part < 4u; part++) {
            let j = 4u * (at % y4) + part;
            if (j < params.y_width) {
                packed[part] = (y[row + j] - normalizer(shift + j)) * normalizer(shift + params.y_width + j);
            }
        }
        work[base + RANKS4 + params.candidates + at] = packed;
    }
}

// What all candidates of a context share of the first layer's sums.
fn share_context(lane: u32, base: u32) {
    let first = hidden(0u);
    let x4 = (params.x_width + 3u) / 4u;
    for (var column = lane; column < first.layer.outputs4; column += WORKGROUP) {
        var sum = parameters[first.layer.bias + column];
        for (var k = 0u; k < x4; k++) {
            let a = work[base + k];
            let at = params.context_weight4 + 4u * k * first.layer.outputs4 + column;
            sum += a.x * parameters[at] + a.y * parameters[at + first.layer.outputs4]
                + a.z * parameters[at + 2u * first.layer.outputs4] + a.w * parameters[at + 3u * first.layer.outputs4];
        }
        work[base + SHARED4 + column] = sum;
    }
}

// Driver loops are unrolled up to a fixed cost only, so rows are walked in groups of four.
// All rows of a block begin with `w`.
fn start_rows(begin: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] = w[c];
        }
    }
}

fn multiply_rows(begin: u32, first_row: u32, source: u32, stride: u32, k: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        // Rows past the end repeat the last one: no branch around the loads.
        let a = work[source + min(first_row + m, params.candidates - 1u) * stride + k];
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] += a.x * w[c] + a.y * w[COLUMN_BLOCK4 + c]
                + a.z * w[2u * COLUMN_BLOCK4 + c] + a.w * w[3u * COLUMN_BLOCK4 + c];
        }
    }
}

fn store_rows(begin: u32, first_row: u32, first_column: u32, out: u32, columns4: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = first_row + m;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = first_column + c;
            if (row < params.candidates && column < columns4) {
                work[out + row * columns4 + column] = acc[m * COLUMN_BLOCK4 + c];
            }
        }
    }
}

fn forward_layer(lane: u32, layer: u32, base: u32) {
    let h = hidden(layer);
    let blocks = (h.layer.outputs4 + COLUMN_BLOCK4 - 1u) / COLUMN_BLOCK4;
    let tasks = blocks * ((params.candidates + ROW_BLOCK - 1u) / ROW_BLOCK);
    for (var task = lane; task < tasks; task += WORKGROUP) {
        let first_row = task / blocks * ROW_BLOCK;
        let first_column = task % blocks * COLUMN_BLOCK4;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = min(first_column + c, h.layer.outputs4 - 1u);
            var start: vec4<f32>;
            if (layer == 0u) {
                start = work[base + SHARED4 + column];
            } else {
                start = parameters[h.layer.bias + column];
            }
            w[c] = start;
        }
        start_rows(0u);
        start_rows(4u);
        start_rows(8u);
        start_rows(12u);
        for (var k = 0u; k < h.layer.inputs4; k++) {
            for (var j = 0u; j < 4u; j++) {
                let at = h.layer.weight + (4u * k + j) * h.layer.outputs4;
                for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                    w[j * COLUMN_BLOCK4 + c] = parameters[at + min(first_column + c, h.layer.outputs4 - 1u)];
                }
            }
            multiply_rows(0u, first_row, base + h.source, h.layer.inputs4, k);
            multiply_rows(4u, first_row, base + h.source, h.layer.inputs4, k);
            multiply_rows(8u, first_row, base + h.source, h.layer.inputs4, k);
            multiply_rows(12u, first_row, base + h.source, h.layer.inputs4, k);
        }
        // The sums go to memory first: an activation inside the unrolled loops is too large for
        // them.
        store_rows(0u, first_row, first_column, base + h.output, h.layer.outputs4);
        store_rows(4u, first_row, first_column, base + h.output, h.layer.outputs4);
        store_rows(8u, first_row, first_column, base + h.output, h.layer.outputs4);
        store_rows(12u, first_row, first_column, base + h.output, h.layer.outputs4);
        let rows = min(ROW_BLOCK, params.candidates - first_row);
        for (var m = 0u; m < rows; m++) {
            for (var column = first_column; column < min(first_column + COLUMN_BLOCK4, h.layer.outputs4); column++) {
                let at = base + (first_row + m) * h.layer.outputs4 + column;
                let a = activate(ACTIVATION, work[at + h.output]);
                work[at + h.output] = inside_only(a.value, column, h.layer.outputs);
                work[at + h.slope] = inside_only(a.slope, column, h.layer.outputs);
            }
        }
    }
}

// What the ranking asks for: `base` is where the workgroup's scratch begins.
fn first_logit(context: u32, base: u32, k: u32) -> f32 {
    let last = hidden(params.layers - 1u);
    var energy = parameters[params.last_bias4].x;
    var sound = is_finite(energy);
    for (var i = 0u; i < last.layer.outputs4; i++) {
        let h = work[base + last.output + k * last.layer.outputs4 + i];
        sound = sound & are_finite(h) & are_finite(last_column[i]);
        energy += dot(h, last_column[i]);
    }
    var logit = -energy;
    if (CORRECTION == 1u) {
        let density = log_q[context * params.candidates + k];
        sound = sound & is_finite(density);
        logit -= density;
    }
    work[base + RANKS4 + k] = vec4<f32>(logit, 0.0, 0.0, 0.0);
    return select(UNSOUND, logit, sound & is_finite(logit));
}

fn logit_again(base: u32, k: u32) -> f32 {
    return work[base + RANKS4 + k].x;
}

fn keep_energy_gradient(context: u32, base: u32, k: u32, value: f32) {
    work[base + RANKS4 + k].y = value;
}

// Energies, loss, effective sample size and the gradient of the mean loss at the energies.
fn rank(lane: u32, context: u32, base: u32) {
    let ranking = rank_candidates(lane, context, base);
    if (lane == 0u) {
        work[context] = vec4<f32>(ranking.loss, ranking.ess, 0.0, 0.0);
    }
}

// The gradient in front of the last activation.
fn seed_last(lane: u32, base: u32) {
    let last = hidden(params.layers - 1u);
    for (var at = lane; at < params.candidates * last.layer.outputs4; at += WORKGROUP) {
        let output_gradient = work[base + RANKS4 + at / last.layer.outputs4].y;
        let place = base + last.slope + at;
        work[place] = output_gradient * last_column[at % last.layer.outputs4] * work[place];
    }
}

fn multiply_back(begin: u32, first_row: u32, source: u32, stride: u32, k: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let d = work[source + min(first_row + m, params.candidates - 1u) * stride + k];
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            acc[m * COLUMN_BLOCK4 + c] +=
                vec4<f32>(dot(d, w[4u * c]), dot(d, w[4u * c + 1u]), dot(d, w[4u * c + 2u]), dot(d, w[4u * c + 3u]));
        }
    }
}

// The slopes at `place` become gradients.
fn scale_rows(begin: u32, first_row: u32, first_column: u32, place: u32, columns4: u32) {
    for (var m = begin; m < min(begin + 4u, ROW_BLOCK); m++) {
        let row = first_row + m;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let column = first_column + c;
            if (row < params.candidates && column < columns4) {
                let at = place + row * columns4 + column;
                work[at] = work[at] * acc[m * COLUMN_BLOCK4 + c];
            }
        }
    }
}

// From the gradient in front of a layer's activation to that in front of the layer's below.
fn backward_layer(lane: u32, layer: u32, base: u32) {
    let h = hidden(layer);
    let below = hidden(layer - 1u);
    let blocks = (h.layer.inputs4 + COLUMN_BLOCK4 - 1u) / COLUMN_BLOCK4;
    let tasks = blocks * ((params.candidates + ROW_BLOCK - 1u) / ROW_BLOCK);
    for (var task = lane; task < tasks; task += WORKGROUP) {
        let first_row = task / blocks * ROW_BLOCK;
        let first_column = task % blocks * COLUMN_BLOCK4;
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            w[c] = vec4<f32>(0.0);
        }
        start_rows(0u);
        start_rows(4u);
        start_rows(8u);
        start_rows(12u);
        for (var k = 0u; k < h.layer.outputs4; k++) {
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                let row = 4u * min(first_column + c, h.layer.inputs4 - 1u);
                for (var j = 0u; j < 4u; j++) {
                    w[4u * c + j] = parameters[h.layer.weight + (row + j) * h.layer.outputs4 + k];
                }
            }
            multiply_back(0u, first_row, base + h.slope, h.layer.outputs4, k);
            multiply_back(4u, first_row, base + h.slope, h.layer.outputs4, k);
            multiply_back(8u, first_row, base + h.slope, h.layer.outputs4, k);
            multiply_back(12u, first_row, base + h.slope, h.layer.outputs4, k);
        }
        let place = base + below.slope;
        scale_rows(0u, first_row, first_column, place, h.layer.inputs4);
        scale_rows(4u, first_row, first_column, place, h.layer.inputs4);
        scale_rows(8u, first_row, first_column, place, h.layer.inputs4);
        scale_rows(12u, first_row, first_column, place, h.layer.inputs4);
    }
}

fn add_partial(at: u32, value: vec4<f32>, fresh: bool) {
    if (fresh) {
        partials[at] = value;
    } else {
        partials[at] = partials[at] + value;
    }
}

// The gradient of the first bias. A context's sum is also what its own weights see.
fn first_bias_gradient(lane: u32, base: u32, part: u32, fresh: bool) {
    let first = hidden(0u);
    for (var column = lane; column < first.layer.outputs4; column += WORKGROUP) {
        var sum = vec4<f32>(0.0);
        for (var row = 0u; row < params.candidates; row++) {
            sum += work[base + first.slope + row * first.layer.outputs4 + column];
        }
        work[base + SHARED4 + column] = sum;
        add_partial(part + first.layer.bias + column, sum, fresh);
    }
}

fn context_weight_gradient(lane: u32, base: u32, part: u32, fresh: bool) {
    let outputs4 = hidden(0u).layer.outputs4;
    let x4 = (params.x_width + 3u) / 4u;
    for (var at = lane; at < 4u * x4 * outputs4; at += WORKGROUP) {
        let i = at / outputs4;
        let value = work[base + i / 4u][i % 4u] * work[base + SHARED4 + at % outputs4];
        add_partial(part + params.context_weight4 + at, value, fresh);
    }
}

fn bias_gradient(lane: u32, layer: u32, base: u32, part: u32, fresh: bool) {
    let h = hidden(layer);
    for (var column = lane; column < h.layer.outputs4; column += WORKGROUP) {
        var sum = vec4<f32>(0.0);
        for (var row = 0u; row < params.candidates; row++) {
            sum += work[base + h.slope + row * h.layer.outputs4 + column];
        }
        add_partial(part + h.layer.bias + column, sum, fresh);
    }
}

fn store_products(block: u32, first_input: u32, first_column: u32, h: HiddenLayer, weights: u32, fresh: bool) {
    if (block < INPUT_BLOCK4 && first_input + block < h.layer.inputs4) {
        for (var i = 4u * block; i < min(4u * block + 4u, 4u * INPUT_BLOCK4); i++) {
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                let column = first_column + c;
                if (column < h.layer.outputs4) {
                    let at = weights + (4u * first_input + i) * h.layer.outputs4 + column;
                    add_partial(at, products[i * COLUMN_BLOCK4 + c], fresh);
                }
            }
        }
    }
}

fn multiply_products(begin: u32, row: u32, first_input: u32, source: u32, inputs4: u32) {
    for (var i = begin; i < min(begin + 2u, INPUT_BLOCK4); i++) {
        let a = work[source + row * inputs4 + min(first_input + i, inputs4 - 1u)];
        for (var c = 0u; c < COLUMN_BLOCK4; c++) {
            let at = 4u * i * COLUMN_BLOCK4 + c;
            products[at] += a.x * w[c];
            products[at + COLUMN_BLOCK4] += a.y * w[c];
            products[at + 2u * COLUMN_BLOCK4] += a.z * w[c];
            products[at + 3u * COLUMN_BLOCK4] += a.w * w[c];
        }
    }
}

fn weight_gradient(lane: u32, layer: u32, base: u32, part: u32, fresh: bool) {
    let h = hidden(layer);
    let blocks = (h.layer.outputs4 + COLUMN_BLOCK4 - 1u) / COLUMN_BLOCK4;
    let tasks = blocks * ((h.layer.inputs4 + INPUT_BLOCK4 - 1u) / INPUT_BLOCK4);
    for (var task = lane; task < tasks; task += WORKGROUP) {
        let first_input = task / blocks * INPUT_BLOCK4;
        let first_column = task % blocks * COLUMN_BLOCK4;
        for (var at = 0u; at < 4u * INPUT_BLOCK4 * COLUMN_BLOCK4; at++) {
            products[at] = vec4<f32>(0.0);
        }
        for (var row = 0u; row < params.candidates; row++) {
            for (var c = 0u; c < COLUMN_BLOCK4; c++) {
                let column = min(first_column + c, h.layer.outputs4 - 1u);
                w[c] = work[base + h.slope + row * h.layer.outputs4 + column];
            }
            multiply_products(0u, row, first_input, base + h.source, h.layer.inputs4);
            multiply_products(2u, row, first_input, base + h.source, h.layer.inputs4);
        }
        store_products(0u, first_input, first_column, h, part + h.layer.weight, fresh);
        store_products(1u, first_input, first_column, h, part + h.layer.weight, fresh);
        store_products(2u, first_input, first_column, h, part + h.layer.weight, fresh);
        store_products(3u, first_input, first_column, h, part + h.layer.weight, fresh);
    }
}

fn last_gradient(lane: u32, base: u32, part: u32, fresh: bool) {
    let last = hidden(params.layers - 1u);
    for (var i = lane; i <= last.layer.outputs4; i += WORKGROUP) {
        var sum = vec4<f32>(0.0);
        for (var row = 0u; row < params.candidates; row++) {
            let output_gradient = work[base + RANKS4 + row].y;
            if (i < last.layer.outputs4) {
                sum += output_gradient * work[base + last.output + row * last.layer.outputs4 + i];
            } else {
                sum.x += output_gradient;
            }
        }
        if (i < last.layer.outputs4) {
            for (var part4 = 0u; part4 < 4u; part4++) {
                let value = vec4<f32>(sum[part4], 0.0, 0.0, 0.0);
                add_partial(part + params.last_weight4 + 4u * i + part4, value, fresh);
            }
        } else {
            add_partial(part + params.last_bias4, sum, fresh);
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn ranking_network(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Workgroups that folding adds have no contexts.
    let index = group.y * groups.x + group.x;
    let first_context = index * params.per_group;
    let base = params.work_first4 + index * params.work_stride4;
    let part = index * params.parameters4;
    var count = 0u;
    if (first_context < params.contexts) {
        count = min(params.per_group, params.contexts - first_context);
    }
    let last4 = hidden(params.layers - 1u).layer.outputs4;
    for (var i = lane; i < last4; i += WORKGROUP) {
        let at = params.last_weight4 + 4u * i;
        last_column[i] =
            vec4<f32>(parameters[at].x, parameters[at + 1u].x, parameters[at + 2u].x, parameters[at + 3u].x);
    }
    workgroupBarrier();
    for (var c = 0u; c < count; c++) {
        let context = first_context + c;
        let fresh = c == 0u;
        pack_inputs(lane, context, base);
        storageBarrier();
        share_context(lane, base);
        storageBarrier();
        for (var layer = 0u; layer < params.layers; layer++) {
            forward_layer(lane, layer, base);
            storageBarrier();
        }
        rank(lane, context, base);
        storageBarrier();
        seed_last(lane, base);
        storageBarrier();
        for (var above = 1u; above < params.layers; above++) {
            backward_layer(lane, params.layers - above, base);
            storageBarrier();
        }
        first_bias_gradient(lane, base, part, fresh);
        storageBarrier();
        context_weight_gradient(lane, base, part, fresh);
        for (var layer = 0u; layer < params.layers; layer++) {
            weight_gradient(lane, layer, base, part, fresh);
            if (layer > 0u) {
                bias_gradient(lane, layer, base, part, fresh);
            }
        }
        last_gradient(lane, base, part, fresh);
        storageBarrier();
    }
}
