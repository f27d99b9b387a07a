//! Squared error of predicted noise (`shaders/diffusion/denoising_loss.wgsl`).

/// Result of [`denoising_loss`].
#[derive(Clone, Debug, PartialEq)]
pub struct DenoisingLoss {
    /// `[rows]`
    pub loss: Vec<f64>,
    /// `[rows, dims]`: d(mean loss)/d prediction.
    pub seed: Vec<f64>,
}

/// `loss[r] = |prediction[r] - noise[r]|^2`, `seed = 2 (prediction - noise) / rows`; both inputs `[rows, dims]`.
pub fn denoising_loss(prediction: &[f64], noise: &[f64], dims: usize) -> DenoisingLoss {
    let gap: Vec<f64> = prediction.iter().zip(noise).map(|(p, z)| p - z).collect();
    let rows = (prediction.len() / dims) as f64;
    DenoisingLoss {
        loss: gap.chunks_exact(dims).map(|row| row.iter().map(|g| g * g).sum()).collect(),
        seed: gap.iter().map(|g| 2.0 * g / rows).collect(),
    }
}
