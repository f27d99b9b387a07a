// What the kernels around a user's energy share: its rows of contexts and points as arrays.
//
// context_rows : [rows / chains, width] read (width = 0: any buffer, and x is [0])
// y_rows : [rows, DIMS] read
// energy_rows : [rows] written (MODE & 1, otherwise any spare buffer)
// gradient_rows : [rows, DIMS] written (MODE & 2, otherwise any spare buffer)
// Defines: MODE (1 energy, 2 gradient, 3 both), DIMS, CONTEXT = max(width, 1).
// Bindings 5 to 8 are left to the user's tensors and knobs.
// A module-scope name of the user's hides a built-in function, so the kernels around the user's
// text call none.

struct Params {
    rows: u32,
    chains: u32, // rows per context row, at least 1
    width: u32,
    step: f32, // of central differences, data units
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> context_rows: array<f32>;
@group(0) @binding(2) var<storage, read> y_rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> energy_rows: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient_rows: array<f32>;

fn context_of_row(row: u32) -> array<f32, CONTEXT> {
    let first = (row / params.chains) * params.width;
    var x: array<f32, CONTEXT>;
    for (var k = 0u; k < params.width; k++) {
        x[k] = context_rows[first + k];
    }
    return x;
}

fn point_of_row(row: u32) -> array<f32, DIMS> {
    var y: array<f32, DIMS>;
    for (var j = 0u; j < DIMS; j++) {
        y[j] = y_rows[row * DIMS + j];
    }
    return y;
}
