//! Energies of chains that may be chosen by them (`shaders/mcmc/usable_energy.wgsl`).

use super::begin_chains::energy_stride;
use super::chain_inputs::check_dims;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/usable_energy.wgsl");

/// Records the energies of chains, NaN for those that have a coordinate that is not finite: a
/// network may give such a chain a finite energy. One dispatch; returns `[contexts, chains]`.
///
/// * `energy`: one number per row; `y`: `[contexts, chains, dims]`.
///
/// # Errors
/// [`crate::Error::Shape`] unless there is one energy per chain; [`crate::Error::Argument`] for
/// more dimensions than an invocation may walk through.
pub fn record(recording: &mut Recording, energy: Value, y: Value) -> Result<Value> {
    let shape = recording.shape(y)?.clone();
    check_dims("usable energy", shape.width())?;
    let energy_stride = energy_stride(recording, energy, shape.rows())?;
    let (_, rows) = shape.dims().split_last().unwrap_or((&1, &[]));
    let out = recording.scratch("usable energy", DType::F32, Shape::new(rows));
    recording
        .dispatch(&KERNEL, "usable energy")
        .bind("energy", energy)
        .bind("y", y)
        .bind("out", out)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .set("energy_stride", energy_stride)
        .invocations(shape.rows())
        .finish()?;
    Ok(out)
}
