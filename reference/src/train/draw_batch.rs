//! Rows of a batch: drawn with replacement, by weight, or by epochs
//! (`shaders/train/draw_batch.wgsl`).

use crate::gpu::run::random_words::{Draw, words};

/// Rows of a batch with what was gathered from them.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawBatch {
    /// `[batch]`: rows of the data set.
    pub index: Vec<u32>,
    /// `[batch, x width]`
    pub x: Vec<f64>,
    /// `[batch, y width]`
    pub y: Vec<f64>,
}

/// `i = (word * n) >> 32`, the high half of the 64-bit product: below `n`, in proportion to the
/// word.
pub fn row_of_word(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

/// Two words choose a row by an alias table of (threshold, alias): `j = row_of_word(first, n)`,
/// then `j` if the second word is below its threshold, else its alias.
pub fn row_of_table(words: [u32; 2], table: &[[u32; 2]]) -> u32 {
    let j = row_of_word(words[0], table.len() as u32);
    let [threshold, alias] = table[j as usize];
    if words[1] < threshold { j } else { alias }
}

/// The row at a position `step * batch + b` of a run by epochs: `P_e(position mod n)`,
/// `e = position / n`.
///
/// `draw` gives seed and stream; `P_e` has `swaps` rounds, each with a pivot and a salt of its own.
pub fn row_of_position(draw: Draw, swaps: u32, position: u64, n: u32) -> u32 {
    let n = u64::from(n);
    let (epoch, mut row) = (position / n, position % n);
    let keys = words(Draw { step: epoch, inner: 0, ..draw }, swaps.div_ceil(2));
    for key in keys.chunks_exact(2).take(swaps as usize) {
        let pivot = u64::from(row_of_word(key[0], n as u32));
        let partner = (pivot + n - row) % n;
        if hashed_bit(row.max(partner) as u32, key[1]) {
            row = partner;
        }
    }
    row as u32
}

/// One bit of `row ^ salt`, by multiplying and folding it twice.
fn hashed_bit(row: u32, salt: u32) -> bool {
    let word = row ^ salt;
    let word = (word ^ (word >> 16)).wrapping_mul(0x7feb_352d);
    let word = (word ^ (word >> 15)).wrapping_mul(0x846c_a68b);
    word >> 31 == 1
}

/// Gathers the rows `index` of `x: [n, x_width]` and `y: [n, y_width]`.
pub fn draw_batch(index: &[u32], n: u32, x: &[f64], y: &[f64]) -> DrawBatch {
    let rows = n as usize;
    assert!(
        rows > 0 && x.len().is_multiple_of(rows) && y.len().is_multiple_of(rows),
        "`x`, `y` have {rows} rows"
    );
    let (x_width, y_width) = (x.len() / rows, y.len() / rows);
    let mut batch = DrawBatch { index: index.to_vec(), x: vec![], y: vec![] };
    for &row in index {
        let i = row as usize;
        batch.x.extend_from_slice(&x[i * x_width..(i + 1) * x_width]);
        batch.y.extend_from_slice(&y[i * y_width..(i + 1) * y_width]);
    }
    batch
}
