// A quadratic energy and its gradient, one invocation per row.
//
//   d = y - mean - slope x      E = d' A d / 2      dE/dy = A d
//   A is `inverse_covariance`: a symmetric matrix (FULL = 1) or its diagonal (FULL = 0).
//
// mean : [dims] read
// slope : [dims, width] read
// inverse_covariance : [dims, dims] or [dims] read
// context : [rows / chains, width] read (width = 0: slope and context are any buffers)
// y : [rows, dims] read
// energy : [rows] written (MODE & 1, otherwise any spare buffer)
// gradient : [rows, dims] written (MODE & 2, the same)
// Defines: MODE (1 energy, 2 gradient, 3 both), FULL, CAPACITY (at least dims if FULL = 1).
// Workgroup 64. Grid over rows invocations, folded over x and y.
// Numerics: sums in ascending order. Finite while all |A| d^2 stay below 1e37.

struct Params {
    rows: u32,
    chains: u32, // rows per context row, at least 1
    dims: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> slope: array<f32>;
@group(0) @binding(3) var<storage, read> inverse_covariance: array<f32>;
@group(0) @binding(4) var<storage, read> context: array<f32>;
@group(0) @binding(5) var<storage, read> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> energy: array<f32>;
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>;

fn difference(row: u32, j: u32) -> f32 {
    let first = (row / params.chains) * params.width;
    var center = mean[j];
    for (var k = 0u; k < params.width; k++) {
        center += slope[j * params.width + k] * context[first + k];
    }
    return y[row * params.dims + j] - center;
}

@compute @workgroup_size(64, 1, 1)
fn quadratic_energy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var differences: array<f32, CAPACITY>;
    if (FULL == 1u) {
        for (var j = 0u; j < params.dims; j++) {
            differences[j] = difference(row, j);
        }
    }
    var sum = 0.0;
    for (var i = 0u; i < params.dims; i++) {
        var d = 0.0;
        var g = 0.0;
        if (FULL == 1u) {
            d = differences[i];
            for (var j = 0u; j < params.dims; j++) {
                g += inverse_covariance[i * params.dims + j] * differences[j];
            }
        } else {
            d = difference(row, i);
            g = inverse_covariance[i] * d;
        }
        sum += 0.5 * d * g;
        if ((MODE & 2u) != 0u) {
            gradient[row * params.dims + i] = g;
        }
    }
    if ((MODE & 1u) != 0u) {
        energy[row] = sum;
    }
}
