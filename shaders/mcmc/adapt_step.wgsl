// One step of learning the step size: dual averaging of the mean acceptance probability over the
// chains that live. Dead ones never move at any size; without a living one nothing is learned.
//
//   a = mean over living rows of min(1, exp(gain / T))
//   d = keep d + fresh (target_acceptance - a)
//   log f = center - pull d      m = weight log f + (1 - weight) m
//   factor = exp(log f), at the last step exp(m)
//   keep = 1 - 1 / (t + t0), fresh = 1 / (t + t0), pull = sqrt(t) / gamma, weight = t^-kappa, t =
//     1, 2, ..
//   Source: Hoffman & Gelman 2014, "The No-U-Turn Sampler", equation 6.
//
// cache : rows of Chain, see lib/chain.wgsl, read
// step_adaptation : StepAdaptation, written: factor, m, d, a
// Workgroup 256, 2048 bytes. Grid (1, 1, 1). Rows strided by 256.
// Numerics: 256 partial sums, then a tree of fixed shape; log f within +-23.
//#include "lib/chain.wgsl"
//#include "lib/step_adaptation.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    last: u32,
    keep: f32,
    fresh: f32,
    pull: f32,
    weight: f32,
    center: f32,
    target_mean: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cache: array<f32>;
@group(0) @binding(2) var<storage, read_write> step_adaptation: StepAdaptation;

const TREE_LANES: u32 = 256u;
const TREE_WIDTH: u32 = 256u;
//#include "lib/tree_sum.wgsl"

@compute @workgroup_size(256, 1, 1)
fn adapt_step(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var living = 0.0;
    let rounds = (params.rows + 255u) / 256u;
    for (var round = 0u; round < rounds; round++) {
        let row = 256u * round + lane;
        if (row < params.rows) {
            let chain = load_chain(row);
            if (chain.dead == 0.0) {
                sum += chain.acceptance;
                living += 1.0;
            }
        }
    }
    let total = tree_sum(lane, vec2<f32>(sum, living));
    if (lane == 0u) {
        let mean = select(params.target_mean, total.x / max(total.y, 1.0), total.y > 0.0);
        let deficit = params.keep * step_adaptation.deficit + params.fresh * (params.target_mean - mean);
        let log_factor = clamp(params.center - params.pull * deficit, -23.0, 23.0);
        let log_mean = params.weight * log_factor + (1.0 - params.weight) * step_adaptation.log_mean;
        let factor = exp(select(log_factor, log_mean, params.last == 1u));
        step_adaptation = StepAdaptation(factor, log_mean, deficit, mean);
    }
}
