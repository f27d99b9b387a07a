//! The backward pass of a layer norm to its input (`shaders/nn/passes/layer_norm_gradient.wgsl`).

use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, pad4};
use crate::nn::ParameterSlice;
use crate::nn::dense::blocks::RowLanes;
use crate::nn::dense::dense_input_gradient::Epilogue;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/layer_norm_gradient.wgsl");

/// What the forward pass of a norm read and left.
#[derive(Clone, Copy, Debug)]
pub struct Normalized {
    /// Packed `[rows, width]`: the norm's input.
    pub h: Value,
    /// `[rows, 2]`: mean and `1 / sqrt(variance + epsilon)`.
    pub moments: Value,
}

impl Normalized {
    /// Checks both against the gradient at the norm's output.
    pub(crate) fn check(
        &self,
        recording: &Recording,
        operation: &str,
        dz: Value,
        width: usize,
    ) -> Result<usize> {
        let rows = recording.shape(dz)?.rows();
        recording.expect_shape(operation, dz, Shape::packed(rows, width))?;
        recording.expect_shape(operation, self.h, Shape::packed(rows, width))?;
        recording.expect_shape(operation, self.moments, [rows, 2])?;
        Ok(rows)
    }
}

/// Records the gradient at the norm's input from `dz`, that at its affine output, then
/// `* slope + skip`.
///
/// * `dz`, and slope and skip of `epilogue`: packed `[rows, width]`, 1 and 0 where absent.
/// * returns packed `[rows, width]`. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit the gain.
pub fn record(
    recording: &mut Recording,
    dz: Value,
    normalized: Normalized,
    parameters: Value,
    gain: &ParameterSlice,
    epilogue: Epilogue,
) -> Result<Value> {
    let width = gain.columns;
    let rows = normalized.check(recording, "layer norm gradient", dz, width)?;
    let shape = Shape::packed(rows, width);
    epilogue.check(recording, "layer norm gradient", &shape)?;
    let out = recording.scratch("input gradient", DType::F32, shape);
    let lanes = RowLanes::choose(recording.class(), width);
    recording
        .dispatch(&KERNEL, &format!("input gradient {}", gain.name))
        .defines(&lanes.defines())
        .defines(&epilogue.defines())
        .bind("dz", dz)
        .bind("h", normalized.h)
        .bind("moments", normalized.moments)
        .bind("parameters", parameters)
        .bind("slope", epilogue.slope.unwrap_or(dz))
        .bind("skip", epilogue.skip.unwrap_or(dz))
        .bind("out", out)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("stride4", (pad4(width) / 4) as u32)
        .set("gain_offset", (gain.offset / 4) as u32)
        .workgroups_folded(lanes.groups(rows))
        .flops(12 * (rows * width) as u64)
        .finish()?;
    Ok(out)
}
