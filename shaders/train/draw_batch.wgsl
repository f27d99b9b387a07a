// Draws a batch with replacement and gathers its rows.
//
//   i[b] = high 32 bits of word * rows      x[b] = data_x[i[b]]      y[b, 0] = data_y[i[b]]
//
// data_x : [rows, x_width] read      data_y : [rows, y_width] read      state : run state, read
// x : [batch, x_width] written      y : [batch, y_stride], the first y_width elements of each row written
// Random: element b owns the block whose word 0 chooses the row. The bias against uniform is below rows / 2^32.
// Workgroup 64. Grid over batch invocations, folded over x and y.
//#include "lib/philox.wgsl"

struct Params {
    batch: u32,
    rows: u32,
    x_width: u32,
    y_width: u32,
    y_stride: u32,
    stream: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data_x: array<f32>;
@group(0) @binding(2) var<storage, read> data_y: array<f32>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn draw_batch(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let b = id.y * groups.x * 64u + id.x;
    if (b >= params.batch) {
        return;
    }
    let row = mul_high(random_words4(state, b, params.stream, 0u).x, params.rows);
    for (var j = 0u; j < params.x_width; j++) {
        x[b * params.x_width + j] = data_x[row * params.x_width + j];
    }
    for (var j = 0u; j < params.y_width; j++) {
        y[b * params.y_stride + j] = data_y[row * params.y_width + j];
    }
}
