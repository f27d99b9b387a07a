//! Drawing a batch on the device (`shaders/train/draw_batch.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("train/draw_batch.wgsl");

/// Records drawing `batch` rows with replacement and gathering them.
///
/// * `data_x`: `[rows, x_width]`; `data_y`: `[rows, y_width]`.
/// * returns `x` `[batch, x_width]` and `y` `[batch, candidates, y_width]`, of which candidate 0 is written. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if the data's rows differ, [`Error::Argument`] for an empty batch or a stream in use.
pub fn record(
    recording: &mut Recording,
    (data_x, data_y): (Value, Value),
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
    let (x_width, y_width) = (x_shape.width(), y_shape.width());
    let stream = recording.stream(stream)?;
    let x = recording.scratch("batch x", DType::F32, [batch, x_width]);
    let y = recording.scratch("batch y", DType::F32, [batch, candidates, y_width]);
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "draw batch")
        .bind("data_x", data_x)
        .bind("data_y", data_y)
        .bind("state", state)
        .bind("x", x)
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
