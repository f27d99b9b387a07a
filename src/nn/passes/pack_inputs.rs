//! Normalizing and packing rows for dense layers (`shaders/nn/passes/pack_inputs.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::Normalizer;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/pack_inputs.wgsl");

/// Records `out[r, j] = (x[r, j] - shift_j) scale_j`, zero in the padding.
///
/// * `x`: `[.., width]`, any number of outer dimensions, data units.
/// * returns packed `[rows, width]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the normalizer has another width.
pub fn record(recording: &mut Recording, x: Value, normalizer: &Normalizer) -> Result<Value> {
    let shape = recording.shape(x)?;
    let packed = Shape::packed(shape.rows(), shape.width());
    let out = recording.scratch("packed", DType::F32, packed);
    record_into(recording, x, normalizer, out)?;
    Ok(out)
}

/// As [`record`], into memory of the caller's.
///
/// # Errors
/// As [`record`], and [`Error::Shape`] if `out` is not packed `[rows, width]`.
pub(crate) fn record_into(
    recording: &mut Recording,
    x: Value,
    normalizer: &Normalizer,
    out: Value,
) -> Result<()> {
    let shape = recording.shape(x)?;
    let (rows, width) = (shape.rows(), shape.width());
    if width != normalizer.width() || shape.is_padded() {
        let expected = format!("[.., {}] without padding", normalizer.width());
        return Err(Error::shape("pack inputs", "x", shape, expected, "give rows of the input's width"));
    }
    recording.expect_shape("pack inputs", out, Shape::packed(rows, width))?;
    let normalizer = recording.constant("normalizer", [2, width], &normalizer.flat())?;
    let stride4 = width.div_ceil(4);
    recording
        .dispatch(&KERNEL, "pack inputs")
        .bind("x", x)
        .bind("normalizer", normalizer)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("stride4", stride4 as u32)
        .invocations(rows * stride4)
        .finish()
}
