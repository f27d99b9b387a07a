// One step of unadjusted Langevin dynamics for all chains.
//
//   y = y - eta s^2 dE/dy + noise sqrt(2 eta temperature) s n, clamped to the box
//   eta = step * step_scale      s: scale of each dimension
//   Source: arXiv 2309.05803, sampling by the energy gradient; the noise is calibrated, so E is the
//     log-density's negative.
//
// gradient : [rows, dims] within rows of `gradient_stride` elements, from `gradient_first` on, read
// box : [3, dims], low, high and scale, read
// state : RunState, read
// y : [rows, dims] written
// Random: element row * ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3; `inner`
// is the chain's step.
// Workgroup 64. Grid over rows * ceil(dims / 4) invocations, folded over x and y.
//#include "lib/langevin.wgsl"
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    stream: u32,
    inner: u32,
    gradient_stride: u32,
    gradient_first: u32,
    step: f32,
    noise: f32,
}

struct Knobs {
    step_scale: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> box: array<f32>;
@group(0) @binding(4) var<storage, read> state: RunState;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn langevin(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = (params.dims + 3u) / 4u;
    let element = id.y * groups.x * 64u + id.x;
    if (element >= params.rows * blocks) {
        return;
    }
    let row = element / blocks;
    let first = 4u * (element % blocks);
    let eta = params.step * knobs.step_scale;
    let spread = langevin_spread(params.noise, eta, knobs.temperature);
    let n = normal4(random_words4(state, element, params.stream, params.inner));
    for (var lane = 0u; lane < 4u; lane++) {
        let j = first + lane;
        if (j < params.dims) {
            let at = row * params.dims + j;
            let energy_gradient = gradient[row * params.gradient_stride + params.gradient_first + j];
            let scale = box[2u * params.dims + j];
            y[at] = langevin_move(
                y[at], energy_gradient, scale, eta, spread * n[lane], box[j], box[params.dims + j]);
        }
    }
}
