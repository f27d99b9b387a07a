//! Asking a run to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks runs to stop in an orderly way, from another thread or a signal handler. Clones are the
/// same flag. The library installs no signal handler: hand the flag's `AtomicBool` to the crate
/// that does, as the examples do.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// let raised = Arc::new(AtomicBool::new(false));
/// let flag = gibbs::train::StopFlag::from(raised.clone());
/// raised.store(true, Ordering::Relaxed);
/// assert!(flag.is_raised());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every run that has the flag to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Lets runs go on.
    pub fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether runs that have the flag are asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for StopFlag {
    fn from(raised: Arc<AtomicBool>) -> Self {
        Self(raised)
    }
}
