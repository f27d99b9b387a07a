// Draws every sample anew among its context's samples by their weights, with replacement, and adds
// noise.
//
//   i = first k with cumulative[b, k] > u cumulative[b, last]
//   out_j = min(max(y[b, i]_j + noise step_scale (high_j - low_j) / 2 n_j, low_j), high_j)
//   Source: Florence et al. 2021, "Implicit Behavioral Cloning", derivative-free optimizer.
//
// box : [2, dims], low then high, read
// state : run state, read
// cumulative : [contexts, samples] read
// y : [contexts, samples, dims] read      out : the same, written
// Where the last sum is not finite no sample has a weight: it takes the place of all coordinates,
// so that it shows.
// Random: element row owns one uniform of `picks`, element row * ceil(dims / 4) + j / 4 four
// normals of `stream`.
// Workgroup 64. Grid over contexts * samples invocations, folded over x and y.
//#include "lib/finite.wgsl"
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    samples: u32,
    dims: u32,
    halvings: u32,
    picks: u32,
    stream: u32,
    inner: u32,
    noise: f32,
}

struct Knobs {
    step_scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> box: array<f32>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read> cumulative: array<f32>;
@group(0) @binding(5) var<storage, read> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn resample(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let first = row - row % params.samples;
    let total = cumulative[first + params.samples - 1u];
    let sound = is_finite(total);
    let u = uniform4(random_words4(state, row, params.picks, params.inner)).x;
    let goal = u * total;
    var low = 0u;
    var high = params.samples - 1u;
    for (var round = 0u; round < params.halvings; round++) {
        let middle = (low + high) / 2u;
        let here = cumulative[first + middle];
        // `here == total` ends the search at the last sample that has a weight, should `goal` round
        // up to the total.
        if (here > goal || here == total) {
            high = middle;
        } else {
            low = min(middle + 1u, high);
        }
    }
    let chosen = (first + high) * params.dims;
    let blocks = (params.dims + 3u) / 4u;
    let spread = 0.5 * params.noise * knobs.step_scale;
    for (var block = 0u; block < blocks; block++) {
        let n = normal4(random_words4(state, row * blocks + block, params.stream, params.inner));
        for (var lane = 0u; lane < 4u; lane++) {
            let j = 4u * block + lane;
            if (j < params.dims) {
                let least = box[j];
                let most = box[params.dims + j];
                let source = y[chosen + j];
                let moved = clamp(source + spread * (most - least) * n[lane], least, most);
                // A clamp would turn NaN into a border of the box.
                out[row * params.dims + j] = select(total, select(source, moved, is_finite(source)), sound);
            }
        }
    }
}
