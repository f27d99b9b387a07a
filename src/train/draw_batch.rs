//! Drawing a batch on the device (`shaders/train/draw_batch.wgsl`).

use super::AliasEntry;
use crate::gpu::{DType, KernelSource, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("train/draw_batch.wgsl");

/// Rounds of an epoch's permutation. A row that no round swapped would stay where it is, and two
/// rows would keep their distance if every round treated them alike: each has a chance of 2^-32.
pub(super) const SWAPS: u32 = 32;

/// Which rows a batch takes.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// Each row with the same probability, independently.
    Replacement,
    /// Each row with its own probability, independently: an alias table `[rows, 2]` of `u32`
    /// (threshold, alias), as [`super::Dataset::alias_table`] makes it.
    Weighted(Value),
    /// Every row once per epoch, in an order that is new in each. Positions `step * batch + b` run
    /// on across the border of two epochs, so the batch need not divide the rows. A recording that
    /// is replayed 2^64 / batch times begins anew.
    Epochs,
}

impl Choice {
    /// The value of the kernel's define.
    fn code(self) -> u32 {
        match self {
            Choice::Replacement => 0,
            Choice::Weighted(_) => 1,
            Choice::Epochs => 2,
        }
    }

    /// The kernel's defines in every choice.
    pub(super) fn all_defines() -> [[(&'static str, u32); 2]; 3] {
        [0, 1, 2].map(|code| [("DRAW", code), ("SWAPS", SWAPS)])
    }
}

/// Records drawing `batch` rows and gathering them.
///
/// * `data_x`: `[rows, x_width]`, width 0 for data without contexts; `data_y`: `[rows, y_width]`.
/// * returns `x` `[batch, x_width]` and `y` `[batch, candidates, y_width]`, of which candidate 0 is
///   written. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the data's rows differ or an alias table has another number of them,
/// [`Error::Argument`] for an empty batch or a stream in use, [`Error::Binding`] for a table that
/// is not `u32`.
pub fn record(
    recording: &mut Recording,
    (data_x, data_y): (Value, Value),
    choice: Choice,
    batch: usize,
    candidates: usize,
    stream: &str,
) -> Result<(Value, Value)> {
    let (x_shape, y_shape) = (recording.shape(data_x)?.clone(), recording.shape(data_y)?.clone());
    if x_shape.rows() != y_shape.rows() || x_shape.rows() == 0 {
        let expected = format!("{} rows, at least 1", x_shape.rows());
        return Err(Error::shape("draw batch", "data_y", y_shape, expected, "one action per context"));
    }
    if batch == 0 || candidates == 0 {
        return Err(Error::argument("draw batch", "the batch", "is empty; draw at least one row"));
    }
    let table = match choice {
        Choice::Weighted(table) => {
            recording.expect_shape("draw batch", table, [x_shape.rows(), AliasEntry::WORDS])?;
            table
        }
        // An unused binding still needs a buffer.
        Choice::Replacement | Choice::Epochs => {
            recording.constant("no table", [1, AliasEntry::WORDS], &[0u32; AliasEntry::WORDS])?
        }
    };
    let (x_width, y_width) = (x_shape.width(), y_shape.width());
    let stream = recording.stream(stream)?;
    let x = recording.scratch("batch x", DType::F32, [batch, x_width]);
    // So do contexts that are not there; nothing is read or written.
    let (source_x, drawn_x) = match x_width {
        0 => (
            recording.constant("no contexts", [1, 1], &[0.0f32])?,
            recording.scratch("no batch x", DType::F32, [1, 1]),
        ),
        _ => (data_x, x),
    };
    let y = recording.scratch("batch y", DType::F32, [batch, candidates, y_width]);
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "draw batch")
        .define("DRAW", choice.code())
        .define("SWAPS", SWAPS)
        .bind("data_x", source_x)
        .bind("data_y", data_y)
        .bind("table", table)
        .bind("state", state)
        .bind("x", drawn_x)
        .bind("y", y)
        .set("batch", batch as u32)
        .set("rows", x_shape.rows() as u32)
        .set("x_width", x_width as u32)
        .set("y_width", y_width as u32)
        .set("y_stride", (candidates * y_width) as u32)
        .set("stream", stream)
        .invocations(batch)
        .finish()?;
    Ok((x, y))
}
