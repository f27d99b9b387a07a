// A value of every lane merged into one, by a tree of fixed shape: lane l takes that of lane l +
// width, width halved until it is 1. A tree has TREE_WIDTH consecutive invocations of the
// workgroup, a power of two.
//
// The includer defines TREE_LANES (invocations of the workgroup), TREE_WIDTH, `alias TreeValue` and
// `fn tree_merge(a: TreeValue, b: TreeValue) -> TreeValue`, a being that of the lower lane.
// Sums have lib/tree_sum.wgsl. A second reduction needs a barrier in front of it.

var<workgroup> tree_values: array<TreeValue, TREE_LANES>;

// The merged value of the invocation's tree, on all of its lanes.
fn tree_reduce(invocation: u32, value: TreeValue) -> TreeValue {
    let lane = invocation % TREE_WIDTH;
    tree_values[invocation] = value;
    workgroupBarrier();
    for (var width = TREE_WIDTH / 2u; width > 0u; width = width / 2u) {
        if (lane < width) {
            let merged = tree_merge(tree_values[invocation], tree_values[invocation + width]);
            tree_values[invocation] = merged;
        }
        workgroupBarrier();
    }
    return tree_values[invocation - lane];
}
