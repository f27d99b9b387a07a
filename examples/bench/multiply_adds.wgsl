// Multiply-adds in registers: the arithmetic peak.
//
//   a <- factor a + addend, 16 rounds at a time, for twelve numbers a; sums[i] = their sum
//
// sums : [count] written
// Twelve chains cover the latency of an addition behind a multiplication and leave registers for the factors where a machine has
// sixteen. A number ends at limit + factor^(16 rounds) (start - limit), limit = addend / (1 - factor): the host chooses a factor
// so close to 1 that the result tells how many rounds were run.
// Workgroup 64. Grid: count invocations, folded over x and y.

struct Params {
    count: u32,
    rounds: u32,
    factor: f32,
    addend: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn multiply_adds(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= params.count) {
        return;
    }
    // Multiples of 1/16 below 4: twelve different starts.
    let start = f32(index % 16u) / 16.0;
    var a = vec4<f32>(start, start + 0.25, start + 0.5, start + 0.75);
    var b = a + 1.0;
    var c = a + 2.0;
    for (var round = 0u; round < params.rounds; round++) {
        for (var inner = 0u; inner < 16u; inner++) {
            a = a * params.factor + params.addend;
            b = b * params.factor + params.addend;
            c = c * params.factor + params.addend;
        }
    }
    let sum = a + b + c;
    sums[index] = (sum.x + sum.y) + (sum.z + sum.w);
}
