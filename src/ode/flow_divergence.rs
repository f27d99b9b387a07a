//! Divergence along the probability flow (`shaders/ode/flow_divergence.wgsl`).

use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("ode/flow_divergence.wgsl");

/// Records `log_det + weight probe . product` per row. One dispatch.
///
/// * `probe`, `product`: equally many rows of equally many numbers; `log_det`: `[rows, 1]`,
///   written: the first call for it sets it, later ones add to it.
///
/// # Errors
/// [`Error::Shape`] if rows or dimensions differ; [`Error::Argument`] beyond 65535 dimensions.
pub fn record(
    recording: &mut Recording,
    probe: Value,
    product: Value,
    log_det: Value,
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
    check_loop("divergence", dims)?;
    recording.expect_shape("divergence: log_det", log_det, [rows, 1])?;
    let begin = !recording.is_written(log_det);
    recording
        .dispatch(&KERNEL, "divergence")
        .bind("probe", probe)
        .bind("product", product)
        .bind("log_det", log_det)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("probe_stride", first.stride() as u32)
        .set("product_stride", second.stride() as u32)
        .set("begin", u32::from(begin))
        .set("weight", weight as f32)
        .invocations(rows)
        .finish()
}

/// Most numbers of a row: some drivers end longer loops silently.
const MAX_DIMS: usize = 65_535;

/// Checks that a kernel may walk over the numbers of a row.
pub(crate) fn check_loop(operation: &str, dims: usize) -> Result<()> {
    match dims <= MAX_DIMS {
        true => Ok(()),
        false => {
            let problem = format!("are {dims}, allowed are {MAX_DIMS}");
            Err(Error::argument(operation, "the dimensions", problem))
        }
    }
}
