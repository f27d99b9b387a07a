// Fills the memory of Metropolis chains at their start, and sets the learned factor on the step
// size to 1.
//
//   cache[row] = (energy, 0, 0, 0, 0, 0, dead, 0, 0), then the gradient
//   cache[rows] = (0, .., 0), then the scales
//   step_adaptation = (1, 0, 0, 0)
//
// energy : rows of one number, `energy_stride` elements apart, read
// gradient : [rows, dims] read
// scales : [dims] read
// y : [rows, dims] written where a start is unusable
// cache : rows of Chain, see lib/chain.wgsl, written
// step_adaptation : StepAdaptation, written
// A start whose energy is not finite takes that value in all coordinates, one whose gradient is not
// finite in those coordinates: such a chain never moves again, and shows.
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/chain_store.wgsl"
//#include "lib/finite.wgsl"
//#include "lib/step_adaptation.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    energy_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> cache: array<f32>;
@group(0) @binding(6) var<storage, read_write> step_adaptation: StepAdaptation;

@compute @workgroup_size(64, 1, 1)
fn begin_chains(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    if (row == 0u) {
        step_adaptation = StepAdaptation(1.0, 0.0, 0.0, 0.0);
        store_chain(params.rows, Chain(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0));
        for (var j = 0u; j < params.dims; j++) {
            cache[chain_scale_at(j)] = scales[j];
        }
    }
    let start = energy[row * params.energy_stride];
    var dead = !is_finite(start);
    for (var j = 0u; j < params.dims; j++) {
        let energy_gradient = gradient[row * params.dims + j];
        cache[chain_gradient_at(row, j)] = energy_gradient;
        if (!is_finite(energy_gradient)) {
            y[row * params.dims + j] = energy_gradient;
            dead = true;
        }
        // Networks may swallow that on the way to their energy.
        dead = dead || !is_finite(y[row * params.dims + j]);
        if (!is_finite(start)) {
            y[row * params.dims + j] = start;
        }
    }
    store_chain(row, Chain(start, 0.0, 0.0, 0.0, 0.0, 0.0, select(0.0, 1.0, dead), 0.0, 0.0));
}
