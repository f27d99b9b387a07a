// Sums over the lanes that share a row: LANES consecutive invocations of a workgroup of WORKGROUP,
// LANES a power of two.
//
// Numerics: pairwise over lanes in a fixed order, the same bits on all lanes of the row. One lane
// per row needs no barrier.

var<workgroup> lane_sums: array<vec2<f32>, WORKGROUP>;

fn row_sum(lane: u32, value: vec2<f32>) -> vec2<f32> {
    var sum = value;
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        lane_sums[lane] = sum;
        workgroupBarrier();
        let other = lane_sums[lane ^ width];
        workgroupBarrier();
        sum += other;
    }
    return sum;
}

fn over_vec4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
