// Contrastive energy prediction: loss, gradient at the network's energies and effective sample
// size, LANES invocations per group of samples that share one time.
//
//   w = softmax_i(-beta E[i])      p = softmax_i(-F[i])      F: the network's energies
//   scale = 1      (UNNORMALIZED = 1: sum_j exp(-beta (E[j] - reference)))
//   loss[b] = -scale sum_i w[i] log p[i]
//   output_gradient[b, i] = d(mean_b loss)/dF = scale (w[i] - p[i]) / groups
//   ess[b] = 1 / sum_i w[i]^2
//   Source: arXiv 2304.12824, its contrastive loss, in the sign of low energies.
//
// energy : number i of all groups at energy_first + energy_stride i, read
// output : F, output_stride apart, read
// output_gradient : packed [groups * size, 1] written, padding 0      loss, ess : [groups] written
// Workgroup 64, 2048 bytes. Grid (ceil(groups / (64 / LANES)) folded over x and y). Samples strided
// by LANES.
// Numerics: running (maximum, sum) pairs merged in a tree of fixed shape; labels take the lowest
// energy as their origin before beta multiplies. A group with an E beyond `most` or an F beyond
// MAX_MAGNITUDE, or not finite, or with a label above exp(MAX_EXPONENT), leaves NaN in all it
// writes. A scale below exp(-87) is 0.
//#include "lib/finite.wgsl"
//#include "lib/logsumexp.wgsl"

struct Params {
    groups: u32,
    size: u32,
    energy_first: u32,
    energy_stride: u32,
    output_stride: u32,
    beta: f32,
    reference: f32,
    max: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> output: array<f32>;
@group(0) @binding(3) var<storage, read_write> output_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> ess: array<f32>;

const MAX_EXPONENT: f32 = 64.0;
const TREE_LANES: u32 = 64u;
const TREE_WIDTH: u32 = LANES;

struct TreeValue {
    logits: vec2<f32>, // running pair of -F
    labels: vec2<f32>, // running pair of -E, which beta multiplies later
    fault: u32, // NOT_A_NUMBER if a value is not usable
}

fn tree_merge(a: TreeValue, b: TreeValue) -> TreeValue {
    return TreeValue(pair_merge(a.logits, b.logits), label_merge(a.labels, b.labels), a.fault | b.fault);
}
//#include "lib/tree.wgsl"
//#include "lib/tree_sum.wgsl"

// exp(-beta distance) of a distance from the lowest energy, which may be that of the empty pair.
fn label(distance: f32) -> f32 {
    return exp_negative(-params.beta * min(distance, 2.0 * params.max));
}

fn label_merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let m = max(a.x, b.x);
    return vec2<f32>(m, a.y * label(m - a.x) + b.y * label(m - b.x));
}

@compute @workgroup_size(64, 1, 1)
fn contrastive_energy_prediction(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    // Groups past the end repeat the last one's reads and write nothing: no return before a
    // barrier.
    let lane = invocation % LANES;
    let own = (group.y * groups.x + group.x) * (64u / LANES) + invocation / LANES;
    let inside = own < params.groups;
    let first = min(own, params.groups - 1u) * params.size;
    let rounds = (params.size + LANES - 1u) / LANES;

    var logits = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    var labels = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    var fault = 0u;
    for (var round = 0u; round < rounds; round++) {
        let i = LANES * round + lane;
        if (i < params.size) {
            let e = energy[params.energy_first + params.energy_stride * (first + i)];
            let f = output[params.output_stride * (first + i)];
            let sound = is_within(e, params.max) && is_within(f, MAX_MAGNITUDE);
            fault |= select(NOT_A_NUMBER, 0u, sound);
            logits = pair_add(logits, select(0.0, -f, sound));
            labels = label_merge(labels, vec2<f32>(select(0.0, -e, sound), 1.0));
        }
    }
    let total = tree_reduce(invocation, TreeValue(logits, labels, fault));
    var bad = total.fault;
    var scale = 1.0;
    if (UNNORMALIZED == 1u) {
        let top = params.beta * clamp(params.reference + total.labels.x, -2.0 * params.max, 2.0 * params.max);
        bad |= select(0u, NOT_A_NUMBER, top > MAX_EXPONENT);
        scale = select(0.0, exp(clamp(top, -87.0, MAX_EXPONENT)) * total.labels.y, top > -87.0);
    }

    let log_sum = log(total.logits.y);
    var sum = vec2<f32>(0.0);
    for (var round = 0u; round < rounds; round++) {
        let i = LANES * round + lane;
        if (i < params.size) {
            let e = energy[params.energy_first + params.energy_stride * (first + i)];
            let f = output[params.output_stride * (first + i)];
            let sound = bad == 0u;
            // The distance first: at 1e30 it is exact where a sum would absorb the logarithm.
            let depth = select(0.0, total.logits.x + f, sound);
            let w = label(select(0.0, total.labels.x + e, sound)) / total.labels.y;
            let p = exp_negative(-depth) / total.logits.y;
            sum += vec2<f32>(w * (depth + log_sum), w * w);
            if (inside) {
                let slope = scale * (w - p) / f32(params.groups);
                output_gradient[first + i] = vec4<f32>(select(bitcast<f32>(bad), slope, sound), 0.0, 0.0, 0.0);
            }
        }
    }
    // (sum w (log-sum-exp - l), sum w^2)
    let whole = tree_sum(invocation, sum);
    if (lane == 0u && inside) {
        loss[own] = select(bitcast<f32>(bad), scale * whole.x, bad == 0u);
        ess[own] = select(bitcast<f32>(bad), 1.0 / whole.y, bad == 0u);
    }
}
