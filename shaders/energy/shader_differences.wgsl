// A user's energy and its gradient by central differences, one invocation per coordinate (per row
// for MODE = 1).
//
//   gradient_rows[r, j] = (energy(x, y + h e_j) - energy(x, y - h e_j)) / ((y_j + h) - (y_j - h))
//   h = max(step, |y_j| / 4096): a step far below the spacing of f32 at y_j would be lost
//   energy_rows[r] = energy(x, y), by the invocation of coordinate 0
//
// The user's text is linked behind this file and defines
//   fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32
// Bindings, parameters and defines: lib/shader_energy.wgsl.
// Workgroup 64. Grid over rows * (MODE & 2 ? DIMS : 1) invocations, folded over x and y.
// Numerics: the error is h^2 / 6 of the third derivative plus the rounding of two energies over 2
// h.
//#include "lib/shader_energy.wgsl"

@compute @workgroup_size(64, 1, 1)
fn shader_differences(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    var row = at;
    var j = 0u;
    if ((MODE & 2u) != 0u) {
        row = at / DIMS;
        j = at % DIMS;
    }
    if (row >= params.rows) {
        return;
    }
    let x = context_of_row(row);
    var y = point_of_row(row);
    if ((MODE & 1u) != 0u && j == 0u) {
        energy_rows[row] = energy(x, y);
    }
    if ((MODE & 2u) != 0u) {
        let center = y[j];
        let least = center * 0.000244140625;
        var h = params.step;
        if (least > h) {
            h = least;
        }
        if (-least > h) {
            h = -least;
        }
        let above = center + h;
        let below = center - h;
        y[j] = above;
        let high = energy(x, y);
        y[j] = below;
        let low = energy(x, y);
        gradient_rows[row * DIMS + j] = (high - low) / (above - below);
    }
}
