//! The backward pass of one dense layer to its weights and bias
//! (`shaders/nn/dense/dense_weight_gradient.wgsl`).

use super::variant::{DenseSize, Variant};
use crate::gpu::{KernelSource, Recording, Shape, Target, Value, embedded_kernel, pad4};
use crate::nn::ParameterSlice;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/dense/dense_weight_gradient.wgsl");

/// By tiles in workgroup memory.
pub const TILED: KernelSource = embedded_kernel!("nn/dense/dense_weight_gradient_tiled.wgsl");

/// By subgroups of 8 that share what they load.
pub const SUBGROUP: KernelSource = embedded_kernel!("nn/dense/dense_weight_gradient_subgroup.wgsl");

/// Bytes of partial gradients that a backward pass may take.
const PARTIAL_BYTES: u64 = 64 << 20;
/// Rows per partial sum, about: fewer cost more memory traffic, more leave cores idle.
const ROWS_PER_SPLIT: usize = 256;
/// Most rows of one partial sum: lavapipe ends an invocation's loops after 65535 rounds in all,
/// silently.
const MAX_ROWS_PER_SPLIT: usize = 32_768;
/// Partial sums wanted at most.
const MAX_SPLITS: usize = 32;

/// How many row ranges are summed apart, for a batch of `rows` and a flat gradient of `length`
/// elements.
pub fn splits(target: &Target, rows: usize, length: usize) -> usize {
    let most_bytes = PARTIAL_BYTES.min(target.max_binding_bytes);
    let by_memory = (most_bytes / (4 * length.max(1) as u64)) as usize;
    let wanted = rows.div_ceil(ROWS_PER_SPLIT).min(MAX_SPLITS);
    wanted.min(by_memory.max(1)).max(rows.div_ceil(MAX_ROWS_PER_SPLIT))
}

/// Records the sums over row ranges of `h^T dz` and, with a bias, of `dz`, into the layer's slices
/// of `partials`, by one variant.
///
/// * `h`: packed `[rows, inputs]`; `dz`: packed `[rows, outputs]`; `partials`:
///   `[splits, parameters]`, each of the `splits` contiguous row ranges in a row of its own. One
///   dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`Error::Shape`] if `h`, `dz` or `partials` do not fit the weight.
pub(crate) fn record(
    recording: &mut Recording,
    variant: &Variant,
    h: Value,
    dz: Value,
    weight: &ParameterSlice,
    bias: Option<&ParameterSlice>,
    partials: Value,
) -> Result<()> {
    let (inputs, outputs) = (weight.rows, weight.columns);
    let rows = recording.shape(h)?.rows();
    recording.expect_shape("dense weight gradient", h, Shape::packed(rows, inputs))?;
    recording.expect_shape("dense weight gradient", dz, Shape::packed(rows, outputs))?;
    let shape = recording.shape(partials)?.clone();
    let last = bias.map_or(0, |bias| bias.offset + bias.stride);
    let needed = last.max(weight.offset + pad4(inputs) * weight.stride);
    if shape.width() % 4 != 0 || shape.width() < needed {
        let expected = format!("[splits, at least {needed} in whole vec4s]");
        let hint = "take the length from the parameter layout";
        return Err(Error::shape("dense weight gradient", "partials", shape, expected, hint));
    }
    let splits = shape.rows();
    let size = DenseSize { rows, inputs, outputs, splits };
    recording
        .dispatch(&variant.kernel, &format!("weight gradient {}", weight.name))
        .defines(&variant.defines(size))
        .define("BIAS", u32::from(bias.is_some()))
        .bind("h", h)
        .bind("dz", dz)
        .bind("partials", partials)
        .set("rows", rows as u32)
        .set("inputs4", (pad4(inputs) / 4) as u32)
        .set("outputs4", (pad4(outputs) / 4) as u32)
        .set("rows_per_split", rows.div_ceil(splits) as u32)
        .set("parameter_stride", (shape.width() / 4) as u32)
        .set("weight_offset", (weight.offset / 4) as u32)
        .set("bias_offset", bias.map_or(0, |bias| bias.offset / 4) as u32)
        .workgroups(variant.grid(size))
        .flops(2 * (rows * inputs * outputs) as u64)
        .finish()
}
