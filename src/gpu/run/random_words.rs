//! Raw words of a random stream (`shaders/gpu/run/random_words.wgsl`).

use super::random::{check_counter, check_elements};
use crate::Result;
use crate::gpu::{KernelSource, Recording, RunState, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/random_words.wgsl");

/// Records filling `out` (any shape, `u32`) with the words of the stream at the run's step. One
/// dispatch.
///
/// # Errors
/// [`crate::Error::Binding`] if `out` is not `u32`; [`crate::Error::Argument`] beyond 2^32 blocks
/// of four.
pub fn record(recording: &mut Recording, stream: u32, inner: u32, out: Value) -> Result<()> {
    let count = recording.shape(out)?.len();
    check_elements("random words", count.div_ceil(4))?;
    check_counter("random words", stream, inner)?;
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "random words")
        .bind("state", state)
        .bind("out", out)
        .set("count", count as u32)
        .set("stream", stream)
        .set("inner", inner)
        .invocations(count.div_ceil(4))
        .finish()
}
