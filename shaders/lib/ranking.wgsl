// The ranking of a context's candidates by a workgroup, from their logits l[k].
//
//   loss = log-sum-exp_k l[k] - l[0]      w = softmax_k l      ess = 1 / sum_k w[k]^2
//   d(mean loss)/dE[k] = ([k = 0] - w[k]) / contexts, for l[k] = -E[k] + ..
//   Source: arXiv 2309.05803, ranking objective; candidate 0 is the demonstration.
//
// The includer has params.{contexts, candidates}, defines WORKGROUP, a power of two, and
//   fn first_logit(context, base, k) -> f32         l[k], asked for once; UNSOUND where something
//                                                   that it is made of is not finite
//   fn logit_again(base, k) -> f32                  l[k] after that, on the lane that asked first
//   fn keep_energy_gradient(context, base, k, value)
// Candidates are strided by WORKGROUP. `context` and `base` are handed on to those functions.
// Numerics: running (maximum, sum) pairs merged in a tree of fixed shape; finite for |E|, |log q|
// <= MAX_MAGNITUDE. A context with an unsound logit leaves NaN in loss, ess and all its gradient: a
// sum of exponentials would count it as 0.
//#include "lib/finite.wgsl"
//#include "lib/logsumexp.wgsl"

const TREE_LANES: u32 = WORKGROUP;
const TREE_WIDTH: u32 = WORKGROUP;
alias TreeValue = vec2<f32>;

fn tree_merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return pair_merge(a, b);
}
//#include "lib/tree.wgsl"
//#include "lib/tree_sum.wgsl"

// Above every logit: no maximum but that of a context with an unsound one.
const UNSOUND: f32 = 3.4028234e38;

// Of lane 0 alone.
struct Ranking {
    loss: f32,
    ess: f32,
}

fn rank_candidates(lane: u32, context: u32, base: u32) -> Ranking {
    let rounds = (params.candidates + WORKGROUP - 1u) / WORKGROUP;
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var round = 0u; round < rounds; round++) {
        let k = WORKGROUP * round + lane;
        if (k < params.candidates) {
            pair = pair_add(pair, first_logit(context, base, k));
        }
    }
    let total = tree_reduce(lane, pair);
    let bad = select(0u, NOT_A_NUMBER, total.x >= UNSOUND);
    var square = 0.0;
    for (var round = 0u; round < rounds; round++) {
        let k = WORKGROUP * round + lane;
        if (k < params.candidates) {
            let weight = exp_negative(logit_again(base, k) - total.x) / total.y;
            square += weight * weight;
            let gradient = (select(0.0, 1.0, k == 0u) - weight) / f32(params.contexts);
            keep_energy_gradient(context, base, k, select(bitcast<f32>(bad), gradient, bad == 0u));
        }
    }
    let squares = tree_sum(lane, vec2<f32>(square, 0.0)).x;
    var ranking = Ranking(0.0, select(bitcast<f32>(bad), 1.0 / squares, bad == 0u));
    if (lane == 0u) {
        // The maximum first: at 1e30 the difference is exact where the sum would absorb the
        // logarithm.
        let loss = (total.x - logit_again(base, 0u)) + log(total.y);
        ranking.loss = select(bitcast<f32>(bad), loss, bad == 0u);
    }
    return ranking;
}
