//! Maximum likelihood of a mixture (`shaders/proposal/mixture_likelihood.wgsl`).

use super::mixture_shape::MixtureShape;
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/mixture_likelihood.wgsl");

/// The likelihood of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Likelihood {
    /// `[contexts]`: `-log q(y_b | x_b)` in nats, with respect to data units.
    pub loss: Value,
    /// Packed `[contexts, outputs]`: gradient of the mean loss at the network's outputs.
    pub output_gradient: Value,
}

/// Records loss and output_gradient.
///
/// * `outputs`: `[contexts, shape.outputs()]`, plain or packed; `y`: `[contexts, dims]` (any outer
///   dimensions). One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if `y` or `outputs` do not fit.
pub fn record(
    recording: &mut Recording,
    outputs: Value,
    shape: &MixtureShape,
    y: Value,
) -> Result<Likelihood> {
    let (found, dims) = (recording.shape(y)?.plain(), shape.dims());
    let contexts = found.rows();
    if found.width() != dims {
        let expected = format!("[.., {dims}]");
        return Err(Error::shape("mixture likelihood", "y", found, expected, "one action per context"));
    }
    let y = recording.plain_rows(y)?;
    let packed = Shape::packed(contexts, shape.outputs());
    let outputs = recording.packed_input("mixture likelihood", outputs, contexts, shape.outputs())?;
    let loss = recording.scratch("likelihood loss", DType::F32, [contexts]);
    let output_gradient = recording.scratch("output gradient", DType::F32, packed.clone());
    let normalizer = recording.constant("normalizer", [2, dims], &shape.normalizer.flat())?;
    recording
        .dispatch(&KERNEL, "likelihood")
        .bind("mixture", outputs)
        .bind("normalizer", normalizer)
        .bind("y", y)
        .bind("output_gradient", output_gradient)
        .bind("loss", loss)
        .set("contexts", contexts as u32)
        .set("components", shape.components as u32)
        .set("dims", dims as u32)
        .set("outputs", shape.outputs() as u32)
        .set("stride", packed.stride() as u32)
        .set("low", shape.low)
        .set("high", shape.high)
        .set("log_volume", shape.normalizer.log_volume() as f32)
        .invocations(contexts)
        .finish()?;
    Ok(Likelihood { loss, output_gradient })
}
