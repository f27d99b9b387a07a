// What the kernels of a dense layer's weight gradient share: parameters and bindings.
//
//   partials[s, W(i, o)] = sum_{r in split s} h[r, i] dz[r, o]
//   partials[s, b(o)] = sum_{r in split s} dz[r, o]
//   split s = rows [s * rows_per_split, min(rows, (s + 1) * rows_per_split))
//
// h : packed [rows, 4 inputs4] read      dz : packed [rows, 4 outputs4] read
// partials : [splits, 4 parameter_stride] written at the slices of this layer, zero padding
// included

struct Params {
    rows: u32,
    inputs4: u32,
    outputs4: u32,
    rows_per_split: u32,
    parameter_stride: u32, // vec4 units per split
    weight_offset: u32, // vec4 units
    bias_offset: u32, // vec4 units
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;
