// A user's energy and its gradient, both written by the user, one invocation per row.
//
//   energy_rows[r] = energy(x, y)      gradient_rows[r, .] = energy_gradient(x, y)
//   x : row r / chains of the context, [0] without a context      y : row r of the points
//
// The user's text is linked behind this file and defines
//   fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32
//   fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS>
// Bindings, parameters and defines: lib/shader_energy.wgsl; params.step is not used.
// Workgroup 64. Grid over rows invocations, folded over x and y.
//#include "lib/shader_energy.wgsl"

@compute @workgroup_size(64, 1, 1)
fn shader_energy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let x = context_of_row(row);
    let y = point_of_row(row);
    if ((MODE & 1u) != 0u) {
        energy_rows[row] = energy(x, y);
    }
    if ((MODE & 2u) != 0u) {
        let slopes = energy_gradient(x, y);
        for (var j = 0u; j < DIMS; j++) {
            gradient_rows[row * DIMS + j] = slopes[j];
        }
    }
}
