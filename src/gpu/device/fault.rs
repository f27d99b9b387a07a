//! First causes: why a device was lost, and what was submitted last. Faults on purpose, for tests
//! of what follows.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// A fault to cause on purpose, to see how a program takes it: the device is destroyed, as when a
/// driver resets it or an external GPU is unplugged. All memory on it is gone; a new
/// [`crate::gpu::Gpu`] must be opened.
///
/// As text, for the environment variable `GIBBS_FAULT`: `submit:200` or `map:3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Destroys the device just before a submit of ours: that many submits still go through.
    DestroyAtSubmit(u64),
    /// Destroys the device when a readback of ours, its copy already submitted, is first looked
    /// for: that many readbacks still arrive.
    DestroyAtMap(u64),
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let count = |kind| text.strip_prefix(kind).and_then(|number: &str| number.parse().ok());
        match (count("submit:"), count("map:")) {
            (Some(after), _) => Ok(Fault::DestroyAtSubmit(after)),
            (_, Some(after)) => Ok(Fault::DestroyAtMap(after)),
            _ => Err(Error::argument(
                "inject a fault",
                format!("`{text}`"),
                "is no fault; write `submit:200` or `map:3`",
            )),
        }
    }
}

/// Events that are left until the injected fault.
#[derive(Debug)]
pub(crate) struct Injected {
    submits: AtomicU64,
    maps: AtomicU64,
}

/// No fault.
const NEVER: u64 = u64::MAX;

impl Default for Injected {
    fn default() -> Self {
        Self { submits: AtomicU64::new(NEVER), maps: AtomicU64::new(NEVER) }
    }
}

impl Injected {
    pub(crate) fn set(&self, fault: Fault) {
        match fault {
            Fault::DestroyAtSubmit(after) => self.submits.store(after, Ordering::SeqCst),
            Fault::DestroyAtMap(after) => self.maps.store(after, Ordering::SeqCst),
        }
    }

    /// Whether this submit is the one.
    pub(crate) fn at_submit(&self) -> bool {
        Self::due(&self.submits)
    }

    /// Whether this map is the one.
    pub(crate) fn at_map(&self) -> bool {
        Self::due(&self.maps)
    }

    fn due(left: &AtomicU64) -> bool {
        let count = |left| match left {
            NEVER => None,
            0 => Some(NEVER),
            more => Some(more - 1),
        };
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(0)
    }
}

/// How many labels of submitted work are kept for error messages.
const KEPT_LABELS: usize = 8;

/// The fault record of one device: shared with its callbacks, first cause wins.
#[derive(Clone, Debug, Default)]
pub struct FaultRecord(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    lost: Option<String>,
    /// What only follows from a loss; counts until somebody tells the cause.
    inferred: Option<String>,
    /// The device was asked for the cause of the loss.
    asked: bool,
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

    /// Notes a sign that the device is lost. A reported cause stands before it.
    pub(crate) fn infer_lost(&self, sign: impl Into<String>) {
        self.lock().inferred.get_or_insert_with(|| sign.into());
    }

    /// Whether only signs of a loss are known and nobody asked for its cause yet; true once.
    pub(crate) fn wants_cause(&self) -> bool {
        let mut inner = self.lock();
        let wanted = inner.lost.is_none() && inner.inferred.is_some() && !inner.asked;
        inner.asked |= wanted;
        wanted
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
        let inner = self.lock();
        inner.lost.as_ref().or(inner.inferred.as_ref()).cloned()
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
    fn a_fault_comes_once_after_the_given_number() {
        let injected = Injected::default();
        assert!(!injected.at_submit() && !injected.at_map());
        injected.set(Fault::DestroyAtSubmit(2));
        let seen: Vec<bool> = (0..5).map(|_| injected.at_submit()).collect();
        assert_eq!(seen, [false, false, true, false, false]);
        injected.set(Fault::DestroyAtMap(0));
        assert!(injected.at_map() && !injected.at_map() && !injected.at_submit());
    }

    #[test]
    fn faults_have_a_name() {
        assert_eq!("submit:200".parse::<Fault>().unwrap(), Fault::DestroyAtSubmit(200));
        assert_eq!("map:0".parse::<Fault>().unwrap(), Fault::DestroyAtMap(0));
        for bad in ["", "submit", "submit:", "map:-1", "map:x", "loss:3", "submit:99999999999999999999"] {
            let error = bad.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains("submit:200"), "{error}");
        }
    }

    #[test]
    fn the_first_cause_is_kept() {
        let record = FaultRecord::default();
        record.report_lost("driver reset");
        record.report_lost("buffer is invalid");
        assert_eq!(record.lost().as_deref(), Some("driver reset"));
    }

    #[test]
    fn a_reported_cause_stands_before_signs() {
        let record = FaultRecord::default();
        record.infer_lost("a map failed");
        record.infer_lost("another map failed");
        assert_eq!(record.lost().as_deref(), Some("a map failed"));
        assert!(record.wants_cause() && !record.wants_cause());
        record.report_lost("driver reset");
        record.infer_lost("a third map failed");
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
