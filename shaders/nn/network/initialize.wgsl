// Draws the initial values of one slice of a flat parameter buffer.
//
//   parameters[offset + i * stride + o] = center + bound (2 u - 1) for i < rows, o < columns;
//       the padding is left as it is
//
// parameters : flat, written
// state : run state, read. Element i * columns + o of the stream draws u.
// Workgroup 64. Grid over ceil(rows * columns / 4) invocations, folded over x and y.
//#include "lib/philox.wgsl"

struct Params {
    offset: u32,
    rows: u32,
    columns: u32,
    stride: u32,
    stream: u32,
    inner: u32,
    center: f32,
    bound: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn initialize(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let block = id.y * groups.x * 64u + id.x;
    let u = uniform4(random_words4(state, block, params.stream, params.inner));
    for (var lane = 0u; lane < 4u; lane++) {
        let at = 4u * block + lane;
        if (at < params.rows * params.columns) {
            let i = at / params.columns;
            let o = at % params.columns;
            parameters[params.offset + i * params.stride + o] =
                params.center + params.bound * (2.0 * u[lane] - 1.0);
        }
    }
}
