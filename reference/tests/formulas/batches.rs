//! The permutations of epochs and the alias method, as mathematics.

use gibbs_reference::gpu::run::random::Draw;
use gibbs_reference::train::draw_batch::{row_of_position, row_of_table};

const SWAPS: u32 = 32;

fn draw(seed: u64, stream: u32) -> Draw {
    Draw { seed, step: 77, stream, inner: 3 }
}

fn epoch(seed: u64, stream: u32, epoch: u64, n: u32) -> Vec<u32> {
    let begin = epoch * u64::from(n);
    (begin..begin + u64::from(n)).map(|p| row_of_position(draw(seed, stream), SWAPS, p, n)).collect()
}

fn is_permutation(rows: &[u32]) -> bool {
    let mut seen = vec![false; rows.len()];
    rows.iter().all(|&row| (row as usize) < seen.len() && !std::mem::replace(&mut seen[row as usize], true))
}

/// Chi-square of counts against equal expectations, in standard deviations.
fn deviations(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let sum: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    let degrees = (counts.len() - 1) as f64;
    (sum - degrees) / (2.0 * degrees).sqrt()
}

#[test]
fn every_epoch_is_a_permutation_for_any_number_of_rows() {
    assert!(!is_permutation(&[0, 2, 2]) && !is_permutation(&[0, 3, 1]));
    for n in [1, 2, 3, 5, 63, 64, 65, 257, 1000, 4097, 65_537, 100_003] {
        for index in [0, 1, (1 << 32) + 5] {
            assert!(is_permutation(&epoch(9, 4, index, n)), "{n} rows, epoch {index}");
        }
    }
    // Any number of rounds permutes, so it is the structure, not the draw, that guarantees it.
    for swaps in [0, 1, 2, 3, 7] {
        let rows: Vec<u32> = (0..101).map(|p| row_of_position(draw(1, 2), swaps, p, 101)).collect();
        assert!(is_permutation(&rows), "{swaps} rounds");
    }
}

#[test]
fn the_largest_numbers_of_rows_stay_in_range_and_apart() {
    for n in [1 << 31, (1 << 31) + 1, u32::MAX] {
        let mut rows: Vec<u32> =
            (0..2000).map(|p| row_of_position(draw(5, 1), SWAPS, p * 1_000_003, n)).collect();
        assert!(rows.iter().all(|&row| row < n));
        rows.sort_unstable();
        rows.dedup();
        // 2000 positions below n and its first multiples; those of one epoch never meet.
        let first = (0..2000).filter(|p| p * 1_000_003 < u64::from(n)).count();
        assert!(rows.len() >= first);
    }
}

#[test]
fn epochs_streams_and_seeds_give_other_orders() {
    let n = 257;
    let base = epoch(1, 1, 0, n);
    for (name, other) in
        [("epoch", epoch(1, 1, 1, n)), ("stream", epoch(1, 2, 0, n)), ("seed", epoch(2, 1, 0, n))]
    {
        // Two random permutations agree in one place on average.
        let equal = base.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(equal < 9, "another {name}: {equal} places equal");
    }
}

#[test]
fn a_row_is_anywhere_in_its_epoch_with_equal_chance_and_so_are_pairs() {
    for n in [5u32, 16, 37] {
        let epochs = 40_000u64;
        let count = n as usize;
        let mut places = vec![vec![0u32; count]; count];
        let mut pairs = vec![0u32; count * count];
        for index in 0..epochs {
            let order = epoch(3, 9, index, n);
            for (at, &row) in order.iter().enumerate() {
                places[row as usize][at] += 1;
            }
            // The first place and the third, together.
            pairs[order[0] as usize * count + order[2] as usize] += 1;
        }
        for (row, counts) in places.iter().enumerate() {
            assert!(deviations(counts).abs() < 4.5, "row {row} of {n}: {}", deviations(counts));
        }
        let apart: Vec<u32> =
            (0..count * count).filter(|cell| cell / count != cell % count).map(|cell| pairs[cell]).collect();
        assert_eq!(apart.iter().sum::<u32>() as u64, epochs);
        assert!(deviations(&apart).abs() < 4.5, "pairs of {n}: {}", deviations(&apart));
    }
    assert!(deviations(&[900, 1100, 1000, 1000]) > 4.5, "the comparison cannot tell");
}

#[test]
fn neighbors_in_an_epoch_are_unrelated() {
    // Correlation of a place with its row, and of rows that follow each other, in a long epoch.
    let n = 65_537u32;
    let order = epoch(8, 2, 0, n);
    let middle = f64::from(n - 1) / 2.0;
    let spread = f64::from(n).powi(2) / 12.0;
    let correlation = |pairs: &mut dyn Iterator<Item = (f64, f64)>| {
        pairs.map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>() / spread / f64::from(n).sqrt()
    };
    let by_place = correlation(&mut order.iter().enumerate().map(|(at, &row)| (at as f64, f64::from(row))));
    let by_next = correlation(&mut order.windows(2).map(|w| (f64::from(w[0]), f64::from(w[1]))));
    assert!(by_place.abs() < 4.5 && by_next.abs() < 4.5, "{by_place} {by_next} standard deviations");
}

#[test]
fn an_alias_table_chooses_by_threshold() {
    let table = [[0, 2], [1 << 31, 0], [5, 2]];
    let third = |j: u32| ((u64::from(j) << 32) / 3 + 1) as u32;
    assert_eq!(row_of_table([third(0), 0], &table), 2);
    assert_eq!(row_of_table([third(1), (1 << 31) - 1], &table), 1);
    assert_eq!(row_of_table([third(1), 1 << 31], &table), 0);
    assert_eq!(row_of_table([third(2), u32::MAX], &table), 2);
}
