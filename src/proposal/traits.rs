//! What every proposal can do.

use crate::gpu::run::random::{check_counter, check_elements};
use crate::gpu::{Bindings, Recording, Value};
use crate::nn::Fusion;
use crate::{Error, Result};

/// What a proposal computed once per batch of contexts, to sample from and to evaluate densities
/// with.
#[derive(Clone, Copy, Debug)]
pub struct PreparedContexts {
    /// The context's rows.
    pub contexts: usize,
    /// Outputs of the proposal's network, `[contexts, outputs]`, plain or packed, if it has one.
    pub outputs: Option<Value>,
}

/// Where draws go.
#[derive(Clone, Copy, Debug)]
pub struct Draws<'a> {
    /// `[contexts, candidates, dims]`; entries `first .. first + count` of each context are
    /// written.
    pub candidates: Value,
    /// First candidate to write.
    pub first: usize,
    /// Draws per context.
    pub count: usize,
    /// Name of the random stream (proposals with several streams add to it).
    pub stream: &'a str,
    /// Inner step of the stream.
    pub inner: u32,
}

/// A conditional density `q(y | x)` that can be sampled and evaluated exactly, in data units.
///
/// Every family is a drop-in pair of `sample` and `log_density`; objectives do not know which one
/// they use.
pub trait Proposal {
    /// Dimensions of `y`.
    fn dims(&self) -> usize;

    /// Whether it depends on contexts. One that does not takes from them the number of rows alone:
    /// they may be `[contexts, 0]`.
    fn is_conditional(&self) -> bool {
        true
    }

    /// Records what depends on the contexts alone.
    ///
    /// * `context`: `[contexts, width]`; of width 0 for an unconditional proposal, which takes the
    ///   number of contexts alone.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the context does not fit.
    fn record_prepare(&self, recording: &mut Recording, context: Value) -> Result<PreparedContexts>;

    /// Records drawing candidates.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the candidates do not fit; [`crate::Error::Argument`] for no
    /// draws.
    fn record_sample(
        &self,
        recording: &mut Recording,
        prepared: &PreparedContexts,
        draws: &Draws<'_>,
    ) -> Result<()>;

    /// Records `log q(y | x)`.
    ///
    /// * `y`: `[contexts, candidates, dims]`; returns `[contexts, candidates]`, in nats, with
    ///   respect to data units.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if `y` does not fit.
    fn record_log_density(
        &self,
        recording: &mut Recording,
        prepared: &PreparedContexts,
        y: Value,
    ) -> Result<Value>;

    /// Records drawing candidates, then `log q(y | x)` of all of them: what the other three record
    /// one after the other, in fewer dispatches where `fusion` allows and the proposal can. Random
    /// numbers do not depend on it.
    ///
    /// * `context`: `[contexts, width]`; returns `[contexts, candidates]`. Candidates that are not
    ///   drawn must be there.
    ///
    /// # Errors
    /// As those.
    fn record_propose(
        &self,
        recording: &mut Recording,
        context: Value,
        draws: &Draws<'_>,
        _fusion: Fusion,
    ) -> Result<Value> {
        let prepared = self.record_prepare(recording, context)?;
        self.record_sample(recording, &prepared, draws)?;
        self.record_log_density(recording, &prepared, draws.candidates)
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}

/// Checks where draws go and returns (contexts, candidates).
pub(super) fn check_draws(
    recording: &Recording,
    operation: &str,
    draws: &Draws<'_>,
    dims: usize,
) -> Result<(usize, usize)> {
    let shape = recording.shape(draws.candidates)?;
    let end = draws.first.saturating_add(draws.count);
    let fits = matches!(shape.dims(), [_, candidates, d] if *d == dims && *candidates >= end);
    if !fits || shape.is_padded() {
        let expected = format!("[contexts, at least {end}, {dims}]");
        return Err(Error::shape(operation, "candidates", shape, expected, "make room for every draw"));
    }
    let (contexts, candidates) = (shape.dims()[0], shape.dims()[1]);
    if draws.count == 0 {
        return Err(Error::argument(operation, "draws per context", "is 0; draw at least one"));
    }
    check_counter(operation, 0, draws.inner)?;
    check_elements(operation, contexts.saturating_mul(draws.count).saturating_mul(dims.div_ceil(4)))?;
    Ok((contexts, candidates))
}
