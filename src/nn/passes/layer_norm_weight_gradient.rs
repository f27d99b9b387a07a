//! The backward pass of a layer norm to its gain and bias
//! (`shaders/nn/passes/layer_norm_weight_gradient.wgsl`).

use super::layer_norm_gradient::Normalized;
use crate::gpu::{KernelSource, Recording, SharedConstant, Value, embedded_kernel, pad4, shared_constant};
use crate::nn::ParameterSlice;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/layer_norm_weight_gradient.wgsl");

/// Columns of vec4s that a workgroup sums.
const COLUMNS4: usize = 32;

pub(in crate::nn) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("nn/passes/layer_norm_weight_gradient.wgsl", "COLUMNS4", COLUMNS4 as f64)]
}

/// Records the sums over row ranges of `dz * normalized` and of `dz` into the slices of gain and
/// bias in `partials`.
///
/// * `dz`: packed `[rows, width]`, the gradient at the norm's affine output; `partials`:
///   `[splits, parameters]`, each of the `splits` contiguous row ranges in a row of its own. One
///   dispatch.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit the gain.
pub fn record(
    recording: &mut Recording,
    dz: Value,
    normalized: Normalized,
    (gain, bias): (&ParameterSlice, &ParameterSlice),
    partials: Value,
) -> Result<()> {
    let width = gain.columns;
    let rows = normalized.check(recording, "layer norm weight gradient", dz, width)?;
    let shape = recording.shape(partials)?.clone();
    let needed = gain.offset.max(bias.offset) + gain.stride;
    if shape.width() % 4 != 0 || shape.width() < needed {
        let expected = format!("[splits, at least {needed} in whole vec4s]");
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("layer norm weight gradient", "partials", shape, expected, hint));
    }
    let splits = shape.rows();
    let stride4 = pad4(width) / 4;
    recording
        .dispatch(&KERNEL, &format!("weight gradient {}", gain.name))
        .bind("dz", dz)
        .bind("h", normalized.h)
        .bind("moments", normalized.moments)
        .bind("partials", partials)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("stride4", stride4 as u32)
        .set("rows_per_split", rows.div_ceil(splits) as u32)
        .set("parameter_stride", (shape.width() / 4) as u32)
        .set("gain_offset", (gain.offset / 4) as u32)
        .set("bias_offset", (bias.offset / 4) as u32)
        .workgroups([stride4.div_ceil(COLUMNS4), splits, 1])
        .flops(5 * (rows * width) as u64)
        .finish()
}
