// Maximum likelihood of a conditional mixture: loss and its gradient at the network's outputs.
//
//   loss[b] = -log q(y_b | x_b)      r = responsibilities of the components for y_b
//   output_gradient = d(mean_b loss)/d(outputs):
//     logit_c: (softmax_c - r_c) / B      mean_cj: -r_c (z_j - mean_cj) / std_cj^2 / B
//     log_std_cj: r_c (1 - ((z_j - mean_cj) / std_cj)^2) / B,
//         and 0 where the raw value lies outside [low, high]
//
// mixture : network outputs, packed [contexts, stride], read (layout: lib/mixture.wgsl)
// normalizer : [2, dims], shift then scale, read      y : [contexts, dims] read
// output_gradient : packed [contexts, outputs] written, padding 0      loss : [contexts] written
// Workgroup 64. Grid over contexts invocations, folded over x and y.
// Numerics: a context whose outputs or action are not finite leaves NaN in all it writes.
//#include "lib/logsumexp.wgsl"

struct Params {
    contexts: u32,
    components: u32,
    dims: u32,
    outputs: u32,
    stride: u32,
    low: f32,
    high: f32,
    log_volume: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mixture: array<f32>;
@group(0) @binding(2) var<storage, read> normalizer: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> output_gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
//#include "lib/mixture.wgsl"

@compute @workgroup_size(64, 1, 1)
fn mixture_likelihood(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let context = id.y * groups.x * 64u + id.x;
    if (context >= params.contexts) {
        return;
    }
    let first = context * params.dims;
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var c = 0u; c < params.components; c++) {
        pair = pair_add(pair, mixture_joint(context, c, first));
    }
    let softmax = mixture_softmax(context);
    loss[context] = mixture_result(pair_value(softmax) - pair_value(pair) - params.log_volume);

    let scale = 1.0 / f32(params.contexts);
    let row = context * params.stride;
    let spread = params.components * params.dims;
    for (var c = 0u; c < params.components; c++) {
        let responsibility = exp_negative(mixture_joint(context, c, first) - pair.x) / pair.y;
        if (params.components > 1u) {
            let weight = exp_negative(mixture_logit(context, c) - softmax.x) / softmax.y;
            output_gradient[row + c] = mixture_result((weight - responsibility) * scale);
        }
        for (var j = 0u; j < params.dims; j++) {
            let log_std = mixture_log_std(context, c, j);
            let inverse = exp(-log_std);
            let r = (mixture_normalized(first, j) - mixture_mean(context, c, j)) * inverse;
            let at = row + mixture_mean_index(c, j);
            output_gradient[at] = mixture_result(-responsibility * r * inverse * scale);
            let inside = mixture_raw_log_std(context, c, j) == log_std;
            let slope = select(0.0, responsibility * (1.0 - r * r) * scale, inside);
            output_gradient[at + spread] = mixture_result(slope);
        }
    }
    for (var j = params.outputs; j < params.stride; j++) {
        output_gradient[row + j] = 0.0;
    }
}
