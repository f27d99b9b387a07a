// Energies of chains, made unusable where the position is: networks may swallow a coordinate that
// is not finite on the way to their energy.
//
//   out[r] = E[r] if all y[r, j] are finite, else NaN
//
// energy : rows of one number, `energy_stride` elements apart, read
// y : [rows, dims] read
// out : [rows] written
// Numerics: NaN is made and moved as bits; readers test bits (lib/finite.wgsl).
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/finite.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    energy_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn usable_energy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var sound = true;
    for (var j = 0u; j < params.dims; j++) {
        sound = sound && is_finite(y[row * params.dims + j]);
    }
    let bits = bitcast<u32>(energy[row * params.energy_stride]);
    out[row] = bitcast<f32>(select(NOT_A_NUMBER, bits, sound));
}
