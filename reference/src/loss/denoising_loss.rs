//! Squared error of predicted noise or samples (`shaders/loss/denoising_loss.wgsl`).

/// Result of [`denoising_loss`].
#[derive(Clone, Debug, PartialEq)]
pub struct DenoisingLoss {
    /// `[rows]`
    pub loss: Vec<f64>,
    /// `[rows, dims]`: d(mean loss)/d prediction.
    pub output_gradient: Vec<f64>,
}

/// `loss[r] = |prediction[r] - target[r]|^2`, `output_gradient = 2 (prediction - target) / rows`;
/// both inputs `[rows, dims]`.
pub fn denoising_loss(prediction: &[f64], target: &[f64], dims: usize) -> DenoisingLoss {
    let gap: Vec<f64> = prediction.iter().zip(target).map(|(p, z)| p - z).collect();
    let rows = (prediction.len() / dims) as f64;
    DenoisingLoss {
        loss: gap.chunks_exact(dims).map(|row| row.iter().map(|g| g * g).sum()).collect(),
        output_gradient: gap.iter().map(|g| 2.0 * g / rows).collect(),
    }
}
