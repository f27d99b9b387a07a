//! Rows of a batch, drawn with replacement (`shaders/train/draw_batch.wgsl`).

/// Result of [`draw_batch`].
#[derive(Clone, Debug, PartialEq)]
pub struct DrawBatch {
    /// `[batch]`: rows of the data set.
    pub index: Vec<u32>,
    /// `[batch, x width]`
    pub x: Vec<f64>,
    /// `[batch, y width]`
    pub y: Vec<f64>,
}

/// `i = (word * n) >> 32`, the high half of the 64-bit product: below `n`, in proportion to the word.
pub fn row_of_word(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

/// Gathers row `row_of_word(words[b], n)` of `x: [n, x_width]` and `y: [n, y_width]` for every `b`.
pub fn draw_batch(words: &[u32], n: u32, x: &[f64], y: &[f64]) -> DrawBatch {
    let rows = n as usize;
    assert!(
        rows > 0 && x.len().is_multiple_of(rows) && y.len().is_multiple_of(rows),
        "`x`, `y` have {rows} rows"
    );
    let (x_width, y_width) = (x.len() / rows, y.len() / rows);
    let mut batch = DrawBatch { index: vec![], x: vec![], y: vec![] };
    for &word in words {
        let index = row_of_word(word, n);
        let i = index as usize;
        batch.index.push(index);
        batch.x.extend_from_slice(&x[i * x_width..(i + 1) * x_width]);
        batch.y.extend_from_slice(&y[i * y_width..(i + 1) * y_width]);
    }
    batch
}
