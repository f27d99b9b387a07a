//! The memory of Metropolis chains at their start (`shaders/sampler/begin_chains.wgsl`).

use super::walk::Extent;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/begin_chains.wgsl");

/// Numbers in front of the gradient in a chain's row (`shaders/lib/chain.wgsl`).
pub const COLUMNS: usize = 6;
/// Column of the number of accepted trajectories.
pub const ACCEPTED: usize = 4;

/// What Metropolis chains remember between steps.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// `[rows, 6 + dims]`: see `shaders/lib/chain.wgsl`.
    pub cache: Value,
    /// `[4]`: factor on the step sizes and the state of its adaptation.
    pub tuner: Value,
}

/// Records filling the memory of chains from the energy and gradient of their starts. One dispatch.
///
/// * `energy`: one number per row; `gradient`, `y`: `[.., dims]`. Starts that are not usable are overwritten with what is not
///   finite about them.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(recording: &mut Recording, energy: Value, gradient: Value, y: Value) -> Result<Memory> {
    let shape = recording.shape(y)?.clone();
    recording.expect_shape("begin chains", gradient, shape.clone())?;
    let extent = Extent { rows: shape.rows(), dims: shape.width() };
    let energy_stride = energy_stride(recording, energy, extent.rows)?;
    let cache = recording.scratch("chain memory", DType::F32, [extent.rows, COLUMNS + extent.dims]);
    let tuner = recording.scratch("tuner", DType::F32, [4]);
    recording
        .dispatch(&KERNEL, "begin chains")
        .bind("energy", energy)
        .bind("gradient", gradient)
        .bind("y", y)
        .bind("cache", cache)
        .bind("tuner", tuner)
        .set("rows", extent.rows as u32)
        .set("dims", extent.dims as u32)
        .set("energy_stride", energy_stride)
        .invocations(extent.rows)
        .finish()?;
    Ok(Memory { cache, tuner })
}

/// Elements from one energy to the next.
pub(super) fn energy_stride(recording: &Recording, energy: Value, rows: usize) -> Result<u32> {
    let shape = recording.shape(energy)?;
    if shape.len() == rows {
        return Ok(1);
    }
    if shape.rows() != rows || shape.width() != 1 {
        let expected = format!("[{rows}, 1]");
        return Err(crate::Error::shape("chains", "energy", shape, expected, "one energy per chain"));
    }
    Ok(shape.stride() as u32)
}
