// Gradient of one dense layer with respect to its weights and bias by tiles in workgroup memory,
// for GPUs: what nn/dense_weight_gradient.wgsl computes, from the same bindings.
//
//   partials[s] = h' dz and the sums of dz over the rows of split s
//   (bindings: lib/dense_weight_gradient.wgsl)
//
// Defines: BIAS.
// Workgroup 64 x 1 x 1, 8.5 KiB of workgroup memory. Grid (ceil(outputs4 / 16), ceil(inputs4 / 16),
// splits). A workgroup owns 64 x 64 of the weights, each lane 2 vec4 of inputs and 2 vec4 of
// outputs, both 8 vec4 apart; slabs of 16 rows pass through workgroup memory, padded by a vec4 per
// row against bank conflicts. The first workgroups along y sum the bias.
// Numerics: one sum per parameter and split, rows ascending.
//#include "lib/dense_weight_gradient.wgsl"

const LANES: u32 = 64u;
// Shared with the host.
const TILE4: u32 = 16u;
const SLAB: u32 = 16u;
const STRIDE: u32 = TILE4 + 1u;

var<workgroup> h_tile: array<vec4<f32>, SLAB * STRIDE>;
var<workgroup> dz_tile: array<vec4<f32>, SLAB * STRIDE>;
// acc[(4 a + j) * 2 + b]: element j of the lane's vec4 a of inputs against its vec4 b of outputs.
var<private> acc: array<vec4<f32>, 16>;
var<private> v: array<vec4<f32>, 2>;
var<private> bias_sum: array<vec4<f32>, 2>;

@compute @workgroup_size(LANES, 1, 1)
fn dense_weight_gradient_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile_output = group.x * TILE4;
    let tile_input = group.y * TILE4;
    let own_input = lane / 8u;
    let own_output = lane % 8u;
    let begin = group.z * params.rows_per_split;
    let end = max(begin, min(params.rows, begin + params.rows_per_split));

    let slabs = (end - begin + SLAB - 1u) / SLAB;
    for (var slab = 0u; slab < slabs; slab++) {
        // Columns past the end repeat the last one and are not stored; rows past the end are zero
        // on both sides.
        for (var i = 0u; i < 4u; i++) {
            let at = lane + LANES * i;
            let r = begin + SLAB * slab + at / TILE4;
            let row = min(r, params.rows - 1u);
            let to = at / TILE4 * STRIDE + at % TILE4;
            let a = h[row * params.inputs4 + min(tile_input + at % TILE4, params.inputs4 - 1u)];
            let b = dz[row * params.outputs4 + min(tile_output + at % TILE4, params.outputs4 - 1u)];
            h_tile[to] = select(vec4<f32>(0.0), a, r < end);
            dz_tile[to] = select(vec4<f32>(0.0), b, r < end);
        }
        workgroupBarrier();
        for (var r = 0u; r < SLAB; r++) {
            let at = r * STRIDE;
            v[0] = dz_tile[at + own_output];
            v[1] = dz_tile[at + own_output + 8u];
            for (var a = 0u; a < 2u; a++) {
                let u = h_tile[at + own_input + 8u * a];
                for (var b = 0u; b < 2u; b++) {
                    acc[8u * a + b] += u.x * v[b];
                    acc[8u * a + 2u + b] += u.y * v[b];
                    acc[8u * a + 4u + b] += u.z * v[b];
                    acc[8u * a + 6u + b] += u.w * v[b];
                }
            }
            if (BIAS == 1u) {
                bias_sum[0] += v[0];
                bias_sum[1] += v[1];
            }
        }
        workgroupBarrier();
    }

    let split = group.z * params.parameter_stride;
    for (var a = 0u; a < 2u; a++) {
        let input4 = tile_input + own_input + 8u * a;
        for (var b = 0u; b < 2u; b++) {
            let output4 = tile_output + own_output + 8u * b;
            if (input4 < params.inputs4 && output4 < params.outputs4) {
                let first = split + params.weight_offset + 4u * input4 * params.outputs4 + output4;
                for (var j = 0u; j < 4u; j++) {
                    partials[first + j * params.outputs4] = acc[8u * a + 2u * j + b];
                }
            }
        }
    }
    if (BIAS == 1u && group.y == 0u && own_input == 0u) {
        for (var b = 0u; b < 2u; b++) {
            let output4 = tile_output + own_output + 8u * b;
            if (output4 < params.outputs4) {
                partials[split + params.bias_offset + output4] = bias_sum[b];
            }
        }
    }
}
