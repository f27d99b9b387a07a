// Gradient of one dense layer with respect to its weights and bias, as partial sums over row
// ranges, each operand loaded once per subgroup of 8: dense_weight_gradient.wgsl for renderers
// whose loads cost most.
//
//   partials[s] = h' dz and the sums of dz over the rows of split s
//   (bindings: lib/dense_weight_gradient.wgsl)
//
// Defines: INPUT_BLOCK4 (vec4 of inputs, 8 or 16), LANE_BLOCK4 (vec4 of outputs, at most 4), BIAS.
// Workgroup 8 x 1 x 1: one subgroup of exactly 8, no workgroup memory.
// Grid (ceil(outputs4 / (8 LANE_BLOCK4)), ceil(inputs4 / INPUT_BLOCK4), splits).
// Lanes lie along outputs: each owns INPUT_BLOCK4 x LANE_BLOCK4 vec4 pairs of W, loads its own
// columns of dz and one or two vec4 of the inputs, which it shares by broadcast. Rows go in pairs.
// Numerics: one sum per parameter and split over pairs of rows, ascending.
//#include "lib/dense_weight_gradient.wgsl"

// acc[(4 u + j) * LANE_BLOCK4 + l]: element j of input vec4 u against output vec4 l of the lane.
var<private> acc: array<vec4<f32>, 4u * INPUT_BLOCK4 * LANE_BLOCK4>;
var<private> first: array<vec4<f32>, LANE_BLOCK4>;
var<private> second: array<vec4<f32>, LANE_BLOCK4>;
var<private> bias_sum: array<vec4<f32>, LANE_BLOCK4>;

// Indices past the end repeat the last one: no branch around the loads.
fn input_of(row: u32, input: u32) -> vec4<f32> {
    return h[row * params.inputs4 + min(input, params.inputs4 - 1u)];
}

fn multiply_input(u: u32, p: vec4<f32>, q: vec4<f32>) {
    for (var l = 0u; l < LANE_BLOCK4; l++) {
        let i = 4u * u * LANE_BLOCK4 + l;
        acc[i] += p.x * first[l] + q.x * second[l];
        acc[i + LANE_BLOCK4] += p.y * first[l] + q.y * second[l];
        acc[i + 2u * LANE_BLOCK4] += p.z * first[l] + q.z * second[l];
        acc[i + 3u * LANE_BLOCK4] += p.w * first[l] + q.w * second[l];
    }
}

// The products of eight vec4s of inputs of two rows, one vec4 in each lane.
fn multiply_inputs(begin: u32, p: vec4<f32>, q: vec4<f32>) {
    multiply_input(begin, subgroupBroadcast(p, 0u), subgroupBroadcast(q, 0u));
    multiply_input(begin + 1u, subgroupBroadcast(p, 1u), subgroupBroadcast(q, 1u));
    multiply_input(begin + 2u, subgroupBroadcast(p, 2u), subgroupBroadcast(q, 2u));
    multiply_input(begin + 3u, subgroupBroadcast(p, 3u), subgroupBroadcast(q, 3u));
    multiply_input(begin + 4u, subgroupBroadcast(p, 4u), subgroupBroadcast(q, 4u));
    multiply_input(begin + 5u, subgroupBroadcast(p, 5u), subgroupBroadcast(q, 5u));
    multiply_input(begin + 6u, subgroupBroadcast(p, 6u), subgroupBroadcast(q, 6u));
    multiply_input(begin + 7u, subgroupBroadcast(p, 7u), subgroupBroadcast(q, 7u));
}

fn store_input(u: u32, weights: u32, first_input: u32, first_output: u32) {
    for (var l = 0u; l < LANE_BLOCK4; l++) {
        let output = first_output + 8u * l;
        let i = 4u * u * LANE_BLOCK4 + l;
        let at = weights + 4u * (first_input + u) * params.outputs4 + output;
        if (output < params.outputs4 && first_input + u < params.inputs4) {
            partials[at] = acc[i];
            partials[at + params.outputs4] = acc[i + LANE_BLOCK4];
            partials[at + 2u * params.outputs4] = acc[i + 2u * LANE_BLOCK4];
            partials[at + 3u * params.outputs4] = acc[i + 3u * LANE_BLOCK4];
        }
    }
}

fn store_inputs(begin: u32, weights: u32, first_input: u32, first_output: u32) {
    store_input(begin, weights, first_input, first_output);
    store_input(begin + 1u, weights, first_input, first_output);
    store_input(begin + 2u, weights, first_input, first_output);
    store_input(begin + 3u, weights, first_input, first_output);
    store_input(begin + 4u, weights, first_input, first_output);
    store_input(begin + 5u, weights, first_input, first_output);
    store_input(begin + 6u, weights, first_input, first_output);
    store_input(begin + 7u, weights, first_input, first_output);
}

@compute @workgroup_size(8, 1, 1)
fn dense_weight_gradient_subgroup(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_output = group.x * (8u * LANE_BLOCK4) + lane;
    let first_input = group.y * INPUT_BLOCK4;
    let begin = group.z * params.rows_per_split;
    let end = min(params.rows, begin + params.rows_per_split);

    for (var r = begin; r < end; r += 2u) {
        // A last row without a partner is paired with itself times zero.
        let next = min(r + 1u, end - 1u);
        let both = f32(next - r);
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let output = min(first_output + 8u * l, params.outputs4 - 1u);
            first[l] = dz[r * params.outputs4 + output];
            second[l] = both * dz[next * params.outputs4 + output];
            bias_sum[l] += first[l] + second[l];
        }
        multiply_inputs(0u, input_of(r, first_input + lane), input_of(next, first_input + lane));
        if (INPUT_BLOCK4 == 16u) {
            multiply_inputs(8u, input_of(r, first_input + 8u + lane), input_of(next, first_input + 8u + lane));
        }
    }

    let weights = group.z * params.parameter_stride + params.weight_offset;
    store_inputs(0u, weights, first_input, first_output);
    if (INPUT_BLOCK4 == 16u) {
        store_inputs(8u, weights, first_input, first_output);
    }
    if (BIAS == 1u) {
        let bias = group.z * params.parameter_stride + params.bias_offset;
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let output = first_output + 8u * l;
            if (group.y == 0u && output < params.outputs4) {
                partials[bias + output] = bias_sum[l];
            }
        }
    }
}
