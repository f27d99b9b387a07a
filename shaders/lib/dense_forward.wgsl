// What the kernels of a dense layer's forward pass share: parameters, bindings, where sums begin
// and what becomes of them.
//
//   z[r, o] = start[r, o] + sum_i h[r, i] W[i, o]      output = act(z)      slope = act'(z)
//   start = bias[o] (INIT = 1) | context[(first_row + r) / candidates, o] (INIT = 2) | their sum
//     (INIT = 3)
//   (a context: the half of a first layer shared by all candidates, or the rows that a residual
//     block passes on)
//
// h : packed [rows, 4 inputs4] read      parameters : flat, W k-major [4 inputs4, 4 outputs4], read
// context : packed [contexts, 4 outputs4] read (INIT = 2 and 3, otherwise any buffer)
// output : packed [rows, 4 outputs4] written
// slope : the same, its padding act'(0) (SLOPE = 1, otherwise any spare buffer)
// Defines: ACTIVATION (codes of lib/activation.wgsl), INIT, SLOPE.
//#include "lib/activation.wgsl"
//#include "lib/padding.wgsl"

struct Params {
    rows: u32,
    inputs4: u32,
    outputs4: u32,
    outputs: u32,
    weight_offset: u32, // vec4 units
    bias_offset: u32, // vec4 units
    candidates: u32, // rows per context row, at least 1
    first_row: u32, // what row 0 of h counts as among the candidates of the contexts
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> context: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> slope: array<vec4<f32>>;

fn context_row(row: u32) -> u32 {
    return (params.first_row + row) / params.candidates;
}

fn start_of_sum(of_row: u32, column: u32) -> vec4<f32> {
    if (INIT == 1u) {
        return parameters[params.bias_offset + column];
    }
    let of_context = context[of_row * params.outputs4 + column];
    if (INIT == 3u) {
        return parameters[params.bias_offset + column] + of_context;
    }
    return of_context;
}

// Leaves what becomes of the sums z in the vec4 `column` of a row.
fn finish_sum(row: u32, column: u32, z: vec4<f32>) {
    let at = row * params.outputs4 + column;
    let a = activate(ACTIVATION, z);
    if (ACTIVATION == ACTIVATION_SOFTPLUS) {
        // The one activation that is not 0 at 0: the padding must stay zero.
        output[at] = inside_only(a.value, column, params.outputs);
    } else {
        output[at] = a.value;
    }
    if (SLOPE == 1u) {
        slope[at] = a.slope;
    }
}
