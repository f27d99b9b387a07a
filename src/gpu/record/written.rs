//! Which parts of a value hold something to read while a recording is made.

/// Ranges of bytes that were written: sorted, disjoint, and never touching.
#[derive(Clone, Debug, Default)]
pub(in crate::gpu) struct Written(Vec<(u64, u64)>);

impl Written {
    /// Everything.
    pub(in crate::gpu) fn all() -> Self {
        Self(vec![(0, u64::MAX)])
    }

    /// Adds the bytes from `begin` up to `end`.
    pub(in crate::gpu) fn add(&mut self, begin: u64, end: u64) {
        let first = self.0.partition_point(|range| range.1 < begin);
        let last = self.0.partition_point(|range| range.0 <= end);
        let merged = self.0[first..last].iter().fold((begin, end), |all, r| (all.0.min(r.0), all.1.max(r.1)));
        self.0.splice(first..last, [merged]);
    }

    /// Whether all bytes from `begin` up to `end` were written; of an empty range, whether any
    /// write reached it.
    pub(in crate::gpu) fn covers(&self, begin: u64, end: u64) -> bool {
        self.0.iter().any(|range| range.0 <= begin && end <= range.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_when_they_meet() {
        let mut written = Written::default();
        assert!(!written.covers(0, 0) && !written.covers(0, 1));
        for (begin, end) in [(256, 512), (768, 1024), (0, 128)] {
            written.add(begin, end);
        }
        assert_eq!(written.0, [(0, 128), (256, 512), (768, 1024)]);
        assert!(written.covers(256, 512) && written.covers(300, 301));
        assert!(!written.covers(200, 300) && !written.covers(300, 900) && !written.covers(512, 600));
        written.add(512, 768);
        assert_eq!(written.0, [(0, 128), (256, 1024)]);
        written.add(100, 2000);
        assert_eq!(written.0, [(0, 2000)]);
        assert!(Written::all().covers(5, 1 << 40));
    }
}
