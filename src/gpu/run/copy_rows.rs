//! Plain rows where users meet them, packed ones within networks
//! (`shaders/gpu/run/copy_rows.wgsl`).

use crate::gpu::record::row_range::{PerRow, cut};
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/copy_rows.wgsl");

impl Recording {
    /// The rows of a value without padding, `[rows, width]`: the value itself if it has none, else
    /// a copy in one dispatch. Networks pad rows to whole `vec4`s ([`Shape::packed`]); where the
    /// width is a multiple of 4 there is nothing to copy.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value belongs to another recording, [`Error::Binding`] if its
    /// rows are padded and nothing was written to them yet.
    pub fn plain_rows(&mut self, value: Value) -> Result<Value> {
        let shape = self.shape(value)?.clone();
        match shape.is_padded() {
            true => record(self, "plain rows", value, shape.plain()),
            false => Ok(value),
        }
    }

    /// The rows of a value in whole `vec4`s, padded with zeros, as dense layers read them: the
    /// value itself if it is packed or its width a multiple of 4, else a copy in one dispatch.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value belongs to another recording, [`Error::Binding`] if nothing
    /// was written to it yet.
    pub fn packed_rows(&mut self, value: Value) -> Result<Value> {
        let shape = self.shape(value)?.clone();
        match (shape.is_packed(), shape.dims().len()) {
            (true, 2) => Ok(value),
            (true, _) => self.rows(value, 0, shape.rows()),
            (false, _) => record(self, "packed rows", value, Shape::packed(shape.rows(), shape.width())),
        }
    }

    /// As [`Recording::plain_rows`], for a value with the rows and width of `expected`.
    ///
    /// # Errors
    /// As there, [`Error::Shape`] with the shapes without padding.
    pub(crate) fn plain_input(
        &mut self,
        operation: &str,
        value: Value,
        expected: impl Into<Shape>,
    ) -> Result<Value> {
        let expected = expected.into();
        self.expect_rows(operation, value, &expected)?;
        self.plain_rows(value)
    }

    /// As [`Recording::packed_rows`], for a value of `rows` rows of `width` numbers.
    ///
    /// # Errors
    /// As there, [`Error::Shape`] with the shapes without padding.
    pub(crate) fn packed_input(
        &mut self,
        operation: &str,
        value: Value,
        rows: usize,
        width: usize,
    ) -> Result<Value> {
        self.expect_rows(operation, value, &Shape::new([rows, width]))?;
        self.packed_rows(value)
    }

    /// Checks that a value has the rows and width of `expected`, padded or not.
    ///
    /// # Errors
    /// [`Error::Shape`] with the shapes without padding.
    pub(crate) fn expect_rows(&self, operation: &str, value: Value, expected: &Shape) -> Result<()> {
        let found = self.shape(value)?;
        if (found.rows(), found.width()) == (expected.rows(), expected.width()) {
            return Ok(());
        }
        Err(Error::shape(
            format!("{}/{operation}", self.label()),
            &self.values[value.index as usize].label,
            found.plain(),
            expected.plain(),
            "record the tensor with that shape",
        ))
    }

    /// Turns a scratch value into an external slot of plain rows, so that its owner can read it
    /// after a run. Padded rows are copied to the slot by a dispatch at this place, the value stays
    /// as it is; [`Recording::expose_packed`] leaves the padding in.
    ///
    /// # Errors
    /// [`Error::Argument`] if the name is taken, or the value is not scratch memory of this
    /// recording.
    pub fn expose(&mut self, value: Value, name: &str) -> Result<()> {
        self.expose_plain(value, name).map(|_| ())
    }

    /// As [`Recording::expose`]; returns the value that became the slot. Rows that nobody has
    /// written yet stay as they are: whoever made them padded will read them padded.
    pub(in crate::gpu) fn expose_plain(&mut self, value: Value, name: &str) -> Result<Value> {
        self.check_exposable(value, name)?;
        let is_f32 = self.values[value.index as usize].dtype == DType::F32;
        let plain = match self.is_written(value) && is_f32 {
            true => self.plain_rows(value)?,
            false => value,
        };
        self.expose_packed(plain, name)?;
        Ok(plain)
    }
}

/// Records a copy of the rows of `x` in memory of this shape: one dispatch, several where they pass
/// the largest binding of the recording's target.
fn record(recording: &mut Recording, label: &str, x: Value, shape: Shape) -> Result<Value> {
    let found = recording.shape(x)?.clone();
    let (rows, longest) = (found.rows(), found.stride().max(shape.stride()));
    let out = recording.scratch(label, DType::F32, shape);
    for range in cut(recording.target(), rows, &[PerRow { stride: longest, candidates: 1 }]) {
        let (from, to) = (range.of(recording, x)?, range.of(recording, out)?);
        record_into(recording, label, from, to)?;
    }
    Ok(out)
}

/// Records `out[r, j] = x[r, j]`, zero in the padding. One dispatch.
///
/// * `x`, `out`: equally many rows of equally many numbers, each padded or not.
///
/// # Errors
/// [`Error::Shape`] if rows or widths differ.
pub fn record_into(recording: &mut Recording, label: &str, x: Value, out: Value) -> Result<()> {
    let (from, to) = (recording.shape(x)?.clone(), recording.shape(out)?.clone());
    if (from.rows(), from.width()) != (to.rows(), to.width()) {
        return Err(Error::shape(label, "x", from, to, "copy rows of one kind"));
    }
    recording
        .dispatch(&KERNEL, label)
        .bind("x", x)
        .bind("out", out)
        .set("rows", from.rows() as u32)
        .set("width", from.width() as u32)
        .set("x_stride", from.stride() as u32)
        .set("out_stride", to.stride() as u32)
        .invocations(to.len())
        .finish()
}
