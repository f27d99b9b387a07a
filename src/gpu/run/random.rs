//! Random streams and tensors filled from them (`shaders/gpu/run/random.wgsl`,
//! `shaders/lib/philox.wgsl`).
//!
//! Philox4x32-10 with key = seed and counter = (element, step low, step high, stream << 16 | inner
//! step): the same counter gives the same words on every device, whatever the workgroup shape or
//! the chunk of rows.

pub use crate::gpu::record::stream::stream_id;
use crate::gpu::{KernelSource, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/random.wgsl");

/// A distribution to fill a tensor from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Uniform in the open interval (0, 1): exact multiples of 2^-24.
    Uniform,
    /// Standard normal, by Box-Muller from those uniforms: at most 5.77 in size.
    Normal,
}

/// Checks that `count` elements, each owning one block of four words, can be told apart by a 32-bit
/// index.
pub(crate) fn check_elements(operation: &str, count: usize) -> Result<()> {
    if count as u64 <= 1 << 32 {
        return Ok(());
    }
    Err(Error::argument(operation, "the number of random elements", format!("is {count}, beyond 2^32")))
}

/// Checks that a stream and its inner step fit the counter word they share.
pub(crate) fn check_counter(operation: &str, stream: u32, inner: u32) -> Result<()> {
    if stream <= 0xffff && inner <= 0xffff {
        return Ok(());
    }
    let problem = format!("are {stream} and {inner}; each must be below 65536");
    Err(Error::argument(operation, "the stream and its inner step", problem))
}

/// Records filling `out` (any shape, `f32`) with numbers of the stream at the run's step. One
/// dispatch.
///
/// # Errors
/// [`Error::Binding`] if `out` is not `f32`; [`Error::Argument`] beyond 2^32 blocks of four.
pub fn record(
    recording: &mut Recording,
    distribution: Distribution,
    stream: u32,
    inner: u32,
    out: Value,
) -> Result<()> {
    let count = recording.shape(out)?.len();
    check_elements("random", count.div_ceil(4))?;
    check_counter("random", stream, inner)?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "random")
        .define("NORMAL", u32::from(distribution == Distribution::Normal))
        .bind("state", state)
        .bind("out", out)
        .set("count", count as u32)
        .set("stream", stream)
        .set("inner", inner)
        .invocations(count.div_ceil(4))
        .finish()
}
