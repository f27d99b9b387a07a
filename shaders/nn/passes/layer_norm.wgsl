// Layer norm over the features of each row, with learned gain and bias, an activation and, for
// training, its slope.
//
//   mean = sum_j h[r, j] / width      rstd = 1 / sqrt(sum_j (h[r, j] - mean)^2 / width + epsilon)
//   z[r, j] = gain[j] (h[r, j] - mean) rstd + bias[j]      output = act(z)      slope = act'(z)
//   Source: Ba, Kiros and Hinton 2016, arXiv 1607.06450.
//
// h : packed [rows, width] read      parameters : flat, gain and bias of stride4 vec4s each, read
// output : packed [rows, width] written, padding zero
// moments : [rows, 2], mean and rstd, written
// slope : like output, its padding of no meaning (SLOPE = 1, otherwise any spare buffer)
// Defines: WORKGROUP, LANES (invocations per row, a power of two that divides WORKGROUP),
// ACTIVATION (codes of lib/activation.wgsl), SLOPE.
// Workgroup WORKGROUP x 1 x 1, 8 WORKGROUP bytes. Grid over ceil(rows / (WORKGROUP / LANES))
// workgroups, folded over x and y.
// Numerics: two passes; the second one centers the deviations and takes the error of the first
// one's mean out, so that a constant row is normalized to 0 whatever its size. Per lane every
// LANES-th vec4 ascending, then pairwise over lanes. Finite for |h| <= 1e16. Padding enters neither
// sum.
//#include "lib/activation.wgsl"
//#include "lib/padding.wgsl"
//#include "lib/row_sum.wgsl"

struct Params {
    rows: u32,
    width: u32,
    stride4: u32,
    gain_offset: u32, // vec4 units
    bias_offset: u32, // vec4 units
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> slope: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP, 1, 1)
fn layer_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Rows past the end repeat the last one and write nothing: no return before a barrier.
    let row = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + lane / LANES;
    let inside = row < params.rows;
    let first = min(row, params.rows - 1u) * params.stride4;
    let lane_column = lane % LANES;
    let rounds = (params.stride4 + LANES - 1u) / LANES;
    let share = 1.0 / f32(params.width);

    var sum = vec4<f32>(0.0);
    for (var round = 0u; round < rounds; round++) {
        let column = round * LANES + lane_column;
        if (column < params.stride4) {
            sum += inside_only(h[first + column], column, params.width);
        }
    }
    let rough = row_sum(lane, vec2<f32>(over_vec4(sum), 0.0)).x * share;
    var deviations = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    for (var round = 0u; round < rounds; round++) {
        let column = round * LANES + lane_column;
        if (column < params.stride4) {
            let centered = inside_only(h[first + column] - rough, column, params.width);
            deviations += centered;
            squares += centered * centered;
        }
    }
    let sums = row_sum(lane, vec2<f32>(over_vec4(deviations), over_vec4(squares))) * share;
    let mean = rough + sums.x;
    let rstd = 1.0 / sqrt(max(sums.y - sums.x * sums.x, 0.0) + params.epsilon);

    for (var round = 0u; round < rounds; round++) {
        let column = round * LANES + lane_column;
        if (inside && column < params.stride4) {
            let normal = (h[first + column] - mean) * rstd;
            let z = normal * parameters[params.gain_offset + column] + parameters[params.bias_offset + column];
            let a = activate(ACTIVATION, z);
            output[first + column] = inside_only(a.value, column, params.width);
            if (SLOPE == 1u) {
                slope[first + column] = a.slope;
            }
        }
    }
    if (inside && lane_column == 0u) {
        moments[row] = vec2<f32>(mean, rstd);
    }
}
