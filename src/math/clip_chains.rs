//! Chains moved into their box (`shaders/math/clip_chains.wgsl`).

use super::Bounds;
use crate::Result;
use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("math/clip_chains.wgsl");

/// Records `y_j = min(max(y_j, low_j), high_j)`; values that are not finite stay. One dispatch.
///
/// * `y`: `[.., dims]`, written, of the dimensions of the box.
///
/// # Errors
/// [`crate::Error::Shape`] if dimensions disagree.
pub fn record(recording: &mut Recording, y: Value, bounds: &Bounds) -> Result<()> {
    let (shape, dims) = (recording.shape(y)?.clone(), bounds.dims());
    if shape.width() != dims || shape.is_padded() {
        let expected = format!("[.., {dims}]");
        let hint = "give the box the dimensions of the chains";
        return Err(crate::Error::shape("clip chains", "y", shape, expected, hint));
    }
    let borders = record_box(recording, Some(bounds), dims)?;
    recording
        .dispatch(&KERNEL, "clip chains")
        .bind("box", borders)
        .bind("y", y)
        .set("count", shape.len() as u32)
        .set("dims", dims as u32)
        .invocations(shape.len())
        .finish()
}

/// The box as kernels bind it, `[2, dims]`; without one, the largest there is.
pub(crate) fn record_box(recording: &mut Recording, bounds: Option<&Bounds>, dims: usize) -> Result<Value> {
    recording.constant("box", [2, dims], &Bounds::flat_or_largest(bounds, dims))
}
