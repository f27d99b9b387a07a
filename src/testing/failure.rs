//! Why a test failed, and where.

use std::fmt;

use super::compare::Mismatch;
use crate::Error;

/// Why a test failed, and where: adapter, case, tensor.
#[derive(thiserror::Error)]
pub struct Failure {
    /// Adapter, case and tensor, as far as they are known.
    pub place: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Values differ by more than their bounds.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// An operation of the library failed.
    #[error("{0}")]
    Gpu(Box<Error>),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// A failure in words.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: Problem::Other(problem.into()) }
    }

    pub(crate) fn gpu(place: impl Into<String>, error: Error) -> Self {
        Self { place: place.into(), problem: Problem::Gpu(Box::new(error)) }
    }

    pub(crate) fn mismatch(place: impl Into<String>, mismatch: Mismatch) -> Self {
        Self { place: place.into(), problem: Problem::Mismatch(Box::new(mismatch)) }
    }

    /// The same failure with a place in front of its own.
    pub fn within(mut self, place: &str) -> Self {
        self.place = match self.place.is_empty() {
            true => place.into(),
            false => format!("{place}: {}", self.place),
        };
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::gpu("", error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => write!(f, "{}", self.problem),
            false => write!(f, "{}: {}", self.place, self.problem),
        }
    }
}

/// As `Display`: `unwrap` in a test and `main` print it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Ends a test.
#[track_caller]
pub(super) fn fail(failure: Failure) -> ! {
    panic!("{failure}")
}
