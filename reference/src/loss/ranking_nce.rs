//! Ranking NCE and InfoNCE (`shaders/loss/ranking_nce.wgsl`).

/// Result of [`ranking_nce`].
#[derive(Clone, Debug, PartialEq)]
pub struct RankingNce {
    /// `[contexts]`
    pub loss: Vec<f64>,
    /// `[contexts, candidates]`: d(mean loss)/d(energy).
    pub energy_grad: Vec<f64>,
    /// `[contexts]`: effective sample size, between 1 and `candidates`.
    pub ess: Vec<f64>,
    /// `[contexts, candidates]`: `softmax_k l`.
    pub weights: Vec<f64>,
}

/// `l[b, k] = -E[b, k] - log_q[b, k]` (R-NCE, arXiv 2309.05803) or `-E[b, k]` (InfoNCE,
/// `correction` false); candidate 0 is the data:
///
/// `loss[b] = logsumexp_k l - l[b, 0]`, `energy_grad[b, k] = ([k = 0] - w_k) / contexts`,
/// `ess[b] = 1 / sum_k w_k^2`, `w = softmax_k l`. Finite for `|E|, |log_q|` up to 1e30 and beyond.
///
/// * `energy`, `log_q`: `[contexts, candidates]`; low energy = likely. Without correction `log_q`
///   may be empty.
pub fn ranking_nce(
    energy: &[f64],
    log_q: &[f64],
    contexts: usize,
    candidates: usize,
    correction: bool,
) -> RankingNce {
    assert_eq!(energy.len(), contexts * candidates, "`energy` is [contexts, candidates]");
    if correction {
        assert_eq!(log_q.len(), contexts * candidates, "`log_q` is [contexts, candidates]");
    }
    let mut result = RankingNce { loss: vec![], energy_grad: vec![], ess: vec![], weights: vec![] };
    for b in 0..contexts {
        let logit = |k: usize| {
            let at = b * candidates + k;
            -energy[at] - if correction { log_q[at] } else { 0.0 }
        };
        let largest = (0..candidates).map(logit).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (0..candidates).map(|k| (logit(k) - largest).exp()).sum();
        let mut squares = 0.0;
        for k in 0..candidates {
            let w = (logit(k) - largest).exp() / total;
            let positive = f64::from(u8::from(k == 0));
            squares += w * w;
            result.weights.push(w);
            result.energy_grad.push((positive - w) / contexts as f64);
        }
        result.loss.push((largest - logit(0)) + total.ln());
        result.ess.push(1.0 / squares);
    }
    result
}
