// Two sums over the lanes of a tree, added up as lib/tree.wgsl merges: in a fixed order, the same
// on every device.
//
// The includer defines TREE_LANES (invocations of the workgroup) and TREE_WIDTH, a power of two.
// A second sum needs a barrier in front of it.

var<workgroup> tree_sums: array<vec2<f32>, TREE_LANES>;

// The sums of the invocation's tree, on all of its lanes.
fn tree_sum(invocation: u32, value: vec2<f32>) -> vec2<f32> {
    let lane = invocation % TREE_WIDTH;
    tree_sums[invocation] = value;
    workgroupBarrier();
    for (var width = TREE_WIDTH / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            tree_sums[invocation] += tree_sums[invocation + width];
        }
        workgroupBarrier();
    }
    return tree_sums[invocation - lane];
}
