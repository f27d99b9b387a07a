//! Initial parameters, drawn on the device (`shaders/nn/network/initialize.wgsl`).

use crate::Result;
use crate::gpu::{KernelSource, Recording, RunState, Value, embedded_kernel};
use crate::nn::{Initial, ParameterLayout};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/network/initialize.wgsl");

/// Records the initial value of every slice: weights and biases of dense layers from `U(-b, b)`,
/// `b = 1 / sqrt(fan_in)`, from the stream `name`; gains of norms 1, their biases 0.
///
/// * `parameters`: flat, as in `layout`; the padding is not touched. One dispatch per slice.
///
/// # Errors
/// [`crate::Error::Argument`] if the stream is in use.
pub fn record(
    recording: &mut Recording,
    layout: &ParameterLayout,
    parameters: Value,
    name: &str,
) -> Result<()> {
    recording.expect_shape("initialize", parameters, [layout.len])?;
    let stream = recording.stream(name)?;
    let state = RunState::value(recording)?;
    for (index, slice) in layout.slices.iter().enumerate() {
        let (center, bound) = match slice.initial {
            Initial::Uniform => (0.0, (1.0 / (slice.fan_in as f64).sqrt()) as f32),
            Initial::Constant(value) => (value, 0.0),
        };
        recording
            .dispatch(&KERNEL, &slice.name)
            .bind("state", state)
            .bind("parameters", parameters)
            .set("offset", slice.offset as u32)
            .set("rows", slice.rows as u32)
            .set("columns", slice.columns as u32)
            .set("stride", slice.stride as u32)
            .set("stream", stream)
            .set("inner", index as u32)
            .set("center", center)
            .set("bound", bound)
            .invocations((slice.rows * slice.columns).div_ceil(4))
            .finish()?;
    }
    Ok(())
}
