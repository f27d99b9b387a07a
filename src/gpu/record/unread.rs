//! Contexts that are given and that nothing reads.

use super::dispatch::BoundValue;
use super::recording::Recording;
use super::value::Value;
use crate::{Error, Result};

impl Recording {
    /// Refuses a context that was given and that nothing recorded so far reads: the options are
    /// those of another model.
    ///
    /// # Errors
    /// [`Error::Argument`] with its width.
    pub(crate) fn check_context_is_read(&self, operation: &str, context: Option<Value>) -> Result<()> {
        let Some(context) = context else { return Ok(()) };
        let given = context.index as usize;
        let reads = |bound: &BoundValue| self.root(bound.value).0 == given;
        if self.dispatches.iter().any(|dispatch| dispatch.bound.iter().any(reads)) {
            return Ok(());
        }
        let width = self.shape(context)?.width();
        let problem = format!("is {width}, but nothing here depends on a context; leave it 0");
        Err(Error::argument(operation, "the context width", problem))
    }
}
