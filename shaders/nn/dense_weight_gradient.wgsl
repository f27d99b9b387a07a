// Gradient of one dense layer with respect to its weights and bias, as partial sums over row ranges.
//
//   partials[s, W(i, o)] = sum_{r in split s} h[r, i] dz[r, o]      partials[s, b(o)] = sum_{r in split s} dz[r, o]
//   split s = rows [s * rows_per_split, min(rows, (s + 1) * rows_per_split))
//
// h : packed [rows, 4 inputs4] read      dz : packed [rows, 4 outputs4] read
// partials : [splits, 4 parameter_stride] written at the slices of this layer, zero padding included
// Defines: WORKGROUP, LANES_ON (0 inputs, 1 outputs), LANE_BLOCK4 (vec4, at most 4),
// UNIFORM_BLOCK4 (vec4, at most 8), BIAS.
// Workgroup WORKGROUP x 1 x 1, no workgroup memory. With lanes4 = outputs4, uniform4 = inputs4 when LANES_ON = 1,
// exchanged when LANES_ON = 0:
// Grid (ceil(lanes4 / (WORKGROUP * LANE_BLOCK4)), ceil(uniform4 / UNIFORM_BLOCK4), splits).
// Lanes run along the wider operand, the narrower one is read at addresses common to the workgroup.
// Numerics: one sum per parameter and split, rows ascending.

struct Params {
    rows: u32,
    inputs4: u32,
    outputs4: u32,
    rows_per_split: u32,
    parameter_stride: u32, // vec4 units per split
    weight_offset: u32, // vec4 units
    bias_offset: u32, // vec4 units
    spare: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

// Driver loops are unrolled up to a fixed cost only, so the uniform vec4s are walked in groups of two;
// one loop that stayed rolled would put the accumulators into memory (8 times slower on lavapipe).
const UNIFORMS_2: u32 = min(UNIFORM_BLOCK4, 2u);
const UNIFORMS_4: u32 = min(UNIFORM_BLOCK4, 4u);
const UNIFORMS_6: u32 = min(UNIFORM_BLOCK4, 6u);
const UNIFORMS_8: u32 = min(UNIFORM_BLOCK4, 8u);

fn by_input(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> mat4x4<f32> {
    let t = mat4x4<f32>(a, b, c, d);
    if (LANES_ON == 1u) {
        return t;
    }
    return transpose(t);
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn dense_weight_gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let lanes4 = select(params.inputs4, params.outputs4, LANES_ON == 1u);
    let uniform4 = select(params.outputs4, params.inputs4, LANES_ON == 1u);
    let first_lane = group.x * (WORKGROUP * LANE_BLOCK4) + lane.x;
    let first_uniform = group.y * UNIFORM_BLOCK4;
    let begin = group.z * params.rows_per_split;
    let end = min(params.rows, begin + params.rows_per_split);

    // acc[4 c + j][l]: element j of the uniform vec4 c against the vec4 l of the lane.
    // Indices past the end repeat the last one: no branch around the loads.
    var acc: array<vec4<f32>, 4u * UNIFORM_BLOCK4 * LANE_BLOCK4>;
    var a: array<vec4<f32>, LANE_BLOCK4>;
    var lane_sum: array<vec4<f32>, LANE_BLOCK4>;
    var uniform_sum: array<vec4<f32>, UNIFORM_BLOCK4>;
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
        for (var c = 0u; c < UNIFORMS_2; c++) {
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
        for (var c = 2u; c < UNIFORMS_4; c++) {
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
        for (var c = 4u; c < UNIFORMS_6; c++) {
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
        for (var c = 6u; c < UNIFORMS_8; c++) {
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

    let weights = group.z * params.parameter_stride + params.weight_offset;
    let bias = group.z * params.parameter_stride + params.bias_offset;
    for (var c = 0u; c < UNIFORMS_2; c++) {
        let other = min(first_uniform + c, uniform4 - 1u);
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = first_lane + l * WORKGROUP;
            let i = 4u * c * LANE_BLOCK4 + l;
            let t = by_input(acc[i], acc[i + LANE_BLOCK4], acc[i + 2u * LANE_BLOCK4], acc[i + 3u * LANE_BLOCK4]);
            let first = weights + select(4u * at * uniform4 + other, 4u * other * lanes4 + at, LANES_ON == 1u);
            if (at < lanes4) {
                partials[first] = t[0];
                partials[first + params.outputs4] = t[1];
                partials[first + 2u * params.outputs4] = t[2];
                partials[first + 3u * params.outputs4] = t[3];
            }
        }
    }
    for (var c = 2u; c < UNIFORMS_4; c++) {
        let other = min(first_uniform + c, uniform4 - 1u);
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = first_lane + l * WORKGROUP;
            let i = 4u * c * LANE_BLOCK4 + l;
            let t = by_input(acc[i], acc[i + LANE_BLOCK4], acc[i + 2u * LANE_BLOCK4], acc[i + 3u * LANE_BLOCK4]);
            let first = weights + select(4u * at * uniform4 + other, 4u * other * lanes4 + at, LANES_ON == 1u);
            if (at < lanes4) {
                partials[first] = t[0];
                partials[first + params.outputs4] = t[1];
                partials[first + 2u * params.outputs4] = t[2];
                partials[first + 3u * params.outputs4] = t[3];
            }
        }
    }
    for (var c = 4u; c < UNIFORMS_6; c++) {
        let other = min(first_uniform + c, uniform4 - 1u);
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = first_lane + l * WORKGROUP;
            let i = 4u * c * LANE_BLOCK4 + l;
            let t = by_input(acc[i], acc[i + LANE_BLOCK4], acc[i + 2u * LANE_BLOCK4], acc[i + 3u * LANE_BLOCK4]);
            let first = weights + select(4u * at * uniform4 + other, 4u * other * lanes4 + at, LANES_ON == 1u);
            if (at < lanes4) {
                partials[first] = t[0];
                partials[first + params.outputs4] = t[1];
                partials[first + 2u * params.outputs4] = t[2];
                partials[first + 3u * params.outputs4] = t[3];
            }
        }
    }
    for (var c = 6u; c < UNIFORMS_8; c++) {
        let other = min(first_uniform + c, uniform4 - 1u);
        for (var l = 0u; l < LANE_BLOCK4; l++) {
            let at = first_lane + l * WORKGROUP;
            let i = 4u * c * LANE_BLOCK4 + l;
            let t = by_input(acc[i], acc[i + LANE_BLOCK4], acc[i + 2u * LANE_BLOCK4], acc[i + 3u * LANE_BLOCK4]);
            let first = weights + select(4u * at * uniform4 + other, 4u * other * lanes4 + at, LANES_ON == 1u);
            if (at < lanes4) {
                partials[first] = t[0];
                partials[first + params.outputs4] = t[1];
                partials[first + 2u * params.outputs4] = t[2];
                partials[first + 3u * params.outputs4] = t[3];
            }
        }
    }
    if (BIAS == 1u) {
        if (LANES_ON == 1u) {
            for (var l = 0u; l < LANE_BLOCK4; l++) {
                let at = first_lane + l * WORKGROUP;
                if (group.y == 0u && at < lanes4) {
                    partials[bias + at] = lane_sum[l];
                }
            }
        } else {
            for (var c = 0u; c < UNIFORM_BLOCK4; c++) {
                if (group.x == 0u && lane.x == 0u) {
                    partials[bias + min(first_uniform + c, uniform4 - 1u)] = uniform_sum[c];
                }
            }
        }
    }
}
