//! The backward pass of one dense layer to its input (`shaders/nn/dense_input_gradient.wgsl`).

use super::Slice;
use super::variants::RowBlock;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, pad4};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/dense_input_gradient.wgsl");

/// Records `dh = dz W^T`, times the slope of the activation in front of the layer when there is one.
///
/// * `dz`: packed `[rows, outputs]`; `slope`: packed `[rows, inputs]`.
/// * returns packed `[rows, inputs]`. One dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`crate::Error::Shape`] if `dz` or `slope` do not fit the weight.
pub fn record(
    recording: &mut Recording,
    dz: Value,
    parameters: Value,
    weight: &Slice,
    slope: Option<Value>,
) -> Result<Value> {
    let (inputs, outputs) = (weight.rows, weight.columns);
    let rows = recording.shape(dz)?.rows();
    recording.expect_shape("dense input gradient", dz, Shape::packed(rows, outputs))?;
    if let Some(slope) = slope {
        recording.expect_shape("dense input gradient", slope, Shape::packed(rows, inputs))?;
    }
    let out = recording.scratch("input gradient", DType::F32, Shape::packed(rows, inputs));
    let block = RowBlock::choose(recording.class(), rows, inputs);
    recording
        .dispatch(&KERNEL, &format!("input gradient {}", weight.name))
        .defines(&block.defines())
        .define("SLOPE", u32::from(slope.is_some()))
        .bind("dz", dz)
        .bind("parameters", parameters)
        .bind("slope", slope.unwrap_or(dz))
        .bind("out", out)
        .set("rows", rows as u32)
        .set("inputs4", (pad4(inputs) / 4) as u32)
        .set("outputs4", (pad4(outputs) / 4) as u32)
        .set("weight_offset", (weight.offset / 4) as u32)
        .workgroups(block.grid(rows, inputs))
        .flops(2 * (rows * inputs * outputs) as u64)
        .finish()?;
    Ok(out)
}
