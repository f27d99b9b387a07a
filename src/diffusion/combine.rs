//! Weighted sums of rows (`shaders/diffusion/combine.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/combine.wgsl");

/// Records `a x + b y`.
///
/// * `x`, `y`: equally many rows of equally many numbers, rows [`Shape::stride`] apart; they may be
///   one value. Returns packed `[rows, dims]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ or there are none; [`Error::Argument`] for a
/// factor that is not finite.
pub fn record(
    recording: &mut Recording,
    label: &str,
    (a, x): (f32, Value),
    (b, y): (f32, Value),
) -> Result<Value> {
    let shape = recording.shape(x)?;
    let shape = Shape::packed(shape.rows(), shape.width());
    record_shaped(recording, label, shape, (a, x), (b, y))
}

/// As [`record`], into a value of any shape with as many rows and numbers.
///
/// # Errors
/// As [`record`].
pub fn record_shaped(
    recording: &mut Recording,
    label: &str,
    shape: Shape,
    (a, x): (f32, Value),
    (b, y): (f32, Value),
) -> Result<Value> {
    if !(a.is_finite() && b.is_finite()) {
        return Err(Error::argument(label, "the factors", format!("are {a} and {b}; they must be finite")));
    }
    let (first, second) = (recording.shape(x)?.clone(), recording.shape(y)?.clone());
    let (rows, dims) = (first.rows(), first.width());
    for (name, other) in [("y", &second), ("the result", &shape)] {
        if (other.rows(), other.width()) != (rows, dims) || first.is_empty() {
            let expected = format!("{rows} rows of {dims} numbers, at least one");
            return Err(Error::shape(label, name, other, expected, "combine rows of one kind"));
        }
    }
    let stride = shape.stride() as u32;
    let out = recording.scratch(label, DType::F32, shape);
    recording
        .dispatch(&KERNEL, label)
        .bind("x", x)
        .bind("y", y)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("x_stride", first.stride() as u32)
        .set("y_stride", second.stride() as u32)
        .set("out_stride", stride)
        .set("a", a)
        .set("b", b)
        .invocations(rows * dims.div_ceil(4))
        .flops((3 * rows * dims) as u64)
        .finish()?;
    Ok(out)
}
