// Gradient of a layer norm with respect to its input.
//
//   n[j] = (h[r, j] - mean) rstd      g[j] = dz[r, j] gain[j]      (mean, rstd of layer_norm.wgsl)
//   out[r, j] = rstd (g[j] - sum_i g[i] / width - n[j] sum_i g[i] n[i] / width) * slope[r, j]
//       + skip[r, j]
//   (slope = 1 when SLOPE = 0; skip = 0 when SKIP = 0, else the gradient that a residual block
//       passes on)
//
// dz, h : packed [rows, width] read
// moments : [rows, 2] read
// parameters : flat, gain of stride4 vec4s, read
// slope, skip : packed [rows, width] read (SLOPE = 1, SKIP = 1, otherwise any buffer)
// out : packed [rows, width] written, padding zero
// Defines: WORKGROUP, LANES (invocations per row, a power of two that divides WORKGROUP), SLOPE,
// SKIP.
// Workgroup WORKGROUP x 1 x 1, 8 WORKGROUP bytes. Grid over ceil(rows / (WORKGROUP / LANES))
// workgroups, folded over x and y.
// Numerics: per lane every LANES-th vec4 ascending, then pairwise over lanes.
//#include "lib/padding.wgsl"
//#include "lib/row_sum.wgsl"

struct Params {
    rows: u32,
    width: u32,
    stride4: u32,
    gain_offset: u32, // vec4 units
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> skip: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP, 1, 1)
fn layer_norm_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Rows past the end repeat the last one and write nothing: no return before a barrier.
    let row = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + lane / LANES;
    let inside = row < params.rows;
    let source = min(row, params.rows - 1u);
    let first = source * params.stride4;
    let lane_column = lane % LANES;
    let rounds = (params.stride4 + LANES - 1u) / LANES;
    let share = 1.0 / f32(params.width);
    let mean = moments[source].x;
    let rstd = moments[source].y;

    var plain = vec4<f32>(0.0);
    var weighted = vec4<f32>(0.0);
    for (var round = 0u; round < rounds; round++) {
        let column = round * LANES + lane_column;
        if (column < params.stride4) {
            let g = dz[first + column] * parameters[params.gain_offset + column];
            let inner = inside_only(g, column, params.width);
            plain += inner;
            weighted += inner * ((h[first + column] - mean) * rstd);
        }
    }
    let sums = row_sum(lane, vec2<f32>(over_vec4(plain), over_vec4(weighted))) * share;

    for (var round = 0u; round < rounds; round++) {
        let column = round * LANES + lane_column;
        if (inside && column < params.stride4) {
            let at = first + column;
            let g = dz[at] * parameters[params.gain_offset + column];
            let normal = (h[at] - mean) * rstd;
            var v = rstd * (g - sums.x - normal * sums.y);
            if (SLOPE == 1u) {
                v = v * slope[at];
            }
            if (SKIP == 1u) {
                v = v + skip[at];
            }
            out[at] = inside_only(v, column, params.width);
        }
    }
}
