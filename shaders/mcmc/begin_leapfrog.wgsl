// Begins a trajectory of every chain: draws momenta and takes the first half kick and the first
// drift.
//
//   p = sqrt(T) n      K = |p|^2 / 2      h = p - eps/2 s dE/dy(y)      proposed = y + eps s h
//   s, the scale of each dimension: masses 1 / s^2, momenta in units of 1 / s
//   size = step * step_scale * step_adaptation.factor
//   eps = size, or sqrt(2 size) where SQUARED = 1
//   T = temperature (param) * temperature (knob)
//   With one leapfrog step and SQUARED = 1 this is the proposal of the Metropolis-adjusted Langevin
//     algorithm,
//   proposed = y - size s^2 dE/dy + sqrt(2 size T) s n. Source: Neal 2011, "MCMC using Hamiltonian
//     dynamics", 5.2 and 5.5.
//
// box : [2, dims], low then high, read      state : RunState, read
// step_adaptation : StepAdaptation, read
// y : [rows, dims] read
// cache : rows of Chain, see lib/chain.wgsl: gradient, scales read; kinetic, step, outside written
// momentum, proposed : [rows, dims] written
// Random: element row * ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3; `inner`
// is the chain's step.
// Defines: SQUARED (1: sizes are eps^2 / 2). Workgroup 64. Grid over rows invocations, folded over
// x and y.
//#include "lib/chain_store.wgsl"
//#include "lib/philox.wgsl"
//#include "lib/step_adaptation.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    stream: u32,
    inner: u32,
    step: f32,
    temperature: f32,
}

struct Knobs {
    step_scale: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> box: array<f32>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read> step_adaptation: StepAdaptation;
@group(0) @binding(5) var<storage, read> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> cache: array<f32>;
@group(0) @binding(7) var<storage, read_write> momentum: array<f32>;
@group(0) @binding(8) var<storage, read_write> proposed: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn begin_leapfrog(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let size = params.step * knobs.step_scale * step_adaptation.factor;
    var eps = size;
    if (SQUARED == 1u) {
        eps = sqrt(2.0 * size);
    }
    let spread = sqrt(params.temperature * knobs.temperature);
    let blocks = (params.dims + 3u) / 4u;
    var kinetic = 0.0;
    var outside = 0.0;
    for (var block = 0u; block < blocks; block++) {
        let n = normal4(random_words4(state, row * blocks + block, params.stream, params.inner));
        for (var lane = 0u; lane < 4u; lane++) {
            let j = 4u * block + lane;
            if (j < params.dims) {
                let at = row * params.dims + j;
                let p = spread * n[lane];
                kinetic += 0.5 * p * p;
                let scale = cache[chain_scale_at(j)];
                let kicked = p - 0.5 * eps * (scale * cache[chain_gradient_at(row, j)]);
                let moved = y[at] + eps * (scale * kicked);
                momentum[at] = kicked;
                proposed[at] = moved;
                outside = select(outside, 1.0, moved < box[j] || moved > box[params.dims + j]);
            }
        }
    }
    var chain = load_chain(row);
    chain.kinetic = kinetic;
    chain.step = eps;
    chain.outside = outside;
    store_chain(row, chain);
}
