//! Floor 7: batches.

use gibbs::gpu::DType;
use gibbs::gpu::run::random::stream_id;
use gibbs::train::draw_batch;
use gibbs::train::draw_batch::Choice;
use gibbs::train::{AliasEntry, Dataset, Draw as DrawOption, TrainOptions};
use gibbs_reference::gpu::run::random::{Draw, words};
use gibbs_reference::train::draw_batch as reference;
use gibbs_reference::train::draw_batch::{row_of_position, row_of_table, row_of_word};

use crate::common::{Adapter, Case, data, every_adapter, lavapipe, wide};

every_adapter!(
    batches_gather_the_rows_of_the_reference,
    batches_by_epochs_gather_the_rows_of_the_reference,
    batches_by_weight_gather_the_rows_of_the_reference,
    an_epoch_visits_every_row_once;
    once: rows_are_drawn_in_proportion_to_their_weights,
    a_weighted_epoch_is_refused_and_so_are_positions_beyond_64_bits,
    a_table_of_other_rows_is_refused,
);

/// Rounds of the library's permutations.
const SWAPS: u32 = 32;

#[derive(Clone, Copy, Debug)]
enum How {
    Replacement,
    Weighted,
    Epochs,
}

/// (batch, rows, x width, y width, candidates)
type Size = (usize, usize, usize, usize, usize);

const SIZES: [Size; 7] = [
    (1, 1, 1, 1, 1),
    (7, 7, 2, 1, 2),
    (63, 65, 1, 7, 1),
    (64, 257, 3, 2, 17),
    (65, 64, 7, 5, 3),
    (257, 1025, 2, 2, 65),
    // Without contexts.
    (65, 33, 0, 3, 2),
];

fn weights(rows: usize) -> Vec<f32> {
    (0..rows).map(|row| if row % 5 == 3 { 0.0 } else { 1.0 + (row % 7) as f32 }).collect()
}

fn table(weights: Vec<f32>) -> Vec<AliasEntry> {
    let data = Dataset::unconditional(vec![0.0; weights.len()], 1).unwrap().with_weights(weights).unwrap();
    data.alias_table().unwrap()
}

fn choice(case: &mut Case, how: How, rows: usize) -> Choice {
    match how {
        How::Replacement => Choice::Replacement,
        How::Weighted => {
            let table = table(weights(rows));
            Choice::Weighted(case.input::<u32>("table", [rows, 2], bytemuck::cast_slice(&table)))
        }
        How::Epochs => Choice::Epochs,
    }
}

fn gathers(adapter: &Adapter, how: How, seed: u64, step: u64) {
    for (batch, rows, x_width, y_width, candidates) in SIZES {
        let (x, y) = (data(41, rows * x_width), data(42, rows * y_width));
        let label = format!(
            "{how:?}, batch {batch} of {rows}, widths {x_width} and {y_width}, {candidates} candidates, step {step}"
        );
        let mut case = Case::new(adapter, label);
        case.run_state(seed, step);
        let contexts = match x_width {
            0 => case.recording.scratch("no contexts", DType::F32, [rows, 0]),
            _ => case.input("data_x", [rows, x_width], &x),
        };
        let values = (contexts, case.input("data_y", [rows, y_width], &y));
        let choice = choice(&mut case, how, rows);
        let drawn =
            draw_batch::record(&mut case.recording, values, choice, batch, candidates, "test/batch").unwrap();
        assert_eq!(case.recording.shape(drawn.0).unwrap().dims(), [batch, x_width]);
        if x_width > 0 {
            case.output("x", drawn.0);
        }
        case.output("y", drawn.1);
        case.expect_kernels(&["draw_batch"]);
        let results = case.run();

        let draw = Draw { seed, step, stream: u32::from(stream_id("test/batch")), inner: 0 };
        let blocks = words(draw, batch as u32);
        let of_words = |choose: &dyn Fn(&[u32]) -> u32| blocks.chunks_exact(4).map(choose).collect();
        let chosen: Vec<u32> = match how {
            How::Replacement => of_words(&|block| row_of_word(block[0], rows as u32)),
            How::Weighted => {
                let table = table(weights(rows));
                let table: Vec<[u32; 2]> =
                    table.iter().map(|entry| [entry.threshold, entry.alias_row]).collect();
                of_words(&|block| row_of_table([block[0], block[1]], &table))
            }
            How::Epochs => (0..batch as u64)
                .map(|b| {
                    let position = step.wrapping_mul(batch as u64).wrapping_add(b);
                    row_of_position(draw, SWAPS, position, rows as u32)
                })
                .collect(),
        };
        let expected = reference(&chosen, rows as u32, &wide(&x), &wide(&y));
        if x_width > 0 {
            results.expect("x", &results.get("x"), &expected.x, |_: usize| 0.0);
        }
        let stride = candidates * y_width;
        let found: Vec<f32> = results.get("y");
        let first: Vec<f32> = found.chunks_exact(stride).flat_map(|row| &row[..y_width]).copied().collect();
        results.expect("y", &first, &expected.y, |_: usize| 0.0);
        // The other candidates are the proposal's.
        results.expect_untouched("y", (0..found.len()).filter(|at| at % stride >= y_width));
    }
}

fn batches_gather_the_rows_of_the_reference(adapter: &Adapter) {
    gathers(adapter, How::Replacement, 0x0005_0000_0001, (1 << 32) + 7);
}

