//! Floor 5: exact scores and energies, likelihoods.

use gibbs::diffusion::combine;
use gibbs::gpu::Shape;
use gibbs_reference::diffusion as reference;

use crate::common::{Adapter, Bound, Case, data, every_adapter, wide};

every_adapter!(combine_equals_the_reference);

fn combine_equals_the_reference(adapter: &Adapter) {
    for (index, [rows, dims]) in
        [[1, 1], [7, 7], [63, 2], [64, 4], [65, 5], [257, 3], [5, 64], [3, 65], [2, 257]]
            .into_iter()
            .enumerate()
    {
        let (a, b) = (1.75 - index as f32, 0.3 * index as f32);
        let (left, right) = (data(1, rows * dims), data(2, rows * dims));
        let mut case = Case::new(adapter, format!("combine [{rows}, {dims}]"));
        let packed = |case: &mut Case, name: &str, values: &[f32]| case.packed(name, rows, dims, values);
        let plain = |case: &mut Case, name: &str, values: &[f32]| case.input(name, [1, rows, dims], values);
        let x = if index % 2 == 0 { packed(&mut case, "x", &left) } else { plain(&mut case, "x", &left) };
        let y = if index % 3 == 0 { packed(&mut case, "y", &right) } else { plain(&mut case, "y", &right) };
        let sum = combine::record(&mut case.recording, "sum", (a, x), (b, y)).unwrap();
        case.output("sum", sum);
        let shape = Shape::new([rows, 1, dims]);
        let bare = combine::record_shaped(&mut case.recording, "bare", shape, (a, x), (b, y)).unwrap();
        case.output("bare", bare);
        case.expect_kernels(&["combine", "combine"]);
        let results = case.run();
        let expected = reference::combine((a.into(), &wide(&left)), (b.into(), &wide(&right)));
        results.expect("sum", &results.packed("sum"), &expected.value, Bound::sum(&expected.magnitude, 2));
        results.expect("bare", &results.get("bare"), &expected.value, Bound::sum(&expected.magnitude, 2));
    }
}
