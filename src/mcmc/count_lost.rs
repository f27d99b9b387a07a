//! How many chains are lost (`shaders/mcmc/count_lost.wgsl`).

use super::mark_lost;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/count_lost.wgsl");

/// Records counting, per context, the chains that have a coordinate that is not finite:
/// `[contexts]`, as floats. Two dispatches.
///
/// * `y`: `[contexts, chains, dims]`.
///
/// # Errors
/// [`Error::Shape`] if `y` has another shape, [`Error::Argument`] for more dimensions than an
/// invocation may walk through.
pub fn record(recording: &mut Recording, y: Value) -> Result<Value> {
    let shape = recording.shape(y)?.clone();
    let [contexts, chains, _] = *shape.dims() else {
        let hint = "all chains of each context";
        return Err(Error::shape("count lost", "y", shape, "[contexts, chains, dims]", hint));
    };
    let lost = mark_lost::record(recording, y)?;
    let counts = recording.scratch("lost counts", DType::F32, [contexts]);
    recording
        .dispatch(&KERNEL, "count lost")
        .bind("lost", lost)
        .bind("counts", counts)
        .set("contexts", contexts as u32)
        .set("chains", chains as u32)
        .workgroups_folded(contexts)
        .finish()?;
    Ok(counts)
}
