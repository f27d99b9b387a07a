//! Normalizing, encoding and packing rows for dense layers
//! (`shaders/nn/passes/fourier_features.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::{Fourier, Normalizer};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/fourier_features.wgsl");

/// Records the Fourier features of `u[r, i] = (x[r, i] - shift_i) scale_i`: `out[r, 2 j]` and
/// `out[r, 2 j + 1]` are cosine and sine of `2 pi sum_i u[r, i] B[i, j]`, `u` itself follows if it
/// is asked for, zero in the padding.
///
/// * `x`: `[.., width]`, any number of outer dimensions, data units.
/// * returns packed `[rows, encoded width]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the normalizer has another width, [`Error::Argument`] as [`Fourier::check`].
pub fn record(
    recording: &mut Recording,
    x: Value,
    normalizer: &Normalizer,
    fourier: &Fourier,
) -> Result<Value> {
    let shape = recording.shape(x)?;
    let encoded = Shape::packed(shape.rows(), fourier.encoded_width(shape.width()));
    let out = recording.scratch("features", DType::F32, encoded);
    record_into(recording, x, normalizer, fourier, out)?;
    Ok(out)
}

/// As [`record`], into memory of the caller's.
///
/// # Errors
/// As [`record`], and [`Error::Shape`] if `out` is not packed `[rows, encoded width]`.
pub(crate) fn record_into(
    recording: &mut Recording,
    x: Value,
    normalizer: &Normalizer,
    fourier: &Fourier,
    out: Value,
) -> Result<()> {
    let shape = recording.shape(x)?;
    let (rows, width) = (shape.rows(), shape.width());
    if width != normalizer.width() || shape.is_padded() {
        let expected = format!("[.., {}] without padding", normalizer.width());
        let hint = "give rows of the input's width";
        return Err(Error::shape("Fourier features", "x", shape, expected, hint));
    }
    fourier.check("Fourier features", width)?;
    let encoded = Shape::packed(rows, fourier.encoded_width(width));
    let stride4 = encoded.stride() / 4;
    recording.expect_shape("Fourier features", out, encoded)?;
    let normalizer = recording.constant("normalizer", [2, width], &normalizer.flat())?;
    let matrix = recording.constant("frequencies", [width, fourier.count], &fourier.frequencies)?;
    recording
        .dispatch(&KERNEL, "Fourier features")
        .bind("x", x)
        .bind("normalizer", normalizer)
        .bind("matrix", matrix)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("width", width as u32)
        .set("frequencies", fourier.count as u32)
        .set("kept", fourier.kept(width) as u32)
        .set("stride4", stride4 as u32)
        .invocations(rows * stride4)
        .flops((rows * width * fourier.count) as u64)
        .finish()
}
