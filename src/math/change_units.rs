//! Rows in other units (`shaders/math/change_units.wgsl`): to those of a normalizer and back.

use crate::Result;
use crate::gpu::record::row_range::{PerRow, cut};
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::Normalizer;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("math/change_units.wgsl");

/// Between which units rows are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Points from data units to normalized ones: `(y - shift) scale`.
    ToNormalized,
    /// Points from normalized units to those of the data: `z / scale + shift`.
    ToData,
    /// Gradients by points in data units become gradients by normalized points: `g / scale`.
    GradientToNormalized,
    /// Gradients by normalized points become gradients by points in data units: `g scale`.
    GradientToData,
}

impl Change {
    /// What the kernel subtracts, multiplies by and adds, one behind the other.
    pub fn units(self, normalizer: &Normalizer) -> Vec<f32> {
        let Normalizer { shift, scale } = normalizer;
        let none = || vec![0.0; shift.len()];
        let inverse = || scale.iter().map(|scale| 1.0 / scale).collect::<Vec<f32>>();
        match self {
            Self::ToNormalized => [shift.clone(), scale.clone(), none()].concat(),
            Self::ToData => [none(), inverse(), shift.clone()].concat(),
            Self::GradientToNormalized => [none(), inverse(), none()].concat(),
            Self::GradientToData => [none(), scale.clone(), none()].concat(),
        }
    }
}

/// The normalizer, if it changes anything.
pub(crate) fn needed(normalizer: Option<&Normalizer>) -> Option<&Normalizer> {
    normalizer.filter(|normalizer| !normalizer.is_identity())
}

/// Records rows in other units, into a value of the shape of `x`. One dispatch, several where the
/// rows pass the largest binding; none, and `x` itself, without a normalizer that changes anything.
///
/// * `x`: rows of the normalizer's dimensions, [`Shape::stride`] apart.
///
/// # Errors
/// [`crate::Error::Shape`] if dimensions disagree or there are no rows.
pub fn record(
    recording: &mut Recording,
    change: Change,
    normalizer: Option<&Normalizer>,
    x: Value,
) -> Result<Value> {
    let Some(normalizer) = needed(normalizer) else { return Ok(x) };
    let shape = recording.shape(x)?.clone();
    record_shaped(recording, change, normalizer, x, shape)
}

/// As [`record`] with any normalizer, into a value of any shape with as many rows and numbers.
///
/// # Errors
/// As [`record`].
pub fn record_shaped(
    recording: &mut Recording,
    change: Change,
    normalizer: &Normalizer,
    x: Value,
    shape: Shape,
) -> Result<Value> {
    const LABEL: &str = "change units";
    let from = recording.shape(x)?.clone();
    let (rows, dims) = (from.rows(), normalizer.width());
    for (name, found) in [("x", &from), ("the result", &shape)] {
        if (found.rows(), found.width()) != (rows, dims) || from.is_empty() {
            let expected = format!("{rows} rows of {dims} numbers, at least one");
            let hint = "give rows of the normalizer's dimensions";
            return Err(crate::Error::shape(LABEL, name, found, expected, hint));
        }
    }
    let [x_stride, out_stride] = [&from, &shape].map(Shape::stride);
    let units = recording.constant("units", [3, dims], &change.units(normalizer))?;
    let out = recording.scratch("other units", DType::F32, shape);
    let widest = PerRow { stride: x_stride.max(out_stride), candidates: 1 };
    for range in cut(recording.target(), rows, &[widest]) {
        let (x, out) = (range.of(recording, x)?, range.of(recording, out)?);
        recording
            .dispatch(&KERNEL, LABEL)
            .bind("x", x)
            .bind("units", units)
            .bind("out", out)
            .set("rows", range.count as u32)
            .set("dims", dims as u32)
            .set("x_stride", x_stride as u32)
            .set("out_stride", out_stride as u32)
            .invocations(range.count * dims.div_ceil(4))
            .flops((3 * range.count * dims) as u64)
            .finish()?;
    }
    Ok(out)
}
