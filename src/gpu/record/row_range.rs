//! Cutting batches into ranges of rows, so that no tensor passes what one dispatch can bind.

use super::{Recording, Target, Value};
use crate::Result;

/// Rows that ranges begin at multiples of: whole multiples of 256 bytes at any width.
const ALIGNMENT: usize = 64;
/// Most rows of a range: kernels with 16 rows per workgroup reach 65535 workgroups.
const MAX_ROWS: usize = 65_535 * 16 / ALIGNMENT * ALIGNMENT;

/// Consecutive rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRange {
    pub first: usize,
    pub count: usize,
}

impl RowRange {
    pub(crate) fn end(self) -> usize {
        self.first + self.count
    }

    /// The rows that these are candidates of, `candidates` each, from a multiple of the alignment
    /// on.
    pub(crate) fn contexts(self, candidates: usize) -> Self {
        let first = self.first / candidates / ALIGNMENT * ALIGNMENT;
        Self { first, count: self.end().div_ceil(candidates) - first }
    }

    /// Which of the candidates of `contexts`, counted through, is the first row of the range.
    pub(crate) fn first_among(self, contexts: Self, candidates: usize) -> usize {
        self.first - contexts.first * candidates
    }

    /// These rows of a value: a view, or the value itself if they are all it has.
    pub(crate) fn of(self, recording: &mut Recording, value: Value) -> Result<Value> {
        match self.first == 0 && recording.shape(value)?.rows() == self.count {
            true => Ok(value),
            false => recording.rows(value, self.first, self.count),
        }
    }

    /// Name of the range in labels.
    pub(crate) fn name(self) -> String {
        format!("rows {}..{}", self.first, self.end())
    }
}

/// A tensor that grows with the batch: elements of a row, and rows of the batch per row of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerRow {
    pub stride: usize,
    pub candidates: usize,
}

/// Cuts `rows` rows into ranges of about equal size, as few as the target's largest binding allows
/// for these tensors. One range where nothing passes the limit. A limit below 64 rows of the widest
/// tensor cannot be met; compiling then says so.
pub(crate) fn cut(target: &Target, rows: usize, tensors: &[PerRow]) -> Vec<RowRange> {
    let max = tensors.iter().map(|tensor| max_rows(target, rows, *tensor)).min().unwrap_or(rows);
    let max = max.min(MAX_ROWS);
    let count = match rows <= max {
        true => rows,
        false => {
            let aligned = (max / ALIGNMENT * ALIGNMENT).max(ALIGNMENT);
            rows.div_ceil(rows.div_ceil(aligned)).next_multiple_of(ALIGNMENT)
        }
    };
    let starts = (0..rows).step_by(count.max(1));
    starts.map(|first| RowRange { first, count: count.min(rows - first) }).collect()
}

/// Most rows of a range for which the part of a tensor that serves them fits.
fn max_rows(target: &Target, rows: usize, tensor: PerRow) -> usize {
    let fit =
        usize::try_from(target.max_binding_bytes / (4 * tensor.stride.max(1) as u64)).unwrap_or(usize::MAX);
    if tensor.candidates == 1 {
        fit
    } else if rows / tensor.candidates <= fit {
        usize::MAX
    } else {
        // A range needs up to a context more than its share, and those before it back to the
        // alignment.
        fit.saturating_sub(ALIGNMENT + 1).saturating_mul(tensor.candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::DeviceClass;

    fn target(max_binding_bytes: u64) -> Target {
        Target { max_binding_bytes, ..Target::from(DeviceClass::Cpu) }
    }

    #[test]
    fn ranges_cover_every_row_once_and_fit() {
        for (rows, stride, bytes) in
            [(1, 4, 4096), (64, 64, 16384), (65, 64, 16384), (5000, 68, 65536), (1_000_000, 64, 128 << 20)]
        {
            let ranges = cut(&target(bytes), rows, &[PerRow { stride, candidates: 1 }]);
            let mut next = 0;
            for range in &ranges {
                assert_eq!(range.first, next);
                assert!(range.first % ALIGNMENT == 0 && range.count > 0);
                assert!((4 * stride * range.count) as u64 <= bytes, "{rows} {stride} {range:?}");
                next = range.end();
            }
            assert_eq!(next, rows);
            assert_eq!(ranges.len() == 1, (4 * stride * rows) as u64 <= bytes);
        }
        assert_eq!(cut(&target(u64::MAX), 2_000_000, &[PerRow { stride: 4, candidates: 1 }]).len(), 2);
        // Below 64 rows nothing helps.
        assert_eq!(cut(&target(1000), 129, &[PerRow { stride: 64, candidates: 1 }]).len(), 3);
    }

    #[test]
    fn shared_tensors_count_by_their_own_rows() {
        let wide = PerRow { stride: 4096, candidates: 100 };
        let fusable = PerRow { stride: 64, candidates: 1 };
        assert_eq!(cut(&target(128 << 20), 100_000, &[fusable, wide]).len(), 1);
        let ranges = cut(&target(4 << 20), 100_000, &[fusable, wide]);
        assert!(ranges.len() > 1);
        for range in ranges {
            let contexts = range.contexts(100);
            assert!(contexts.count * 4096 * 4 <= 4 << 20);
            assert!(contexts.first * 100 <= range.first && range.end() <= contexts.end() * 100);
            assert_eq!(range.first_among(contexts, 100) + contexts.first * 100, range.first);
        }
    }
}
