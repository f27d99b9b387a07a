// Draws negatives from a uniform box and evaluates the density of all candidates.
//
//   y_j = low_j + (high_j - low_j) u_j for candidates first .. first + draws of each context
//   log q(y) = -sum_j ln(high_j - low_j) inside (borders included), OUTSIDE_LOG_DENSITY outside
//
// box : [2, dims], low then high, read      state : run state, read
// log_q : [contexts, candidates] written
// y : [contexts, candidates, dims], candidates outside the draws read, the others written
// log_density = -sum_j ln(high_j - low_j) comes from the host in f64 precision.
// Random: element (b * draws + k) * ceil(dims / 4) + j / 4 owns the uniforms of dimensions j .. j +
// 3.
// Workgroup 64. Grid over contexts * candidates invocations, folded over x and y.
//#include "lib/philox.wgsl"
//#include "lib/uniform_box.wgsl"

struct Params {
    contexts: u32,
    candidates: u32,
    first: u32,
    draws: u32,
    dims: u32,
    log_density: f32,
    stream: u32,
    inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> box: array<f32>;
@group(0) @binding(2) var<storage, read> state: RunState;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_q: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn uniform_propose(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let place = id.y * groups.x * 64u + id.x;
    if (place >= params.contexts * params.candidates) {
        return;
    }
    let k = place % params.candidates;
    let drawn = k >= params.first && k - params.first < params.draws;
    let draw = place / params.candidates * params.draws + k - params.first;
    let blocks = (params.dims + 3u) / 4u;
    var inside = true;
    var sound = true;
    for (var block = 0u; block < blocks; block++) {
        let u = uniform4(random_words4(state, draw * blocks + block, params.stream, params.inner));
        for (var lane = 0u; lane < 4u; lane++) {
            let j = 4u * block + lane;
            if (j < params.dims) {
                let low = box[j];
                let high = box[params.dims + j];
                if (drawn) {
                    y[place * params.dims + j] = low + (high - low) * u[lane];
                }
                let value = y[place * params.dims + j];
                inside = inside && value >= low && value <= high;
                sound = sound & is_finite(value);
            }
        }
    }
    log_q[place] = box_log_density(params.log_density, inside, sound);
}
