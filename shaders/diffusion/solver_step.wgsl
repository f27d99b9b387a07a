// One update of a diffusion solver for all samples, with guidance.
//
//   e = noise + guidance_scale sigma dE/dx          (GUIDED = 0: e = noise)
//   m_0 = point_factor x + noise_factor e
//   next = start_factor b + model_0 m_0 + model_1 m_1 + model_2 m_2 + fresh z
//   previous_outputs: (m_1, m_2) read, (m_0, m_1) left; read only where model_1 or model_2 is not 0
//   Source: arXiv 2304.12824 (guidance, energy low = wanted), arXiv 2211.01095 (updates);
//       factors come from the host in f64.
//
// b : [rows, dims] read, the point that the update starts from
// x : [rows, dims] read, where the noise was evaluated
// noise : [rows] of `noise_stride` elements, read
// energy_gradient : dE/dx, [rows] of `slope_stride` elements, read (GUIDED = 1)
// previous_outputs : [2, rows, dims] read and written
// state : run state, read (FRESH = 1)
// next : [rows, dims] written
// GUIDED = 0: any buffer as `energy_gradient`. FRESH = 0: any run state.
// Random: element row * ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3; `inner`
// is the evaluation.
// Numerics: what is not finite in noise or energy_gradient stays so in the sample, so that it
// shows.
// Workgroup 64. Grid over rows * ceil(dims / 4) invocations, folded over x and y.
// Defines: GUIDED, FRESH 0 or 1.
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    noise_stride: u32,
    slope_stride: u32,
    stream: u32,
    inner: u32,
    sigma: f32,
    point_factor: f32,
    noise_factor: f32,
    start_factor: f32,
    model_0: f32,
    model_1: f32,
    model_2: f32,
    fresh: f32,
}

struct Knobs {
    guidance_scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> noise: array<f32>;
@group(0) @binding(5) var<storage, read> energy_gradient: array<f32>;
@group(0) @binding(6) var<storage, read> state: RunState;
@group(0) @binding(7) var<storage, read_write> previous_outputs: array<f32>;
@group(0) @binding(8) var<storage, read_write> next: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn solver_step(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = (params.dims + 3u) / 4u;
    let element = id.y * groups.x * 64u + id.x;
    if (element >= params.rows * blocks) {
        return;
    }
    let row = element / blocks;
    let first = 4u * (element % blocks);
    var fresh = vec4<f32>(0.0);
    if (FRESH == 1u) {
        fresh = params.fresh * normal4(random_words4(state, element, params.stream, params.inner));
    }
    let half = params.rows * params.dims;
    for (var lane = 0u; lane < 4u; lane++) {
        let j = first + lane;
        if (j < params.dims) {
            let at = row * params.dims + j;
            var e = noise[row * params.noise_stride + j];
            if (GUIDED == 1u) {
                e += knobs.guidance_scale * params.sigma * energy_gradient[row * params.slope_stride + j];
            }
            let newest = params.point_factor * x[at] + params.noise_factor * e;
            var sum = params.start_factor * b[at] + params.model_0 * newest + fresh[lane];
            // Memory holds nothing yet while its factors are 0.
            if (params.model_1 != 0.0) {
                sum += params.model_1 * previous_outputs[at];
            }
            if (params.model_2 != 0.0) {
                sum += params.model_2 * previous_outputs[half + at];
            }
            next[at] = sum;
            if (params.inner > 0u) {
                previous_outputs[half + at] = previous_outputs[at];
            }
            previous_outputs[at] = newest;
        }
    }
}
