// A whole narrow network in one dispatch: its outputs, and for one output its gradient at one
// input, or both.
//
//   value[r] = f(start[r / candidates], (y[r] - shift) scale)
//   gradient[r, j] = scale[j] df[r] / d packed[r, j]
//   f: dense layers with activations, all but the last at most 128 wide (lib/fused_network.wgsl)
//
// parameters, start, description, slopes : as in lib/fused_network.wgsl, the description's numbers
// being shift and scale, [2, 4 inputs4]      y : [rows, dims] read
// value : [rows, outputs] written (VALUE = 1, otherwise any spare buffer)
// gradient : [rows, dims] written (GRADIENT = 1, otherwise any spare buffer, as for slopes)
// Defines: those of lib/fused_network.wgsl.
// Workgroup WORKGROUP x 1 x 1, the slab of SLAB_ROWS x SLAB_STRIDE4 vec4. Grid (ceil(rows /
// SLAB_ROWS), 1, 1).
// Numerics: those of the fragment; a row's results do not depend on the others.
//#include "lib/fused_network.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    inputs4: u32,
    hidden: u32,
    passes: u32,
    start_offset: u32,
    candidates: u32, // rows per row of start, at least 1
    output_weight: u32,
    output_bias: u32,
    output4: u32,
    outputs: u32,
    first_group: u32,
    padded_rows: u32, // rows that slopes has room for: whole slabs
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> start: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> description: FusedDescription;
@group(0) @binding(4) var<storage, read> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> slopes: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> value: array<f32>;
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(WORKGROUP, 1, 1)
fn network_fused(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let base = (params.first_group + group.x) * SLAB_ROWS;
    let tile = tile_of(lane, base);
    let items = SLAB_ROWS * min(params.inputs4, SLAB_WIDTH4);
    for (var item = lane; item < items; item += WORKGROUP) {
        let row = item / params.inputs4;
        let column = item % params.inputs4;
        var packed = vec4<f32>(0.0);
        for (var j = 0u; j < 4u; j++) {
            if (base + row < params.rows && 4u * column + j < params.dims) {
                packed[j] = y[(base + row) * params.dims + 4u * column + j];
            }
        }
        let shift = bitcast<vec4<f32>>(description.numbers[column]);
        let scale = bitcast<vec4<f32>>(description.numbers[params.inputs4 + column]);
        slab[row * SLAB_STRIDE4 + column] = (packed - shift) * scale;
    }
    workgroupBarrier();
    for (var index = 0u; index < min(params.passes, MAX_PASSES); index++) {
        run_pass(tile, index);
        if (VALUE == 1u && index + 1u == params.hidden) {
            let output_items = SLAB_ROWS * params.output4;
            for (var item = lane; item < output_items; item += WORKGROUP) {
                let row = item / params.output4;
                let column = item % params.output4;
                let outputs = output_of(row, column);
                for (var j = 0u; j < 4u; j++) {
                    if (base + row < params.rows && 4u * column + j < params.outputs) {
                        value[(base + row) * params.outputs + 4u * column + j] = outputs[j];
                    }
                }
            }
        }
        workgroupBarrier();
        if (GRADIENT == 1u && VALUE == 1u && index + 1u == params.hidden) {
            seed_tile(tile);
        }
        workgroupBarrier();
    }
    if (GRADIENT == 1u) {
        for (var item = lane; item < items; item += WORKGROUP) {
            let row = item / params.inputs4;
            let column = item % params.inputs4;
            let scale = bitcast<vec4<f32>>(description.numbers[params.inputs4 + column]);
            let slope = input_gradient_of(row, column) * scale;
            for (var j = 0u; j < 4u; j++) {
                if (base + row < params.rows && 4u * column + j < params.dims) {
                    gradient[(base + row) * params.dims + 4u * column + j] = slope[j];
                }
            }
        }
    }
}
