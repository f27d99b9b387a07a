//! How many chains are lost (`shaders/mcmc/count_lost.wgsl`).

use super::mark_lost;
use crate::gpu::{DType, KernelSource, MetricsRing, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/count_lost.wgsl");

/// The metric of [`record_metric`].
pub const NON_FINITE: &str = "non_finite";

/// Records counting, per context, the chains that are marked as lost: `[contexts]`, as floats. One
/// dispatch.
///
/// * `lost`: `[contexts, chains]`, from [`mark_lost::record`].
///
/// # Errors
/// [`Error::Shape`] if `lost` has another shape.
pub fn record(recording: &mut Recording, lost: Value) -> Result<Value> {
    let shape = recording.shape(lost)?.clone();
    let [contexts, chains] = *shape.dims() else {
        let hint = "a mark for each chain";
        return Err(Error::shape("count lost", "the marks", shape, "[contexts, chains]", hint));
    };
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

/// Records the number of chains with a coordinate that is not finite as this step's metric
/// `non_finite`, for chains within a recording that has a metrics ring. Unlike a loss that is not
/// finite it stops nothing. Three dispatches.
///
/// * `y`: `[contexts, chains, dims]`, where the chains end.
///
/// # Errors
/// [`Error::Argument`] if the ring has no metric of that name or for more dimensions than an
/// invocation may walk through, [`Error::Shape`] if `y` has another shape.
pub fn record_metric(recording: &mut Recording, ring: &MetricsRing, y: Value) -> Result<()> {
    let lost = mark_lost::record(recording, y)?;
    let counts = record(recording, lost)?;
    let contexts = recording.shape(counts)?.len();
    ring.record_mean(recording, NON_FINITE, counts, 0..contexts, (contexts as f32, 0.0))
}
