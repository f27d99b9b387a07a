//! Inner leapfrog steps (`shaders/sampler/leapfrog.wgsl`).

use super::begin_chains::Memory;
use super::launch::Flight;
use crate::Result;
use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/leapfrog.wgsl");

/// Records `h = h - eps dE/dy(draft)`, `draft = draft + eps h` for every trajectory. One dispatch.
///
/// * `gradient`: `[.., dims]`, at the draft; `borders`: `[2, dims]`.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    gradient: Value,
    borders: Value,
    memory: &Memory,
    flight: &Flight,
) -> Result<()> {
    let shape = recording.shape(flight.draft)?.clone();
    recording.expect_shape("leapfrog", gradient, shape.clone())?;
    recording
        .dispatch(&KERNEL, "leapfrog")
        .bind("box", borders)
        .bind("gradient", gradient)
        .bind("cache", memory.cache)
        .bind("momentum", flight.momentum)
        .bind("draft", flight.draft)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .invocations(shape.rows())
        .finish()
}
