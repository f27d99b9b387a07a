// Settles a move of unadjusted Langevin dynamics: a chain stays where its energy and gradient are
// finite, and goes back to its last such point otherwise.
//
//   sound = E(y), dE/dy and y are finite
//   first, sound     : kept = (y, dE/dy)
//   first, not sound : the chain is dead, all of y and of the kept gradient is NaN
//   later, sound     : kept = (y, dE/dy)
//   later, not sound : y = kept y, and the chain's count of refused moves grows by 1
//
// energy : rows of one number, `energy_stride` elements apart, read
// gradient : [rows, dims] read      y : [rows, dims] read and written
// memory : rows of SettledChain with kept y and kept gradient behind it,
// [rows, SETTLED_WORDS + 2 dims], written
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/finite.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    energy_stride: u32,
    first: u32, // 1 for where the chains start
}

// Shared with the host.
struct SettledChain {
    refused: f32, // moves so far
    dead: f32, // 1 if the start or its energy or gradient is not finite: it never moves
}
// Shared with the host.
const SETTLED_WORDS: u32 = 2u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> memory: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn settle_move(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let chain = row * (SETTLED_WORDS + 2u * params.dims);
    let point = chain + SETTLED_WORDS;
    let kept_gradient = point + params.dims;
    var sound = is_finite(energy[row * params.energy_stride]);
    for (var j = 0u; j < params.dims; j++) {
        let at = row * params.dims + j;
        sound = sound && is_finite(gradient[at]) && is_finite(y[at]);
    }
    var settled = SettledChain(0.0, select(1.0, 0.0, sound));
    if (params.first == 0u) {
        settled = SettledChain(memory[chain], memory[chain + 1u]);
        settled.refused += select(1.0, 0.0, sound || settled.dead == 1.0);
    }
    for (var j = 0u; j < params.dims; j++) {
        let at = row * params.dims + j;
        if (settled.dead == 1.0) {
            // From bits that the compiler does not see through.
            let lost = bitcast<f32>(select(0u, NOT_A_NUMBER, settled.dead == 1.0));
            y[at] = lost;
            memory[kept_gradient + j] = lost;
        } else if (sound) {
            memory[point + j] = y[at];
            memory[kept_gradient + j] = gradient[at];
        } else {
            y[at] = memory[point + j];
        }
    }
    memory[chain] = settled.refused;
    memory[chain + 1u] = settled.dead;
}
