// Ranking-NCE loss, the gradient at the energies and the effective sample size, one workgroup per context.
//
//   l[b, k] = -E[b, k] - log_q[b, k]      (CORRECTION = 0: -E[b, k], which is InfoNCE)
//   loss[b] = log-sum-exp_k l[b, k] - l[b, 0]      w = softmax_k l      ess[b] = 1 / sum_k w[b, k]^2
//   energy_gradient[b, k] = d(mean_b loss)/dE[b, k] = ([k = 0] - w[b, k]) / contexts
//   Source: arXiv 2309.05803, ranking objective; candidate 0 is the demonstration.
//
// energy : [contexts * candidates] with `energy_stride` elements per row, read
// log_q : [contexts, candidates] read (CORRECTION = 0: any buffer)
// energy_gradient : packed [contexts * candidates, 1] written, padding 0      loss, ess : [contexts] written
// Workgroup 64, 768 bytes. Grid (contexts folded over x and y). Candidates strided by 64.
// Numerics: running (maximum, sum) pairs merged in a tree of fixed shape; finite for |E|, |log q| <= 1e36.
//#include "lib/logsumexp.wgsl"

struct Params {
    contexts: u32,
    candidates: u32,
    energy_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> log_q: array<f32>;
@group(0) @binding(3) var<storage, read_write> energy_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> ess: array<f32>;

var<workgroup> pairs: array<vec2<f32>, 64>;
var<workgroup> squares: array<f32, 64>;

fn logit(at: u32) -> f32 {
    if (CORRECTION == 1u) {
        return -energy[at * params.energy_stride] - log_q[at];
    }
    return -energy[at * params.energy_stride];
}

@compute @workgroup_size(64, 1, 1)
fn ranking_nce(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Workgroups past the end repeat the last context's reads and write nothing: no return before a barrier.
    let context = group.y * groups.x + group.x;
    let inside = context < params.contexts;
    let first = min(context, params.contexts - 1u) * params.candidates;
    let rounds = (params.candidates + 63u) / 64u;

    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var round = 0u; round < rounds; round++) {
        let k = 64u * round + lane;
        if (k < params.candidates) {
            pair = pair_add(pair, logit(first + k));
        }
    }
    pairs[lane] = pair;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width / 2u) {
        if (lane < width) {
            pairs[lane] = pair_merge(pairs[lane], pairs[lane + width]);
        }
        workgroupBarrier();
    }
    let total = pairs[0];

    var square = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let k = 64u * round + lane;
        if (k < params.candidates) {
            let w = exp_negative(logit(first + k) - total.x) / total.y;
            square += w * w;
            if (inside) {
                let seed = (select(0.0, 1.0, k == 0u) - w) / f32(params.contexts);
                energy_gradient[first + k] = vec4<f32>(seed, 0.0, 0.0, 0.0);
            }
        }
    }
    squares[lane] = square;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width / 2u) {
        if (lane < width) {
            squares[lane] += squares[lane + width];
        }
        workgroupBarrier();
    }
    if (lane == 0u && inside) {
        // The maximum first: at 1e30 the difference is exact where the sum would absorb the logarithm.
        loss[context] = (total.x - logit(first)) + log(total.y);
        ess[context] = 1.0 / squares[0];
    }
}
