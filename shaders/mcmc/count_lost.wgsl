// How many chains of each context are lost. One workgroup per context.
//
//   counts[b] = sum_k lost[b, k]
//
// lost : [contexts, chains] read, 0 or 1      counts : [contexts] written, as f32
// Workgroup 64, 512 bytes. Grid (contexts folded over x and y). Chains strided by 64.
// Numerics: exact up to 2^24 chains.

struct Params {
    contexts: u32,
    chains: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lost: array<f32>;
@group(0) @binding(2) var<storage, read_write> counts: array<f32>;

const TREE_LANES: u32 = 64u;
const TREE_WIDTH: u32 = 64u;
//#include "lib/tree_sum.wgsl"

@compute @workgroup_size(64, 1, 1)
fn count_lost(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let context = group.y * groups.x + group.x;
    let first = min(context, params.contexts - 1u) * params.chains;
    var count = 0.0;
    let rounds = (params.chains + 63u) / 64u;
    for (var round = 0u; round < rounds; round++) {
        let k = 64u * round + lane;
        if (k < params.chains) {
            count += lost[first + k];
        }
    }
    let total = tree_sum(lane, vec2<f32>(count, 0.0)).x;
    if (context < params.contexts && lane == 0u) {
        counts[context] = total;
    }
}
