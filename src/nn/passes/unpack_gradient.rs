//! The chain rule of packing (`shaders/nn/passes/unpack_gradient.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::Normalizer;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/unpack_gradient.wgsl");

/// Records `dx[r, j] = dz[r, j] scale_j`.
///
/// * `dz`: packed `[rows, width]`, gradient at normalized inputs.
/// * returns a gradient in 1 / data units, of shape `shape` with `rows` rows of `width`. One
///   dispatch.
///
/// # Errors
/// [`Error::Shape`] if sizes disagree.
pub fn record(recording: &mut Recording, dz: Value, normalizer: &Normalizer, shape: Shape) -> Result<Value> {
    let out = recording.scratch("input gradient", DType::F32, shape);
    record_into(recording, dz, normalizer, out)?;
    Ok(out)
}

/// As [`record`], into memory of the caller's.
///
/// # Errors
/// As [`record`].
pub(crate) fn record_into(
    recording: &mut Recording,
    dz: Value,
    normalizer: &Normalizer,
    out: Value,
) -> Result<()> {
    let shape = recording.shape(out)?.clone();
    let found = recording.shape(dz)?.clone();
    let (rows, width) = (found.rows(), found.width());
    if width != normalizer.width() || shape.rows() != rows || shape.width() != width || shape.is_padded() {
        return Err(Error::shape("unpack gradient", "dz", found, shape, "rows and widths must agree"));
    }
    let normalizer = recording.constant("normalizer", [2, width], &normalizer.flat())?;
    recording
        .dispatch(&KERNEL, "unpack gradient")
        .bind("dz", dz)
        .bind("normalizer", normalizer)
        .bind("dx", out)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("stride", found.stride() as u32)
        .invocations(rows * width)
        .finish()
}
