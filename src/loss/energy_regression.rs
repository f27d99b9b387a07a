//! Regression of intermediate energies (`shaders/loss/energy_regression.wgsl`).

use super::EnergyTargets;
use crate::Result;
use crate::gpu::{DType, KernelSource, KernelVariant, Recording, Shape, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("loss/energy_regression.wgsl");

/// What the network's energies are regressed on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regression {
    /// Energies: `(output - beta E)^2`, least at the mean `E_q[beta E(x_0) | x_t]`, which is the
    /// intermediate energy only for small beta.
    Energy,
    /// Their exponentials: `(exp(-output) - exp(-beta (E - reference)))^2`, least at the
    /// intermediate energy but dominated by the lowest ones. The target's exponent is clamped to
    /// -100 .. 4 and the network's to at most 40, where its gradient ends.
    Exponential {
        /// Energy with target 1, near the lowest there is.
        reference: f64,
    },
}

/// Loss and gradient at the outputs.
#[derive(Clone, Copy, Debug)]
pub struct RegressionLoss {
    /// `[rows]`.
    pub loss: Value,
    /// Packed `[rows, 1]`: gradient of the mean loss.
    pub output_gradient: Value,
}

/// Records the regression of `rows` energies (arXiv 2304.12824, the ablation).
///
/// * finite for outputs and `beta E` up to 1e36 with residuals up to 1e18; beyond, or where one is
///   not finite, loss and gradient of the row are not finite either. One dispatch, about 30 bytes
///   moved per row.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes differ; [`crate::Error::Argument`] for a beta that is negative
/// or not finite, a reference that is not finite, or no row.
pub fn record(
    recording: &mut Recording,
    regression: Regression,
    rows: usize,
    labeled: &EnergyTargets,
) -> Result<RegressionLoss> {
    let operation = "energy regression";
    let reference = match regression {
        Regression::Energy => None,
        Regression::Exponential { reference } => Some(reference),
    };
    let (beta, max) = labeled.check(recording, operation, rows, reference)?;
    let EnergyTargets { output, energies, .. } = *labeled;
    let stride = recording.shape(output)?.stride();
    let loss = recording.scratch("loss", DType::F32, [rows]);
    let output_gradient = recording.scratch("output gradient", DType::F32, Shape::packed(rows, 1));
    recording
        .dispatch(&KERNEL, operation)
        .define("EXPONENTIAL", u32::from(reference.is_some()))
        .bind("energy", energies.value)
        .bind("output", output)
        .bind("output_gradient", output_gradient)
        .bind("loss", loss)
        .set("rows", rows as u32)
        .set("energy_first", energies.first as u32)
        .set("energy_stride", energies.stride as u32)
        .set("output_stride", stride as u32)
        .set("beta", beta)
        .set("reference", reference.unwrap_or(0.0) as f32)
        .set("max", max)
        .invocations(rows)
        .finish()?;
    Ok(RegressionLoss { loss, output_gradient })
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> [KernelVariant; 2] {
    [0, 1].map(|exponential| KernelVariant::new(&KERNEL, &[("EXPONENTIAL", exponential)]))
}
