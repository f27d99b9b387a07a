// Regression of intermediate energies, the baselines of the contrastive loss: loss and gradient of
// each row.
//
//   EXPONENTIAL = 0:  loss = (F - beta E)^2      output_gradient = 2 (F - beta E) / rows
//   F: the network's energies
//   EXPONENTIAL = 1:  g = exp(min(-F, 40))      target = exp(clamp(-beta (E - reference), -100, 4))
//                     loss = (g - target)^2
//                     output_gradient = -2 (g - target) g / rows, 0 where -F > 40
//   output_gradient = d(mean loss)/dF
//   Source: arXiv 2304.12824, its ablation (MSE and exponential MSE), in the sign of low energies.
//
// energy : number i at energy_first + energy_stride i, read
// output : F, output_stride apart, read
// output_gradient : packed [rows, 1] written, padding 0      loss : [rows] written
// Workgroup 64. Grid over rows, folded over x and y.
// Numerics: an E beyond `most` or an F beyond MAX_MAGNITUDE, or not finite, or a residual beyond
// 1e18 gives NaN; exp below -87 is 0.
//#include "lib/finite.wgsl"

struct Params {
    rows: u32,
    energy_first: u32,
    energy_stride: u32,
    output_stride: u32,
    beta: f32,
    reference: f32,
    max: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> output: array<f32>;
@group(0) @binding(3) var<storage, read_write> output_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;

const MAX_MODEL: f32 = 40.0;
const MAX_TARGET: f32 = 4.0;
const MAX_RESIDUAL: f32 = 1.0e18;

fn exp_up_to(x: f32, most: f32) -> f32 {
    return select(0.0, exp(clamp(x, -87.0, most)), x > -87.0);
}

@compute @workgroup_size(64, 1, 1)
fn energy_regression(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let e = energy[params.energy_first + params.energy_stride * row];
    let f = output[params.output_stride * row];
    var bad = select(NOT_A_NUMBER, 0u, is_within(e, params.max) && is_within(f, MAX_MAGNITUDE));
    let target_energy = select(0.0, params.beta * (e - params.reference), bad == 0u);
    let energy_of_model = select(0.0, f, bad == 0u);
    var residual = energy_of_model - target_energy;
    var slope = 1.0;
    if (EXPONENTIAL == 1u) {
        let model = exp_up_to(-energy_of_model, MAX_MODEL);
        residual = model - exp_up_to(-target_energy, MAX_TARGET);
        slope = select(-model, 0.0, -energy_of_model > MAX_MODEL);
    }
    bad |= select(NOT_A_NUMBER, 0u, abs(residual) <= MAX_RESIDUAL);
    residual = clamp(residual, -MAX_RESIDUAL, MAX_RESIDUAL);
    let gradient = 2.0 * residual * slope / f32(params.rows);
    output_gradient[row] = vec4<f32>(select(bitcast<f32>(bad), gradient, bad == 0u), 0.0, 0.0, 0.0);
    loss[row] = select(bitcast<f32>(bad), residual * residual, bad == 0u);
}
