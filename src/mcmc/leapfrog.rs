//! Inner leapfrog steps (`shaders/mcmc/leapfrog.wgsl`).

use super::begin_chains::Memory;
use super::begin_leapfrog::LeapfrogTrajectory;
use crate::Result;
use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/leapfrog.wgsl");

/// Records `h = h - eps s dE/dy(proposed)`, `proposed = proposed + eps s h` for every trajectory,
/// `s` being the scales in the memory. One dispatch.
///
/// * `gradient`: `[.., dims]`, at the proposed; `borders`: `[2, dims]`.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    gradient: Value,
    borders: Value,
    memory: &Memory,
    trajectory: &LeapfrogTrajectory,
) -> Result<()> {
    let shape = recording.shape(trajectory.proposed)?.clone();
    let gradient = recording.plain_input("leapfrog", gradient, shape.clone())?;
    recording
        .dispatch(&KERNEL, "leapfrog")
        .bind("box", borders)
        .bind("gradient", gradient)
        .bind("cache", memory.cache)
        .bind("momentum", trajectory.momentum)
        .bind("proposed", trajectory.proposed)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .invocations(shape.rows())
        .finish()
}
