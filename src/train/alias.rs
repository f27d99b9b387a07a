//! Drawing rows by weight: an alias table, made in `f64`.

use crate::gpu::shared_struct;

shared_struct! {
    /// An entry of an alias table, as `shaders/train/draw_batch.wgsl` reads it.
    pub struct AliasEntry in "train/draw_batch.wgsl" {
        /// The row itself is drawn where a uniform `u32` lies below.
        threshold: u32,
        /// The row that is drawn otherwise.
        alias_row: u32,
    }
}

/// The alias table of `weights` (non-negative and finite, not all zero): per row a threshold and an
/// alias. A column is chosen uniformly, then the column itself if a uniform `u32` lies below its
/// threshold, else its alias.
///
/// Source: Walker 1977 with the two-list construction of Vose 1991. A row's probability is right to
/// `2^-32`, and that of a row of weight zero is zero.
pub(super) fn table(weights: &[f32]) -> Vec<AliasEntry> {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut share: Vec<f64> =
        weights.iter().map(|&weight| f64::from(weight) / total * weights.len() as f64).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..share.len()).partition(|&row| share[row] < 1.0);
    let heaviest =
        (0..weights.len()).fold(0, |best, row| if weights[row] > weights[best] { row } else { best });
    let whole = |row| AliasEntry { threshold: u32::MAX, alias_row: row as u32 };
    let mut table: Vec<AliasEntry> = (0..weights.len()).map(whole).collect();
    while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
        let threshold = (share[low] * 4_294_967_296.0) as u32;
        table[low] = AliasEntry { threshold, alias_row: high as u32 };
        share[high] -= 1.0 - share[low];
        if share[high] < 1.0 {
            large.pop();
            small.push(high);
        }
    }
    // Rounding can leave columns that should be full; one without weight must not be among them.
    for (row, weight) in weights.iter().enumerate() {
        if *weight == 0.0 && table[row].alias_row == row as u32 {
            table[row] = AliasEntry { threshold: 0, alias_row: heaviest as u32 };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table gives each row, exactly up to rounding here.
    fn probabilities(table: &[AliasEntry]) -> Vec<f64> {
        let mut of = vec![0.0; table.len()];
        for (row, &AliasEntry { threshold, alias_row }) in table.iter().enumerate() {
            let own = f64::from(threshold) / 4_294_967_296.0;
            of[row] += own / table.len() as f64;
            of[alias_row as usize] += (1.0 - own) / table.len() as f64;
        }
        of
    }

    #[test]
    fn the_table_has_the_weights_as_probabilities() {
        let wave = |count: usize| (0..count).map(|at| ((at as f32 * 0.7).sin() + 1.0).powi(3)).collect();
        let cases: [Vec<f32>; 8] = [
            vec![1.0],
            vec![3.0, 1.0],
            vec![0.0, 0.0, 7.5, 0.0],
            vec![1e-38, 1e38, 0.0, 3e37],
            vec![0.1; 63],
            vec![f32::MAX; 5],
            wave(257),
            (0..1000).map(|at| if at % 3 == 0 { 0.0 } else { at as f32 }).collect(),
        ];
        for weights in cases {
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (row, found) in probabilities(&table(&weights)).into_iter().enumerate() {
                let wanted = f64::from(weights[row]) / total;
                assert!((found - wanted).abs() < 3e-10, "row {row} of {}: {found} {wanted}", weights.len());
                assert!(found == 0.0 || weights[row] > 0.0, "row {row} has no weight but {found}");
            }
        }
    }
}
