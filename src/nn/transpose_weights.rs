//! Transposed copies of weights (`shaders/nn/transpose_weights.wgsl`).

use super::Slice;
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/transpose_weights.wgsl");

/// Records a copy of the flat `parameters` with the matrices of `weights` transposed behind it, one after the other, each
/// with its rows and columns padded to whole `vec4`s. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if there is no matrix, or one that does not lie in the parameters.
pub fn record(recording: &mut Recording, parameters: Value, weights: &[&Slice]) -> Result<Value> {
    let shape = recording.shape(parameters)?;
    let len = shape.len();
    let outside = |slice: &&&Slice| slice.offset + slice.stride * slice.rows.next_multiple_of(4) > len;
    if weights.is_empty() || weights.iter().any(|slice| outside(&slice)) {
        let hint = "give matrices of the network whose parameters these are";
        let expected = "at least one matrix within";
        return Err(crate::Error::shape("transpose weights", "parameters", shape, expected, hint));
    }
    let mut table = Vec::new();
    let mut end = len / 4;
    for (slice, destination) in weights.iter().zip(destinations(len, weights)) {
        let (inputs4, outputs4) = (slice.rows.div_ceil(4), slice.stride / 4);
        table.extend([slice.offset / 4, inputs4, outputs4, destination].map(|value| value as u32));
        end = destination + 4 * inputs4 * outputs4;
    }
    let layers = recording.constant("transposed layers", [weights.len(), 4], &table)?;
    let out = recording.scratch("transposed", DType::F32, Shape::new([4 * end]));
    recording
        .dispatch(&KERNEL, "transpose weights")
        .bind("parameters", parameters)
        .bind("layers", layers)
        .bind("out", out)
        .set("len4", (len / 4) as u32)
        .set("total4", end as u32)
        .set("layers", weights.len() as u32)
        .invocations(end)
        .finish()?;
    Ok(out)
}

/// Where each transposed matrix begins in the copy, in `vec4`s.
pub(crate) fn destinations(len: usize, weights: &[&Slice]) -> Vec<usize> {
    let sizes = weights.iter().map(|slice| slice.rows.div_ceil(4) * slice.stride);
    sizes.scan(len / 4, |next, size| Some(std::mem::replace(next, *next + size))).collect()
}
