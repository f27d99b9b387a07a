//! The loss of predicted noise or samples (`shaders/loss/denoising_loss.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::nn::{FlatGradient, Keep, Model};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("loss/denoising_loss.wgsl");

/// Loss and gradient of a prediction.
#[derive(Clone, Copy, Debug)]
pub struct DenoisingLoss {
    /// `[rows]`: squared error of each sample.
    pub loss: Value,
    /// Packed `[rows, dims]`: gradient of the mean loss at the predictions.
    pub output_gradient: Value,
}

/// Most numbers of a sample: loops of the kernel stay below 65535 rounds.
const MAX_DIMS: usize = 200_000;

/// Records `loss[r] = |prediction - target|^2` and the gradient of its mean over rows; the target
/// is the noise in arXiv 2006.11239. One dispatch, and one for each that has to be packed.
///
/// * `prediction`, `target`: `[rows, dims]`, plain or packed.
///
/// # Errors
/// [`Error::Shape`] if they differ, [`Error::Argument`] beyond 200000 dimensions.
pub fn record(recording: &mut Recording, prediction: Value, target: Value) -> Result<DenoisingLoss> {
    let shape = recording.shape(target)?.clone();
    let (rows, dims) = (shape.rows(), shape.width());
    if dims > MAX_DIMS {
        let problem = format!("are {dims}, allowed are {MAX_DIMS}");
        return Err(Error::argument("denoising loss", "the dimensions", problem));
    }
    let target = recording.packed_input("denoising loss", target, rows, dims)?;
    let prediction = recording.packed_input("denoising loss", prediction, rows, dims)?;
    let loss = recording.scratch("loss", DType::F32, [rows]);
    let output_gradient = recording.scratch("output gradient", DType::F32, Shape::packed(rows, dims));
    recording
        .dispatch(&KERNEL, "denoising loss")
        .bind("prediction", prediction)
        .bind("target_rows", target)
        .bind("output_gradient", output_gradient)
        .bind("loss", loss)
        .set("rows", rows as u32)
        .set("dims4", dims.div_ceil(4) as u32)
        .invocations(rows)
        .flops(4 * (rows * dims) as u64)
        .finish()?;
    Ok(DenoisingLoss { loss, output_gradient })
}

/// Records loss and flat gradient of a network that predicts a target.
///
/// * `inputs`: the network's, by name; `target`: `[rows, dims]`, plain or packed.
/// * returns the loss `[rows]` and the gradient of its mean in the network's layout.
///
/// # Errors
/// [`Error::Shape`] if the network's inputs do not fit.
pub fn record_gradient(
    recording: &mut Recording,
    model: &Model,
    inputs: &[(&str, Value)],
    target: Value,
) -> Result<(Value, FlatGradient)> {
    let forward = model.record_forward(recording, inputs, Keep::Slopes)?;
    let DenoisingLoss { loss, output_gradient } = record(recording, forward.packed_output, target)?;
    let gradient = model.record_parameter_gradient(recording, &forward, output_gradient)?;
    Ok((loss, FlatGradient::Whole(gradient)))
}
