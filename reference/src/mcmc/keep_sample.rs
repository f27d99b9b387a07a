//! Samples kept along chains (`shaders/mcmc/keep_sample.wgsl`).

use std::ops::Range;

/// Columns `columns` of every row. `source`: `[rows, width]`.
pub fn keep_sample(source: &[f64], width: usize, columns: Range<usize>) -> Vec<f64> {
    assert!(source.len().is_multiple_of(width) && columns.end <= width, "`source` is [rows, width]");
    source.chunks_exact(width).flat_map(|row| &row[columns.clone()]).copied().collect()
}
