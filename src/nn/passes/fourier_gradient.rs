//! The chain rule of Fourier features (`shaders/nn/passes/fourier_gradient.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::{Fourier, Normalizer};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/fourier_gradient.wgsl");

/// Records `dx[r, i] = scale_i (2 pi sum_j B[i, j] (cos_j dz[r, 2 j + 1] - sin_j dz[r, 2 j]) +
/// dz[r, 2 count + i])`, the last term where the encoding holds the input itself.
///
/// * `dz`: packed `[rows, encoded width]`, gradient at the features; `features`: the same shape, as
///   [`super::fourier_features`] wrote them.
/// * returns a gradient in 1 / data units, of shape `shape` with `rows` rows of `width`. One
///   dispatch.
///
/// # Errors
/// [`Error::Shape`] if sizes disagree, [`Error::Argument`] as [`Fourier::check`].
pub fn record(
    recording: &mut Recording,
    dz: Value,
    features: Value,
    normalizer: &Normalizer,
    fourier: &Fourier,
    shape: Shape,
) -> Result<Value> {
    let out = recording.scratch("input gradient", DType::F32, shape);
    record_into(recording, dz, features, normalizer, fourier, out)?;
    Ok(out)
}

/// As [`record`], into memory of the caller's.
///
/// # Errors
/// As [`record`].
pub(crate) fn record_into(
    recording: &mut Recording,
    dz: Value,
    features: Value,
    normalizer: &Normalizer,
    fourier: &Fourier,
    out: Value,
) -> Result<()> {
    let shape = recording.shape(out)?.clone();
    let (rows, width) = (shape.rows(), shape.width());
    if width != normalizer.width() || shape.is_padded() {
        let expected = format!("[.., {}] without padding", normalizer.width());
        return Err(Error::shape("Fourier gradient", "dx", shape, expected, "give the input's own shape"));
    }
    fourier.check("Fourier gradient", width)?;
    let encoded = Shape::packed(rows, fourier.encoded_width(width));
    recording.expect_shape("Fourier gradient", dz, encoded.clone())?;
    recording.expect_shape("Fourier gradient", features, encoded.clone())?;
    let normalizer = recording.constant("normalizer", [2, width], &normalizer.flat())?;
    let matrix = recording.constant("frequencies", [width, fourier.count], &fourier.frequencies)?;
    recording
        .dispatch(&KERNEL, "Fourier gradient")
        .bind("dz", dz)
        .bind("features", features)
        .bind("normalizer", normalizer)
        .bind("matrix", matrix)
        .bind("dx", out)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("frequencies", fourier.count as u32)
        .set("kept", fourier.kept(width) as u32)
        .set("stride", encoded.stride() as u32)
        .invocations(rows * width)
        .flops((5 * rows * width * fourier.count) as u64)
        .finish()
}
