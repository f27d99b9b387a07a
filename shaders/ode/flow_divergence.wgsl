// A probe's share of the divergence along a probability flow, added up per row.
//
//   log_det[r] = log_det[r] + weight probe[r] . product[r] (BEGIN: without the first term),
//       product = J' probe
//   Source: arXiv 1810.01367, the trace of a Jacobian by products with probes;
//       unit vectors give it exactly.
//
// probe, product : [rows, dims] read, rows probe_stride and product_stride numbers apart
// log_det : [rows] read and written
// Workgroup 64. Grid over rows invocations, folded over x and y.

struct Params {
    rows: u32,
    dims: u32,
    probe_stride: u32,
    product_stride: u32,
    begin: u32,
    weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> probe: array<f32>;
@group(0) @binding(2) var<storage, read> product: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_det: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn flow_divergence(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        sum += probe[row * params.probe_stride + j] * product[row * params.product_stride + j];
    }
    sum = params.weight * sum;
    if (params.begin == 0u) {
        sum += log_det[row];
    }
    log_det[row] = sum;
}
