//! Transposed copies of weights (`shaders/nn/passes/transpose_weights.wgsl`).

use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, shared_struct};
use crate::nn::ParameterSlice;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/transpose_weights.wgsl");

shared_struct! {
    /// Where a weight lies and where its transpose goes, in `vec4`s.
    pub(in crate::nn) struct TransposedLayer in "nn/passes/transpose_weights.wgsl" {
        weight: u32,
        inputs4: u32,
        outputs4: u32,
        destination: u32,
    }
}

/// Records a copy of the flat `parameters` with the matrices of `weights` transposed behind it, one
/// after the other, each with its rows and columns padded to whole `vec4`s. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if there is no matrix, or one that does not lie in the parameters.
pub fn record(recording: &mut Recording, parameters: Value, weights: &[&ParameterSlice]) -> Result<Value> {
    let shape = recording.shape(parameters)?;
    let len = shape.len();
    let outside =
        |slice: &&&ParameterSlice| slice.offset + slice.stride * slice.rows.next_multiple_of(4) > len;
    if weights.is_empty() || weights.iter().any(|slice| outside(&slice)) {
        let hint = "give matrices of the network whose parameters these are";
        let expected = "at least one matrix within";
        return Err(crate::Error::shape("transpose weights", "parameters", shape, expected, hint));
    }
    let mut table = Vec::new();
    let mut end = len / 4;
    for (slice, destination) in weights.iter().zip(destinations(len, weights)) {
        let (inputs4, outputs4) = (slice.rows.div_ceil(4), slice.stride / 4);
        table.push(TransposedLayer {
            weight: (slice.offset / 4) as u32,
            inputs4: inputs4 as u32,
            outputs4: outputs4 as u32,
            destination: destination as u32,
        });
        end = destination + 4 * inputs4 * outputs4;
    }
    let words: &[u32] = bytemuck::cast_slice(&table);
    let layers = recording.constant("transposed layers", [weights.len(), TransposedLayer::WORDS], words)?;
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
pub(crate) fn destinations(len: usize, weights: &[&ParameterSlice]) -> Vec<usize> {
    let sizes = weights.iter().map(|slice| slice.rows.div_ceil(4) * slice.stride);
    sizes.scan(len / 4, |next, size| Some(std::mem::replace(next, *next + size))).collect()
}
