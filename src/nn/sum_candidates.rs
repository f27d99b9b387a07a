//! Summing over the candidates of each context (`shaders/nn/sum_candidates.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/sum_candidates.wgsl");

/// Records `out[b, j] = sum_k x[b candidates + k, j]`.
///
/// * `x`: packed `[contexts * candidates, width]`; returns packed `[contexts, width]`. One dispatch.
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
    let stride4 = shape.stride() / 4;
    let out = recording.scratch("context sum", DType::F32, Shape::packed(contexts, shape.width()));
    recording
        .dispatch(&KERNEL, "sum candidates")
        .bind("x", x)
        .bind("out", out)
        .set("contexts", contexts as u32)
        .set("candidates", (shape.rows() / contexts) as u32)
        .set("stride4", stride4 as u32)
        .invocations(contexts * stride4)
        .finish()?;
    Ok(out)
}
