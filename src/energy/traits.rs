//! What every energy can do.

use crate::Result;
use crate::gpu::{Bindings, Recording, Value};
use crate::nn::FusedNetwork;

/// An energy `E(x, y)`, low where `y` is likely given the context `x`: `p(y | x) ∝ exp(-E(x, y))`.
///
/// Samplers take any implementation: networks, analytic kernels, a simulator's own cost function.
pub trait Energy {
    /// Dimensions of `y`.
    fn dims(&self) -> usize;

    /// Records the energies of `y`: one number per row, `[contexts * chains]` rows of the returned
    /// value, plain or packed; who reads them goes by [`crate::gpu::Shape::stride`] or asks for
    /// [`Recording::plain_rows`].
    ///
    /// * `context`: `[contexts, width]`, or nothing for an unconditional energy; `y`:
    ///   `[contexts, chains, dims]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value>;

    /// Records `dE/dy`, of the rows and width of `y`, plain or packed, in 1 / data units.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value>;

    /// Records both; worth its own implementation where they share work.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    fn record_value_and_gradient(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        y: Value,
    ) -> Result<(Value, Value)> {
        let value = self.record_value(recording, context, y)?;
        Ok((value, self.record_gradient(recording, context, y)?))
    }

    /// Records what kernels for the whole of a narrow network need to evaluate this energy at `y`,
    /// if it is one and such kernels are to be taken: they then replace the other methods for `y`
    /// of this shape.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    fn record_fused(
        &self,
        _recording: &mut Recording,
        _context: Option<Value>,
        _y: Value,
    ) -> Result<Option<FusedNetwork>> {
        Ok(None)
    }

    /// Whether the energy or its gradient may be infinite or NaN at a finite point, as beyond a
    /// wall.
    ///
    /// Where this is so, unadjusted Langevin dynamics evaluates both after every step and refuses
    /// moves to such points. An energy without walls costs it a gradient per step.
    fn has_walls(&self) -> bool {
        true
    }

    /// The tensors its slots need.
    fn bindings(&self) -> Bindings;
}
