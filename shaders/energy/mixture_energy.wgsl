// The negative log-density of a mixture of diagonal Gaussians and its gradient, one invocation per
// row.
//
//   l_c = coefficient_c - sum_j t_cj^2 / 2      t_cj = (y_j - mean_cj) inverse_std_cj
//   E = -log-sum-exp_c l_c      dE/dy_j = sum_c r_c t_cj inverse_std_cj      r = softmax(l)
//   coefficient_c = ln weight_c - sum_j ln std_cj
//       - dims ln(2 pi) / 2 comes from the host in f64 precision.
//
// table : [components, 1 + 2 dims], the coefficient, then (mean, inverse std) of each dimension,
// read
// y : [rows, dims] read      energy : [rows] written (MODE & 1, otherwise any spare buffer)
// gradient : [rows, dims] written (MODE & 2, otherwise any spare buffer)
// Defines: MODE (1 energy, 2 gradient, 3 both), CAPACITY (at least dims if MODE & 2).
// Workgroup 64. Grid over rows invocations, folded over x and y.
// Numerics: one pass of running pairs, the gradient's sums kept relative to the running maximum, so
// that the likeliest component weighs 1 however far away y is. Finite while sum_j t_cj^2 stays
// below 1e37.
// A coordinate that is not finite shows.
//#include "lib/finite.wgsl"
//#include "lib/logsumexp.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    components: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> energy: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn mixture_energy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let first = row * params.dims;
    var slopes: array<f32, CAPACITY>;
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var c = 0u; c < params.components; c++) {
        let at = c * (1u + 2u * params.dims);
        var l = table[at];
        for (var j = 0u; j < params.dims; j++) {
            let t = (y[first + j] - table[at + 1u + 2u * j]) * table[at + 2u + 2u * j];
            l -= 0.5 * t * t;
        }
        if ((MODE & 2u) != 0u) {
            let largest = max(pair.x, l);
            let keep = exp_negative(pair.x - largest);
            let weight = exp_negative(l - largest);
            for (var j = 0u; j < params.dims; j++) {
                let inverse = table[at + 2u + 2u * j];
                let t = (y[first + j] - table[at + 1u + 2u * j]) * inverse;
                slopes[j] = slopes[j] * keep + weight * t * inverse;
            }
        }
        pair = pair_add(pair, l);
    }
    if ((MODE & 1u) != 0u) {
        var value = -pair_value(pair);
        for (var j = 0u; j < params.dims; j++) {
            value = select(y[first + j], value, is_finite(y[first + j]));
        }
        energy[row] = value;
    }
    if ((MODE & 2u) != 0u) {
        for (var j = 0u; j < params.dims; j++) {
            gradient[first + j] = slopes[j] / pair.y;
        }
    }
}
