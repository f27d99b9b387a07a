//! The forward pass of a layer norm (`shaders/nn/passes/layer_norm.wgsl`).

use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, pad4};
use crate::nn::dense::blocks::RowLanes;
use crate::nn::{Activation, ParameterSlice};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/layer_norm.wgsl");

/// One layer norm to record.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormForward<'a> {
    /// The flat parameters.
    pub parameters: Value,
    /// The gain, one number per feature.
    pub gain: &'a ParameterSlice,
    /// The bias, one number per feature.
    pub bias: &'a ParameterSlice,
    /// Added to the variance.
    pub epsilon: f32,
    /// The activation behind it.
    pub activation: Activation,
    /// Whether a backward pass will need the activation's slope.
    pub keep_slope: bool,
}

/// What a norm wrote.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormOutput {
    /// `act(z)`, packed `[rows, width]`.
    pub output: Value,
    /// `act'(z)`, packed `[rows, width]`, if it was asked for; its padding only ever meets zeros.
    pub slope: Option<Value>,
    /// `[rows, 2]`: mean and `1 / sqrt(variance + epsilon)`.
    pub moments: Value,
}

/// Records `z = gain (h - mean) / sqrt(variance + epsilon) + bias` over the features of each row
/// (arXiv 1607.06450), `output = act(z)` and, on request, `slope = act'(z)`.
///
/// * `h`: packed `[rows, width]`. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if `h` does not fit the gain.
pub fn record(recording: &mut Recording, h: Value, norm: &LayerNormForward<'_>) -> Result<LayerNormOutput> {
    let width = norm.gain.columns;
    let rows = recording.shape(h)?.rows();
    let shape = Shape::packed(rows, width);
    recording.expect_shape("layer norm", h, shape.clone())?;
    let output = recording.scratch("activations", DType::F32, shape.clone());
    let moments = recording.scratch("moments", DType::F32, [rows, 2]);
    // An unused binding still needs a buffer of its own.
    let slope = match norm.keep_slope {
        true => recording.scratch("slope", DType::F32, shape),
        false => recording.scratch("unused", DType::F32, [4]),
    };
    let lanes = RowLanes::choose(recording.class(), width);
    recording
        .dispatch(&KERNEL, &format!("forward {}", norm.gain.name))
        .defines(&lanes.defines())
        .define("ACTIVATION", norm.activation.code())
        .define("SLOPE", u32::from(norm.keep_slope))
        .bind("h", h)
        .bind("parameters", norm.parameters)
        .bind("output", output)
        .bind("moments", moments)
        .bind("slope", slope)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("stride4", (pad4(width) / 4) as u32)
        .set("gain_offset", (norm.gain.offset / 4) as u32)
        .set("bias_offset", (norm.bias.offset / 4) as u32)
        .set("epsilon", norm.epsilon)
        .workgroups_folded(lanes.groups(rows))
        .flops(8 * (rows * width) as u64)
        .finish()?;
    Ok(LayerNormOutput { output, slope: norm.keep_slope.then_some(slope), moments })
}
