// One stage of a Runge-Kutta step of the probability flow dy/drho = eps, y = x / alpha, rho =
// sigma / alpha.
//
//   total = weight slope + total (FIRST: weight slope alone)
//   FIRST, BETWEEN: x = alpha (y + ahead slope), where the next stage is evaluated
//   LAST: y = y + total, x = alpha y
//   Source: arXiv 2011.13456, the probability flow, with the drift taken out by the scale of y.
//
// slope : [rows, dims] read, rows slope_stride numbers apart
// y : [rows, dims], rows y_stride numbers apart; total : [rows, dims]; both read and written
// x : [rows, dims] written
// Workgroup 64. Grid over count = rows * dims invocations, folded over x and y.
// Numerics: alpha is the next stage's, sums of f32; a step's slopes are added to one another before
// they meet y.

struct Params {
    count: u32,
    dims: u32,
    slope_stride: u32,
    y_stride: u32,
    place: u32,
    weight: f32,
    ahead: f32,
    alpha: f32,
}

const FIRST: u32 = 0u;
const LAST: u32 = 2u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slope: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> total: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn flow_stage(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count) {
        return;
    }
    let row = at / params.dims;
    let j = at % params.dims;
    let k = slope[row * params.slope_stride + j];
    var sum = params.weight * k;
    if (params.place != FIRST) {
        sum += total[at];
    }
    let place = row * params.y_stride + j;
    let here = y[place];
    if (params.place == LAST) {
        y[place] = here + sum;
        x[at] = params.alpha * (here + sum);
    } else {
        total[at] = sum;
        x[at] = params.alpha * (here + params.ahead * k);
    }
}
