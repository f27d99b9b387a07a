//! Divergence along the probability flow (`shaders/diffusion/flow_trace.wgsl`).

use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/flow_trace.wgsl");

/// Records `volume + weight probe . product` per row. One dispatch.
///
/// * `probe`, `product`: equally many rows of equally many numbers; `volume`: `[rows, 1]`, written: the first call for it
///   sets it, later ones add to it.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ.
pub fn record(
    recording: &mut Recording,
    probe: Value,
    product: Value,
    volume: Value,
    weight: f64,
) -> Result<()> {
    let (first, second) = (recording.shape(probe)?.clone(), recording.shape(product)?.clone());
    let (rows, dims) = (first.rows(), first.width());
    if (second.rows(), second.width()) != (rows, dims) {
        let expected = format!("{rows} rows of {dims} numbers");
        return Err(Error::shape(
            "divergence",
            "product",
            second,
            expected,
            "give the product with this probe",
        ));
    }
    recording.expect_shape("divergence: volume", volume, [rows, 1])?;
    let begin = !recording.is_written(volume);
    recording
        .dispatch(&KERNEL, "divergence")
        .bind("probe", probe)
        .bind("product", product)
        .bind("volume", volume)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("probe_stride", first.stride() as u32)
        .set("product_stride", second.stride() as u32)
        .set("begin", u32::from(begin))
        .set("weight", weight as f32)
        .invocations(rows)
        .finish()
}
