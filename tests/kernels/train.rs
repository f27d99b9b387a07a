//! Floor 7: batches.

use gibbs::gpu::random::stream_id;
use gibbs::train::draw_batch;
use gibbs_reference::gpu::random::{Draw, words};
use gibbs_reference::train::draw_batch as reference;

use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(batches_gather_the_rows_of_the_reference);

fn batches_gather_the_rows_of_the_reference(adapter: &Adapter) {
    for (batch, rows, x_width, y_width, candidates) in [
        (1, 1, 1, 1, 1),
        (7, 7, 2, 1, 2),
        (63, 65, 1, 7, 1),
        (64, 257, 3, 2, 17),
        (65, 64, 7, 5, 3),
        (257, 1025, 2, 2, 65),
    ] {
        let (x, y) = (data(41, rows * x_width), data(42, rows * y_width));
        let (seed, step) = (0x0005_0000_0001, (1 << 32) + 7);
        let label =
            format!("batch {batch} of {rows}, widths {x_width} and {y_width}, {candidates} candidates");
        let mut case = Case::new(adapter, label);
        case.run_state(seed, step);
        let values = (case.input("data_x", [rows, x_width], &x), case.input("data_y", [rows, y_width], &y));
        let drawn = draw_batch::record(&mut case.recording, values, batch, candidates, "test/batch").unwrap();
        case.output("x", drawn.0);
        case.output("y", drawn.1);
        case.expect_kernels(&["draw_batch"]);
        let results = case.run();

        let draw = Draw { seed, step, stream: u32::from(stream_id("test/batch")), inner: 0 };
        let chosen: Vec<u32> = words(draw, batch as u32).chunks_exact(4).map(|block| block[0]).collect();
        let expected = reference(&chosen, rows as u32, &wide(&x), &wide(&y));
        results.expect("x", &results.get("x"), &expected.x, |_: usize| 0.0);
        let stride = candidates * y_width;
        let found: Vec<f32> = results.get("y");
        let first: Vec<f32> = found.chunks_exact(stride).flat_map(|row| &row[..y_width]).copied().collect();
        results.expect("y", &first, &expected.y, |_: usize| 0.0);
        // The other candidates are the proposal's.
        results.expect_untouched("y", (0..found.len()).filter(|at| at % stride >= y_width));
    }
}
