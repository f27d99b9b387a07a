// Log-density of a conditional mixture of diagonal Gaussians whose parameters a network wrote.
//
//   z = (y - shift) scale
//   log q(y | x) = log-sum-exp_c( log softmax(logits)_c
//                  + sum_j( -((z_j - mean_cj) / std_cj)^2 / 2 - log_std_cj - ln(2 pi) / 2 ) ) +
//                    sum_j ln scale_j
//
// mixture : network outputs, packed [contexts, stride], read (layout: lib/mixture.wgsl)
// normalizer : [2, dims], shift then scale, read      y : [contexts, candidates, dims] read
// log_q : [contexts, candidates] written; log_volume = sum_j ln scale_j comes from the host in f64
// precision
// Workgroup 64. Grid over contexts * candidates invocations, folded over x and y.
// Numerics: running pairs; finite while |z - mean| / std stays below 1e18, minus infinity where it
// does not for any component; NaN where an output or a coordinate is not finite.
//#include "lib/logsumexp.wgsl"

struct Params {
    contexts: u32,
    candidates: u32,
    components: u32,
    dims: u32,
    stride: u32,
    low: f32,
    high: f32,
    log_volume: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mixture: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_q: array<f32>;
//#include "lib/mixture.wgsl"

@compute @workgroup_size(64, 1, 1)
fn mixture_log_density(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.contexts * params.candidates) {
        return;
    }
    let context = at / params.candidates;
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var c = 0u; c < params.components; c++) {
        pair = pair_add(pair, mixture_joint(context, c, at * params.dims));
    }
    let log_density = pair_value(pair) - pair_value(mixture_softmax(context)) + params.log_volume;
    log_q[at] = mixture_result(log_density);
}
