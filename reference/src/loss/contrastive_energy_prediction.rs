//! Contrastive energy prediction (`shaders/loss/contrastive_energy_prediction.wgsl`).

/// Result of [`contrastive_energy_prediction`].
#[derive(Clone, Debug, PartialEq)]
pub struct Contrastive {
    /// `[groups]`
    pub loss: Vec<f64>,
    /// `[groups, size]`: d(mean loss)/d(output).
    pub output_gradient: Vec<f64>,
    /// `[groups]`: effective sample size of the labels, between 1 and `size`.
    pub ess: Vec<f64>,
    /// `[groups, size]`: the labels `u`.
    pub labels: Vec<f64>,
    /// `[groups, size]`: `p = softmax_i(-output)`.
    pub shares: Vec<f64>,
}

/// Labels `u_i = softmax_i(-beta E)` of a group, or `exp(-beta (E_i - reference))` if there is a
/// reference;
///
/// `loss = -sum_i u_i log p_i`, `p = softmax_i(-output)`,
/// `seed_i = (u_i - (sum_j u_j) p_i) / groups`, `ess = 1 / sum_i w_i^2` with the normalized labels
/// `w` in both modes (arXiv 2304.12824).
///
/// * `energy`, `output`: `[groups, size]`; low = wanted.
pub fn contrastive_energy_prediction(
    energy: &[f64],
    output: &[f64],
    size: usize,
    beta: f64,
    reference: Option<f64>,
) -> Contrastive {
    assert_eq!(energy.len(), output.len(), "one energy per output");
    assert!(size > 0 && energy.len().is_multiple_of(size), "whole groups of {size}");
    let groups = energy.len() / size;
    let mut result =
        Contrastive { loss: vec![], output_gradient: vec![], ess: vec![], labels: vec![], shares: vec![] };
    for (energy, output) in energy.chunks_exact(size).zip(output.chunks_exact(size)) {
        let normalized = softmax(&energy.iter().map(|e| -beta * e).collect::<Vec<_>>());
        let shares = softmax(&output.iter().map(|f| -f).collect::<Vec<_>>());
        let labels = match reference {
            None => normalized.clone(),
            Some(reference) => energy.iter().map(|e| (-beta * (e - reference)).exp()).collect(),
        };
        let lowest = output.iter().copied().fold(f64::INFINITY, f64::min);
        let log_sum = output.iter().map(|f| (lowest - f).exp()).sum::<f64>().ln();
        let total: f64 = labels.iter().sum();
        // -log p_i = output_i - lowest + log sum exp(lowest - output)
        result.loss.push(labels.iter().zip(output).map(|(u, f)| u * ((f - lowest) + log_sum)).sum());
        result
            .output_gradient
            .extend(labels.iter().zip(&shares).map(|(u, p)| (u - total * p) / groups as f64));
        result.ess.push(1.0 / normalized.iter().map(|w| w * w).sum::<f64>());
        result.labels.extend(labels);
        result.shares.extend(shares);
    }
    result
}

/// `exp(l_i) / sum_j exp(l_j)`
fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
    logits.iter().map(|l| (l - largest).exp() / total).collect()
}
