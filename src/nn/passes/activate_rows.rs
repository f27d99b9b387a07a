//! An activation on its own (`shaders/nn/passes/activate_rows.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::nn::Activation;
use crate::nn::dense::dense_forward::DenseOutput;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/activate_rows.wgsl");

/// Records `output = act(h)` and, on request, `slope = act'(h)`.
///
/// * `h`: packed `[rows, width]`; both results have its shape. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `h` is not packed.
pub fn record(
    recording: &mut Recording,
    h: Value,
    activation: Activation,
    keep_slope: bool,
) -> Result<DenseOutput> {
    let shape = recording.shape(h)?.clone();
    if !shape.is_packed() {
        return Err(Error::shape("activation", "h", shape, "packed rows", "pack the rows first"));
    }
    let output = recording.scratch("activations", DType::F32, shape.clone());
    // An unused binding still needs a buffer of its own.
    let slope = match keep_slope {
        true => recording.scratch("slope", DType::F32, shape.clone()),
        false => recording.scratch("unused", DType::F32, [4]),
    };
    recording
        .dispatch(&KERNEL, "activate")
        .define("ACTIVATION", activation.code())
        .define("SLOPE", u32::from(keep_slope))
        .bind("h", h)
        .bind("output", output)
        .bind("slope", slope)
        .set("count4", (shape.len() / 4) as u32)
        .set("stride4", (shape.stride() / 4) as u32)
        .set("width", shape.width() as u32)
        .invocations(shape.len() / 4)
        .finish()?;
    Ok(DenseOutput { output, slope: keep_slope.then_some(slope) })
}
