//! First causes: why a device was lost, and what was submitted last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many labels of submitted work are kept for error messages.
const KEPT_LABELS: usize = 8;

/// The fault record of one device: shared with its callbacks, first cause wins.
#[derive(Clone, Debug, Default)]
pub struct FaultRecord(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    lost: Option<String>,
    uncaptured: Option<String>,
    last: VecDeque<String>,
}

impl FaultRecord {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that the device is lost. A host program that owns the device calls this from its own
    /// device-lost callback; later reports do not replace the first.
    pub fn report_lost(&self, cause: impl Into<String>) {
        self.lock().lost.get_or_insert_with(|| cause.into());
    }

    pub(crate) fn report_uncaptured(&self, cause: String) {
        self.lock().uncaptured.get_or_insert(cause);
    }

    pub(crate) fn submitted(&self, label: &str) {
        let mut inner = self.lock();
        if inner.last.back().is_some_and(|last| last == label) {
            return;
        }
        if inner.last.len() == KEPT_LABELS {
            inner.last.pop_front();
        }
        inner.last.push_back(label.into());
    }

    /// The first cause of the loss, if the device is lost.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Takes the first error that no scope caught.
    pub(crate) fn take_uncaptured(&self) -> Option<String> {
        self.lock().uncaptured.take()
    }

    pub(crate) fn last(&self) -> String {
        let inner = self.lock();
        if inner.last.is_empty() {
            return "nothing".into();
        }
        inner.last.iter().cloned().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept() {
        let record = FaultRecord::default();
        record.report_lost("driver reset");
        record.report_lost("buffer is invalid");
        assert_eq!(record.lost().as_deref(), Some("driver reset"));
    }

    #[test]
    fn the_last_labels_are_kept_without_repetition() {
        let record = FaultRecord::default();
        for label in ["a", "a", "b"].into_iter().chain((0..10).map(|_| "c")) {
            record.submitted(label);
        }
        assert_eq!(record.last(), "a, b, c");
    }
}
