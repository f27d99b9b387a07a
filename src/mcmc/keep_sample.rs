//! Samples kept along chains (`shaders/mcmc/keep_sample.wgsl`).

use std::ops::Range;

use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/keep_sample.wgsl");

/// Records copying the columns `columns` of every row of `source` to place `place` of `out`. One
/// dispatch.
///
/// * `source`: `[.., width]`; `out`: places of as many numbers as are copied,
///   `[places, .., columns]`.
///
/// # Errors
/// [`Error::Shape`] if the columns are not there or the copy does not fit.
pub fn record(
    recording: &mut Recording,
    source: Value,
    columns: Range<usize>,
    out: Value,
    place: usize,
) -> Result<()> {
    let (shape, target) = (recording.shape(source)?.clone(), recording.shape(out)?.clone());
    if columns.is_empty() || columns.end > shape.width() {
        let expected = format!("[.., at least {}]", columns.end.max(1));
        return Err(Error::shape("keep sample", "source", shape, expected, "copy columns that are there"));
    }
    let rows = shape.rows();
    let count = rows.saturating_mul(columns.len());
    if target.is_padded() || count.saturating_mul(place.saturating_add(1)) > target.len() {
        let expected = format!("at least {} places of {count} numbers", place + 1);
        return Err(Error::shape("keep sample", "out", target, expected, "make room for every sample"));
    }
    recording
        .dispatch(&KERNEL, "keep sample")
        .bind("source", source)
        .bind("out", out)
        .set("rows", rows as u32)
        .set("width", columns.len() as u32)
        .set("stride", shape.stride() as u32)
        .set("first", columns.start as u32)
        .set("place", place as u32)
        .invocations(count)
        .finish()
}
