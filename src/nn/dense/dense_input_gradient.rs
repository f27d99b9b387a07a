//! The backward pass of one dense layer to its input
//! (`shaders/nn/dense/dense_input_gradient.wgsl`).

use super::variant::{DenseSize, Variant};
use crate::Result;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, pad4};
use crate::nn::ParameterSlice;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/dense/dense_input_gradient.wgsl");

/// By tiles in workgroup memory.
pub const TILED: KernelSource = embedded_kernel!("nn/dense/dense_input_gradient_tiled.wgsl");

/// By subgroups of 8 that share what they load.
pub const SUBGROUP: KernelSource = embedded_kernel!("nn/dense/dense_input_gradient_subgroup.wgsl");

/// What a gradient meets on its way to the layer in front: `gradient * slope + skip`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue {
    /// The slope of the activation that made the layer's input, if there is one.
    pub slope: Option<Value>,
    /// The gradient that a residual block passes on, if one begins at the layer's input.
    pub skip: Option<Value>,
}

impl Epilogue {
    /// Checks both shapes.
    pub(crate) fn check(&self, recording: &Recording, operation: &str, shape: &Shape) -> Result<()> {
        for value in [self.slope, self.skip].into_iter().flatten() {
            recording.expect_shape(operation, value, shape.clone())?;
        }
        Ok(())
    }

    /// The defines of the kernels that apply it.
    pub(crate) fn defines(&self) -> [(&'static str, u32); 2] {
        [("SLOPE", u32::from(self.slope.is_some())), ("SKIP", u32::from(self.skip.is_some()))]
    }
}

/// Records `dh = (dz W^T) * slope + skip` by one variant.
///
/// * `dz`: packed `[rows, outputs]`; slope and skip of `epilogue`: packed `[rows, inputs]`, 1 and 0
///   where absent.
/// * returns packed `[rows, inputs]`. One dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`crate::Error::Shape`] if `dz`, the slope or the skip do not fit the weight.
pub(crate) fn record(
    recording: &mut Recording,
    variant: &Variant,
    dz: Value,
    parameters: Value,
    weight: &ParameterSlice,
    epilogue: Epilogue,
) -> Result<Value> {
    let (inputs, outputs) = (weight.rows, weight.columns);
    let rows = recording.shape(dz)?.rows();
    recording.expect_shape("dense input gradient", dz, Shape::packed(rows, outputs))?;
    epilogue.check(recording, "dense input gradient", &Shape::packed(rows, inputs))?;
    let out = recording.scratch("input gradient", DType::F32, Shape::packed(rows, inputs));
    let size = DenseSize { rows, inputs, outputs, splits: 1 };
    let operation = format!("input gradient {}", weight.name);
    variant
        .bind_weights(recording, &operation, parameters, weight)?
        .defines(&variant.defines(size))
        .defines(&epilogue.defines())
        .bind("dz", dz)
        .bind("parameters", parameters)
        .bind("slope", epilogue.slope.unwrap_or(dz))
        .bind("skip", epilogue.skip.unwrap_or(dz))
        .bind("out", out)
        .set("rows", rows as u32)
        .set("inputs4", (pad4(inputs) / 4) as u32)
        .set("outputs4", (pad4(outputs) / 4) as u32)
        .set("weight_offset", (weight.offset / 4) as u32)
        .workgroups(variant.grid(size))
        .flops(2 * (rows * inputs * outputs) as u64)
        .finish()?;
    Ok(out)
}