/// Steps at the start, where products carry into the high word, where the high word counts, and at
/// the limit.
fn batches_by_epochs_gather_the_rows_of_the_reference(adapter: &Adapter) {
    for step in [0, 3, 0x5555_5555, (1 << 32) + 7, (1 << 54) + 12_345, u64::MAX / 257, u64::MAX] {
        gathers(adapter, How::Epochs, 0x0005_0000_0001, step);
    }
}

fn batches_by_weight_gather_the_rows_of_the_reference(adapter: &Adapter) {
    gathers(adapter, How::Weighted, 0x0005_0000_0001, (1 << 32) + 7);
}

/// Rows `0..rows` that `batch` draws at each of the steps `from..from + steps`.
fn drawn(adapter: &Adapter, how: How, rows: usize, batch: usize, from: u64, steps: u64) -> Vec<u32> {
    let numbers: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let mut all = Vec::new();
    for step in from..from + steps {
        let mut case = Case::new(adapter, format!("{how:?}, {batch} of {rows} at step {step}"));
        case.run_state(11, step);
        let values = (case.input("data_x", [rows, 1], &numbers), case.input("data_y", [rows, 1], &numbers));
        let choice = choice(&mut case, how, rows);
        let (x, _) = draw_batch::record(&mut case.recording, values, choice, batch, 1, "test/batch").unwrap();
        case.output("x", x);
        all.extend(case.run().get::<f32>("x").into_iter().map(|row| row as u32));
    }
    all
}

fn an_epoch_visits_every_row_once(adapter: &Adapter) {
    // Batches that divide the rows, that do not, and that are larger than an epoch.
    for (rows, batch, steps) in [(64, 16, 8), (257, 100, 8), (65, 200, 2), (65_537, 40_000, 4), (1, 3, 2)] {
        let drawn = drawn(adapter, How::Epochs, rows, batch, 0, steps);
        let epochs: Vec<&[u32]> = drawn.chunks_exact(rows).collect();
        assert!(!epochs.is_empty());
        for (index, epoch) in epochs.iter().enumerate() {
            let mut seen = vec![false; rows];
            epoch.iter().for_each(|&row| seen[row as usize] = true);
            assert!(seen.iter().all(|seen| *seen), "{rows} rows by {batch}, epoch {index}: a row is missing");
        }
        if rows >= 64 && epochs.len() > 1 {
            assert_ne!(epochs[0], epochs[1], "{rows} rows: two epochs in one order");
        }
    }
}

fn rows_are_drawn_in_proportion_to_their_weights() {
    let rows = 257;
    let draws = 400_000;
    let drawn = drawn(lavapipe(), How::Weighted, rows, draws, 3, 1);
    let weights = weights(rows);
    let total: f32 = weights.iter().sum();
    let mut counts = vec![0u32; rows];
    drawn.iter().for_each(|&row| counts[row as usize] += 1);
    let (mut sum, mut degrees) = (0.0, -1.0);
    for (row, (&count, &weight)) in counts.iter().zip(&weights).enumerate() {
        assert!(weight > 0.0 || count == 0, "row {row} has no weight and was drawn {count} times");
        if weight > 0.0 {
            let expected = draws as f64 * f64::from(weight / total);
            sum += (f64::from(count) - expected).powi(2) / expected;
            degrees += 1.0;
        }
    }
    let deviations = (sum - degrees) / f64::sqrt(2.0 * degrees);
    assert!(deviations.abs() < 4.5, "chi-square is off by {deviations} standard deviations");

    let mut one_hot = vec![0.0; 65];
    one_hot[41] = 1e-30;
    let never = AliasEntry { threshold: 0, alias_row: 41 };
    assert!(table(one_hot).iter().enumerate().all(|(row, entry)| row == 41 || *entry == never));
}

fn a_weighted_epoch_is_refused_and_so_are_positions_beyond_64_bits() {
    let data = Dataset::unconditional(vec![0.0, 1.0], 1).unwrap();
    let options = TrainOptions::ranking_nce().with_draw(DrawOption::Epochs);
    options.check(&data).unwrap();
    let weighted = data.clone().with_weights(vec![1.0, 2.0]).unwrap();
    let error = options.check(&weighted).unwrap_err().to_string();
    assert!(error.contains("weights") && error.contains("replacement"), "{error}");
    TrainOptions::ranking_nce().check(&weighted).unwrap();
    let long = options.clone().with_steps(u64::MAX / 128 + 1);
    let error = long.check(&data).unwrap_err().to_string();
    assert!(error.contains("steps") && error.contains("2^64"), "{error}");
    options.with_steps(u64::MAX / 128).check(&data).unwrap();
    TrainOptions::ranking_nce().with_steps(u64::MAX).check(&data).unwrap();
    // A description need not name the draw.
    let text = r#"{"batch": 7, "steps": 3, "objective": {"kind": "ranking_nce"}}"#;
    assert_eq!(serde_json::from_str::<TrainOptions>(text).unwrap().draw, DrawOption::Replacement);
}

fn a_table_of_other_rows_is_refused() {
    let mut case = Case::new(lavapipe(), "refusals");
    let values = (case.input("data_x", [3, 1], &[0.0f32; 3]), case.input("data_y", [3, 1], &[0.0f32; 3]));
    let short = case.input("short", [2, 2], &[0u32; 4]);
    let floats = case.input("floats", [3, 2], &[0.0f32; 6]);
    for table in [short, floats] {
        let choice = Choice::Weighted(table);
        assert!(draw_batch::record(&mut case.recording, values, choice, 4, 1, "test/batch").is_err());
    }
}
