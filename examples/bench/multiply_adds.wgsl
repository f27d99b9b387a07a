// Multiply-adds in registers: the arithmetic peak.
//
//   v[j] <- coupling v[j + 1] + v[j] for twelve numbers in a ring, 32 rounds at a time;
//       sums[i] = their sum weighted by 1 .. 12
//
// sums : [count] written
// Twelve sums cover the latency of an addition behind a multiplication and leave registers for the
// coupling where a machine has sixteen. They are coupled so that no compiler can work off one after
// the other, which would wait for every addition. Rounds are written out: a loop carries the
// counter that bounds it, so drivers do not unroll it.
// Workgroup 64. Grid: count invocations, folded over x and y.

struct Params {
    count: u32,
    passes: u32,
    coupling: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

var<private> a: vec4<f32>;
var<private> b: vec4<f32>;
var<private> c: vec4<f32>;
var<private> coupling: f32;

fn one_round() {
    let first = a.x;
    a = vec4<f32>(a.yzw, b.x) * coupling + a;
    b = vec4<f32>(b.yzw, c.x) * coupling + b;
    c = vec4<f32>(c.yzw, first) * coupling + c;
}

fn four_rounds() {
    one_round();
    one_round();
    one_round();
    one_round();
}

fn sixteen_rounds() {
    four_rounds();
    four_rounds();
    four_rounds();
    four_rounds();
}

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
    coupling = params.coupling;
    let start = f32(index % 16u) / 16.0;
    a = vec4<f32>(start, start + 0.25, start + 0.5, start + 0.75);
    b = a + 1.0;
    c = a + 2.0;
    for (var at = 0u; at < params.passes; at++) {
        sixteen_rounds();
        sixteen_rounds();
    }
    let weighted = a * vec4<f32>(1.0, 2.0, 3.0, 4.0) + b * vec4<f32>(5.0, 6.0, 7.0, 8.0)
        + c * vec4<f32>(9.0, 10.0, 11.0, 12.0);
    sums[index] = (weighted.x + weighted.y) + (weighted.z + weighted.w);
}
