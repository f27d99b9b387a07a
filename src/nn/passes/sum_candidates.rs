//! Summing over the candidates of each context (`shaders/nn/passes/sum_candidates.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/sum_candidates.wgsl");

/// Most candidates that one dispatch sums: lavapipe ends an invocation's loops after 65535 rounds,
/// silently.
const MAX_CANDIDATES: usize = 65_535;
/// Rows of the dispatches that larger sums are cut into.
const ROWS_PER_PART: usize = 32_768;

/// What a range of rows adds to the sums of its contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// Sums of these rows alone.
    Fresh,
    /// Contexts that begin before the range go on from what the range before wrote.
    Continue,
}

/// A range of rows among the candidates of some contexts.
#[derive(Clone, Copy, Debug)]
pub struct CandidateRange {
    /// Rows of each context.
    pub candidates: usize,
    /// Which of the contexts' rows, counted through, is the first of the range.
    pub first_row: usize,
    /// What the range adds.
    pub carry: Carry,
}

/// Records `out[b, j] = sum_k x[b candidates + k, j]`.
///
/// * `x`: packed `[contexts * candidates, width]`; returns packed `[contexts, width]`. One dispatch
///   for up to 65535 candidates.
///
/// # Errors
/// [`Error::Shape`] if the rows are not a multiple of `contexts`.
pub fn record(recording: &mut Recording, x: Value, contexts: usize) -> Result<Value> {
    let shape = recording.shape(x)?.clone();
    if contexts == 0 || shape.rows() % contexts != 0 || !shape.is_packed() {
        let expected = format!("a packed multiple of {contexts} rows");
        return Err(Error::shape(
            "sum candidates",
            "x",
            shape,
            expected,
            "give the same number of rows per context",
        ));
    }
    let out = recording.scratch("context sum", DType::F32, Shape::packed(contexts, shape.width()));
    let candidates = shape.rows() / contexts;
    record_range(recording, x, &CandidateRange { candidates, first_row: 0, carry: Carry::Fresh }, out)?;
    Ok(out)
}

/// Records the sums of a range of rows that may begin and end within a context.
///
/// * `x`: packed `[rows, width]`; `out`: packed `[contexts, width]`, all of it written. Contexts
///   without a row of the range get 0, or keep what they have if sums are carried on.
///
/// # Errors
/// [`Error::Shape`] if widths differ or the range reaches past the last context.
pub fn record_range(recording: &mut Recording, x: Value, range: &CandidateRange, out: Value) -> Result<()> {
    let (shape, sums) = (recording.shape(x)?.clone(), recording.shape(out)?.clone());
    let (rows, max) = (shape.rows(), range.candidates.min(shape.rows()));
    let fits = shape.is_packed() && sums == Shape::packed(sums.rows(), shape.width());
    if !fits || sums.rows().saturating_mul(range.candidates) < range.first_row + rows {
        let expected = format!("packed, the width of {shape}, {} candidates per row", range.candidates);
        return Err(Error::shape("sum candidates", "out", sums, expected, "give a row per context"));
    }
    if max > MAX_CANDIDATES {
        for first in (0..rows).step_by(ROWS_PER_PART) {
            let part = recording.rows(x, first, ROWS_PER_PART.min(rows - first))?;
            let carry = if first == 0 { range.carry } else { Carry::Continue };
            let range = CandidateRange { first_row: range.first_row + first, carry, ..*range };
            record_range(recording, part, &range, out)?;
        }
        return Ok(());
    }
    let stride4 = shape.stride() / 4;
    recording
        .dispatch(&KERNEL, "sum candidates")
        .define("CARRY", u32::from(range.carry == Carry::Continue))
        .bind("x", x)
        .bind("out", out)
        .set("contexts", sums.rows() as u32)
        .set("candidates", range.candidates as u32)
        .set("first_row", range.first_row as u32)
        .set("rows", rows as u32)
        .set("max", max as u32)
        .set("stride4", stride4 as u32)
        .invocations(sums.rows() * stride4)
        .finish()
}
