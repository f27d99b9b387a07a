// The rest of a graph: adds the gradient of sum_j t_j x_j^2 / 2 to a gradient under test.
//
//   total[i] = gradient[i] + term[i] x[i]
//
// gradient, term, x : [count] read, in memory order     total : [count] written
// Workgroup 64. Grid: count invocations, folded.
// Numerics: one product, one sum.

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> term: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(64)
fn add_term(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < params.count) {
        total[i] = gradient[i] + term[i] * x[i];
    }
}
