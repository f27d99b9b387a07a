//! Weighted sums of rows (`shaders/diffusion/combine.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/combine.wgsl");

/// Records `a x + b y`.
///
/// * `x`, `y`: equally many rows of equally many numbers, rows [`Shape::stride`] apart; they may be one value. Returns packed
///   `[rows, dims]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ or there are none; [`Error::Argument`] for a factor that is not finite.
pub fn record(
    recording: &mut Recording,
    label: &str,
    (a, x): (f32, Value),
    (b, y): (f32, Value),
) -> Result<Value> {
    if !(a.is_finite() && b.is_finite()) {
        return Err(Error::argument(label, "the factors", format!("are {a} and {b}; they must be finite")));
    }
    let (first, second) = (recording.shape(x)?.clone(), recording.shape(y)?.clone());
    let (rows, dims) = (first.rows(), first.width());
    if (second.rows(), second.width()) != (rows, dims) || first.is_empty() {
        let expected = format!("{rows} rows of {dims} numbers, at least one");
        return Err(Error::shape(label, "y", second, expected, "combine rows of one kind"));
    }
    let out = recording.scratch(label, DType::F32, Shape::packed(rows, dims));
    recording
        .dispatch(&KERNEL, label)
        .bind("x", x)
        .bind("y", y)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("x_stride", first.stride() as u32)
        .set("y_stride", second.stride() as u32)
        .set("a", a)
        .set("b", b)
        .invocations(rows * dims.div_ceil(4))
        .flops((3 * rows * dims) as u64)
        .finish()?;
    Ok(out)
}
