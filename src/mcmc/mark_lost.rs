//! Which chains are lost (`shaders/mcmc/mark_lost.wgsl`).

use super::chain_inputs::check_dims;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/mark_lost.wgsl");

/// Records marking the chains that have a coordinate that is not finite: `[contexts, chains]`, 1
/// for those, 0 for the others. One dispatch.
///
/// * `y`: `[contexts, chains, dims]`.
///
/// # Errors
/// [`crate::Error::Argument`] for more dimensions than an invocation may walk through.
pub fn record(recording: &mut Recording, y: Value) -> Result<Value> {
    let shape = recording.shape(y)?.clone();
    check_dims("mark lost", shape.width())?;
    let (_, rows) = shape.dims().split_last().unwrap_or((&1, &[]));
    let lost = recording.scratch("lost", DType::F32, Shape::new(rows));
    recording
        .dispatch(&KERNEL, "mark lost")
        .bind("y", y)
        .bind("lost", lost)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .invocations(shape.rows())
        .finish()?;
    Ok(lost)
}
