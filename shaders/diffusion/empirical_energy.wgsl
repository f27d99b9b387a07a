// The exact intermediate energy of a finite data set, its gradient, or the noise that the set alone
// implies, one invocation per row.
//
//   d_i = x - alpha point_i      l_i = -half_precision |d_i|^2, half_precision = 1 / (2 sigma^2)
//   q = softmax(l), p = softmax(l - e)
//   MODE 1: E_t = logsumexp(l) - logsumexp(l - e)
//   MODE 2: dE_t/dx = (alpha / sigma^2) (sum q_i point_i - sum p_i point_i)
//       = (sum p_i d_i - sum q_i d_i) / sigma^2
//   MODE 3: eps = sum q_i d_i / sigma
//   Source: arXiv 2304.12824, the intermediate energy for q_0 the mean of points; e_i = beta E_i.
//
// points : [count, 4 BLOCKS] read, padded with zeros
// energies : [count] read (MODE 1 and 2, otherwise anything)
// x : [rows, dims] read, rows x_stride numbers apart
// out : [rows] (MODE 1) or packed [rows, dims], padding zero, written
// Defines: MODE, BLOCKS (dims / 4, rounded up, at most 4).
// Workgroup 64. Grid over rows invocations, folded over x and y. One loop over count points: a
// point's blocks are columns of a matrix, so that no round is spent on them.
// Numerics: sums of distances, not of points, which cancel at little noise; each relative to its
// own running maximum, so that energies may be of any size. scale = 1 / sigma^2 (MODE 2), 1 / sigma
// (MODE 3). A coordinate that is not finite shows.
//#include "lib/finite.wgsl"
//#include "lib/logsumexp.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    count: u32,
    x_stride: u32,
    alpha: f32,
    half_precision: f32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> energies: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn block_of_row(row: u32, block: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        if (4u * block + lane < params.dims) {
            values[lane] = x[row * params.x_stride + 4u * block + lane];
        }
    }
    return values;
}

fn from_point(place: mat4x4<f32>, index: u32) -> mat4x4<f32> {
    let at = index * BLOCKS;
    var apart: mat4x4<f32>;
    apart[0] = place[0] - params.alpha * points[at];
    if (BLOCKS > 1u) {
        apart[1] = place[1] - params.alpha * points[at + 1u];
    }
    if (BLOCKS > 2u) {
        apart[2] = place[2] - params.alpha * points[at + 2u];
    }
    if (BLOCKS > 3u) {
        apart[3] = place[3] - params.alpha * points[at + 3u];
    }
    return apart;
}

fn square(apart: mat4x4<f32>) -> f32 {
    var sum = dot(apart[0], apart[0]);
    if (BLOCKS > 1u) {
        sum += dot(apart[1], apart[1]);
    }
    if (BLOCKS > 2u) {
        sum += dot(apart[2], apart[2]);
    }
    if (BLOCKS > 3u) {
        sum += dot(apart[3], apart[3]);
    }
    return sum;
}

// A sum of distances weighted relative to the maximum of a running pair.
struct Mean {
    pair: vec2<f32>,
    sum: mat4x4<f32>,
}

fn mean_add(mean: Mean, l: f32, apart: mat4x4<f32>) -> Mean {
    let largest = max(mean.pair.x, l);
    let keep = exp_negative(mean.pair.x - largest);
    let weight = exp_negative(l - largest);
    var next: Mean;
    next.pair = vec2<f32>(largest, keep * mean.pair.y + weight);
    next.sum[0] = keep * mean.sum[0] + weight * apart[0];
    if (BLOCKS > 1u) {
        next.sum[1] = keep * mean.sum[1] + weight * apart[1];
    }
    if (BLOCKS > 2u) {
        next.sum[2] = keep * mean.sum[2] + weight * apart[2];
    }
    if (BLOCKS > 3u) {
        next.sum[3] = keep * mean.sum[3] + weight * apart[3];
    }
    return next;
}

fn store(row: u32, block: u32, values: vec4<f32>) {
    for (var lane = 0u; lane < 4u; lane++) {
        out[row * 4u * BLOCKS + 4u * block + lane] = params.scale * values[lane];
    }
}

@compute @workgroup_size(64, 1, 1)
fn empirical_energy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var place: mat4x4<f32>;
    place[0] = block_of_row(row, 0u);
    if (BLOCKS > 1u) {
        place[1] = block_of_row(row, 1u);
    }
    if (BLOCKS > 2u) {
        place[2] = block_of_row(row, 2u);
    }
    if (BLOCKS > 3u) {
        place[3] = block_of_row(row, 3u);
    }
    var plain: Mean;
    plain.pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    var tilted = plain;
    for (var index = 0u; index < params.count; index++) {
        let apart = from_point(place, index);
        let l = -params.half_precision * square(apart);
        if (MODE == 1u) {
            plain.pair = pair_add(plain.pair, l);
            tilted.pair = pair_add(tilted.pair, l - energies[index]);
        } else {
            plain = mean_add(plain, l, apart);
        }
        if (MODE == 2u) {
            tilted = mean_add(tilted, l - energies[index], apart);
        }
    }
    if (MODE == 1u) {
        // The difference of the maxima first: both are large far from the points.
        var value = (plain.pair.x - tilted.pair.x) + (log(plain.pair.y) - log(tilted.pair.y));
        // Weights of 0 would hide a coordinate that is not finite.
        for (var j = 0u; j < params.dims; j++) {
            let here = x[row * params.x_stride + j];
            value = select(here, value, is_finite(here));
        }
        out[row] = value;
        return;
    }
    var mean: mat4x4<f32>;
    mean[0] = plain.sum[0] / plain.pair.y;
    mean[1] = plain.sum[1] / plain.pair.y;
    mean[2] = plain.sum[2] / plain.pair.y;
    mean[3] = plain.sum[3] / plain.pair.y;
    if (MODE == 2u) {
        mean[0] = tilted.sum[0] / tilted.pair.y - mean[0];
        mean[1] = tilted.sum[1] / tilted.pair.y - mean[1];
        mean[2] = tilted.sum[2] / tilted.pair.y - mean[2];
        mean[3] = tilted.sum[3] / tilted.pair.y - mean[3];
    }
    store(row, 0u, mean[0]);
    if (BLOCKS > 1u) {
        store(row, 1u, mean[1]);
    }
    if (BLOCKS > 2u) {
        store(row, 2u, mean[2]);
    }
    if (BLOCKS > 3u) {
        store(row, 3u, mean[3]);
    }
}
