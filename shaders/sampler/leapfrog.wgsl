// One inner leapfrog step of every chain's trajectory: a whole kick and a drift.
//
//   h = h - eps dE/dy(draft)      draft = draft + eps h
//   Source: Neal 2011, "MCMC using Hamiltonian dynamics", equations 5.18 to 5.20, neighbouring half kicks joined.
//
// box : [2, dims], low then high, read      gradient : [rows, dims], at the draft, read
// cache : [rows, 6 + dims]: eps read, "outside the box" written      momentum, draft : [rows, dims] written
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/chain.wgsl"

struct Params {
    rows: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> box: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> cache: array<f32>;
@group(0) @binding(4) var<storage, read_write> momentum: array<f32>;
@group(0) @binding(5) var<storage, read_write> draft: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn leapfrog(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let chain = row * (CHAIN_GRADIENT + params.dims);
    let eps = cache[chain + CHAIN_STEP];
    var outside = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let at = row * params.dims + j;
        let kicked = momentum[at] - eps * gradient[at];
        let moved = draft[at] + eps * kicked;
        momentum[at] = kicked;
        draft[at] = moved;
        outside = select(outside, 1.0, moved < box[j] || moved > box[params.dims + j]);
    }
    cache[chain + CHAIN_OUTSIDE] = outside;
}
