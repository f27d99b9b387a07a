// Gradient of a layer norm with respect to its gain and bias, as partial sums over row ranges.
//
//   partials[s, gain(j)] = sum_{r in split s} dz[r, j] (h[r, j] - mean[r]) rstd[r]
//   (mean, rstd of layer_norm.wgsl)
//   partials[s, bias(j)] = sum_{r in split s} dz[r, j]
//   split s = rows [s * rows_per_split, min(rows, (s + 1) * rows_per_split))
//
// dz, h : packed [rows, width] read      moments : [rows, 2] read
// partials : [splits, 4 parameter_stride] written at the slices of this layer, zero padding
// included
// Workgroup 32. Grid (ceil(stride4 / 32), splits, 1); one invocation sums one vec4 of columns.
// Numerics: one sum per parameter and split, rows ascending.
//#include "lib/padding.wgsl"

struct Params {
    rows: u32,
    width: u32,
    stride4: u32,
    rows_per_split: u32,
    parameter_stride: u32, // vec4 units per split
    gain_offset: u32, // vec4 units
    bias_offset: u32, // vec4 units
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

// Shared with the host.
const COLUMNS4: u32 = 32u;

@compute @workgroup_size(COLUMNS4, 1, 1)
fn layer_norm_weight_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x;
    if (column >= params.stride4) {
        return;
    }
    let begin = id.y * params.rows_per_split;
    let end = min(params.rows, begin + params.rows_per_split);
    var gain = vec4<f32>(0.0);
    var bias = vec4<f32>(0.0);
    for (var r = begin; r < end; r++) {
        let g = dz[r * params.stride4 + column];
        let moment = moments[r];
        gain += g * ((h[r * params.stride4 + column] - moment.x) * moment.y);
        bias += g;
    }
    let base = id.y * params.parameter_stride + column;
    partials[base + params.gain_offset] = inside_only(gain, column, params.width);
    partials[base + params.bias_offset] = inside_only(bias, column, params.width);
}
