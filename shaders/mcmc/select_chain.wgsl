// The chain of lowest energy of each context, one workgroup per context.
//
//   k* = argmin_k energy[b, k] (the first on ties)      best[b] = y[b, k*]
//   best_energy[b] = energy[b, k*]
//
// energy : [contexts, chains] read
// y : [contexts, chains, dims] read
// best : [contexts, dims] written      best_energy : [contexts] written
// A chain whose energy is not finite never wins (usable_energy.wgsl makes it so where the position
// is not); where all are such, the coordinates of best are NaN and its energy is 3.4e38.
// Workgroup 64, 512 bytes. Grid (contexts folded over x and y). Chains strided by 64.
//#include "lib/finite.wgsl"

const WORST: f32 = 3.4e38;

struct Params {
    contexts: u32,
    chains: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> best: array<f32>;
@group(0) @binding(4) var<storage, read_write> best_energy: array<f32>;

const TREE_LANES: u32 = 64u;
const TREE_WIDTH: u32 = 64u;

struct TreeValue {
    energy: f32,
    index: u32, // of the chain
}

fn tree_merge(a: TreeValue, b: TreeValue) -> TreeValue {
    if (b.energy < a.energy || (b.energy == a.energy && b.index < a.index)) {
        return b;
    }
    return a;
}
//#include "lib/tree.wgsl"

@compute @workgroup_size(64, 1, 1)
fn select_chain(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let context = group.y * groups.x + group.x;
    let inside = context < params.contexts;
    let first = min(context, params.contexts - 1u) * params.chains;
    // Lanes without a chain of their own stand above every finite energy.
    var lowest = WORST;
    var index = 0u;
    let rounds = (params.chains + 63u) / 64u;
    for (var round = 0u; round < rounds; round++) {
        let k = 64u * round + lane;
        if (k < params.chains) {
            let value = energy[first + k];
            if (is_finite(value) && value < lowest) {
                lowest = value;
                index = k;
            }
        }
    }
    let winner = tree_reduce(lane, TreeValue(lowest, index));
    let chosen = (first + winner.index) * params.dims;
    let copies = (params.dims + 63u) / 64u;
    for (var round = 0u; round < copies; round++) {
        let j = 64u * round + lane;
        if (inside && j < params.dims) {
            let bits = select(NOT_A_NUMBER, bitcast<u32>(y[chosen + j]), winner.energy < WORST);
            best[context * params.dims + j] = bitcast<f32>(bits);
        }
    }
    if (inside && lane == 0u) {
        best_energy[context] = winner.energy;
    }
}
