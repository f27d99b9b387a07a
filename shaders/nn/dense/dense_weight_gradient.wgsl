// Gradient of one dense layer with respect to its weights and bias, as partial sums over row
// ranges.
//
//   partials[s] = h' dz and the sums of dz over the rows of split s
//   (bindings: lib/dense_weight_gradient.wgsl)
//
// Defines: WORKGROUP, LANES_ON (0 inputs, 1 outputs), LANE_BLOCK4 (vec4, at most 4),
// UNIFORM_BLOCK4 (vec4, at most 8), BIAS.
// Workgroup WORKGROUP x 1 x 1, no workgroup memory. With lanes4 = outputs4, uniform4 = inputs4 when
// LANES_ON = 1, exchanged when LANES_ON = 0:
// Grid (ceil(lanes4 / (WORKGROUP * LANE_BLOCK4)), ceil(uniform4 / UNIFORM_BLOCK4), splits).
// Lanes run along the wider operand, the narrower one is read at addresses common to the workgroup.
// Numerics: one sum per parameter and split, rows ascending.
//#include "lib/dense_weight_gradient.wgsl"

// acc[(4 c + j) * LANE_BLOCK4 + l]: element j of the uniform vec4 c against the vec4 l of the lane,
// which is a[l].
var<private> acc: array<vec4<f32>, 4u * UNIFORM_BLOCK4 * LANE_BLOCK4>;
var<private> a: array<vec4<f32>, LANE_BLOCK4>;
var<private> lane_sum: array<vec4<f32>, LANE_BLOCK4>;
var<private> uniform_sum: array<vec4<f32>, UNIFORM_BLOCK4>;

// Driver loops are unrolled up to a fixed cost only, so the uniform vec4s are walked in groups of
// two: one loop that stayed rolled would put the accumulators into memory (8 times slower on
// lavapipe).
fn multiply_group(begin: u32, r: u32, first_uniform: u32, uniform4: u32) {
    for (var c = begin; c < min(begin + 2u, UNIFORM_BLOCK4); c++) {
        // Indices past the end repeat the last one: no branch around the loads.
        let at = r * uniform4 + min(first_uniform + c, uniform4 - 1u);
        var u: vec4<f32>;
        if (LANES_ON == 1u) {
            u = h[at];
        } else {
            u = dz[at];
            uniform_sum[c] += u;
        }
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let i = 4u * c * LANE_BLOCK4 + l;
            acc[i] += u.x * a[l];
            acc[i + LANE_BLOCK4] += u.y * a[l];
            acc[i + 2u * LANE_BLOCK4] += u.z * a[l];
            acc[i + 3u * LANE_BLOCK4] += u.w * a[l];
        }
    }
}

fn by_input(p: vec4<f32>, q: vec4<f32>, r: vec4<f32>, s: vec4<f32>) -> mat4x4<f32> {
    let t = mat4x4<f32>(p, q, r, s);
    if (LANES_ON == 1u) {
        return t;
    }
    return transpose(t);
}

fn store_group(begin: u32, weights: u32, first_lane: u32, lanes4: u32, first_uniform: u32, uniform4: u32) {
    for (var c = begin; c < min(begin + 2u, UNIFORM_BLOCK4); c++) {
        let other = first_uniform + c;
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = first_lane + l * WORKGROUP;
            let i = 4u * c * LANE_BLOCK4 + l;
            let t = by_input(acc[i], acc[i + LANE_BLOCK4], acc[i + 2u * LANE_BLOCK4], acc[i + 3u * LANE_BLOCK4]);
            let first = weights + select(4u * at * uniform4 + other, 4u * other * lanes4 + at, LANES_ON == 1u);
            if (at < lanes4 && other < uniform4) {
                partials[first] = t[0];
                partials[first + params.outputs4] = t[1];
                partials[first + 2u * params.outputs4] = t[2];
                partials[first + 3u * params.outputs4] = t[3];
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn dense_weight_gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let lanes4 = select(params.inputs4, params.outputs4, LANES_ON == 1u);
    let uniform4 = select(params.outputs4, params.inputs4, LANES_ON == 1u);
    let first_lane = group.x * (WORKGROUP * LANE_BLOCK4) + lane.x;
    let first_uniform = group.y * UNIFORM_BLOCK4;
    let begin = group.z * params.rows_per_split;
    let end = min(params.rows, begin + params.rows_per_split);

    for (var r = begin; r < end; r++) {
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = r * lanes4 + min(first_lane + l * WORKGROUP, lanes4 - 1u);
            if (LANES_ON == 1u) {
                a[l] = dz[at];
                lane_sum[l] += a[l];
            } else {
                a[l] = h[at];
            }
        }
        multiply_group(0u, r, first_uniform, uniform4);
        multiply_group(2u, r, first_uniform, uniform4);
        multiply_group(4u, r, first_uniform, uniform4);
        multiply_group(6u, r, first_uniform, uniform4);
    }

    let weights = group.z * params.parameter_stride + params.weight_offset;
    store_group(0u, weights, first_lane, lanes4, first_uniform, uniform4);
    store_group(2u, weights, first_lane, lanes4, first_uniform, uniform4);
    store_group(4u, weights, first_lane, lanes4, first_uniform, uniform4);
    store_group(6u, weights, first_lane, lanes4, first_uniform, uniform4);
    if (BIAS == 1u) {
        let bias = group.z * params.parameter_stride + params.bias_offset;
        if (LANES_ON == 1u) {
            for (var l = 0u; l < LANE_BLOCK4; l++) {
                let at = first_lane + l * WORKGROUP;
                if (group.y == 0u && at < lanes4) {
                    partials[bias + at] = lane_sum[l];
                }
            }
        } else {
            for (var c = 0u; c < UNIFORM_BLOCK4; c++) {
                let at = first_uniform + c;
                if (group.x == 0u && lane.x == 0u && at < uniform4) {
                    partials[bias + at] = uniform_sum[c];
                }
            }
        }
    }
}
