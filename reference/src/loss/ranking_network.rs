//! Ranking objectives of whole networks (`shaders/loss/ranking_network.wgsl`).

use super::ranking_nce;
use crate::compose::Mlp;
use crate::compose::mlp::flatten;

/// Result of [`ranking_network`].
#[derive(Clone, Debug, PartialEq)]
pub struct RankingNetwork {
    /// `[contexts]`
    pub loss: Vec<f64>,
    /// `[contexts]`: effective sample size of the candidates.
    pub ess: Vec<f64>,
    /// Gradient of the mean loss, in the order of [`Mlp::parameters`].
    pub gradient: Vec<f64>,
}

/// [`ranking_nce()`] of the energies of a network, and the gradient of the mean loss to its
/// parameters.
///
/// * `x`: `[contexts, context width]`, `y`: `[contexts, candidates, action width]`, both in network
///   units.
/// * `log_q`: `[contexts, candidates]`, a constant; unused without `correction`.
pub fn ranking_network(
    network: &Mlp,
    x: &[f64],
    y: &[f64],
    log_q: &[f64],
    contexts: usize,
    candidates: usize,
    correction: bool,
) -> RankingNetwork {
    let trace = network.forward_candidates(x, y, contexts, candidates);
    let objective = ranking_nce(trace.output(), log_q, contexts, candidates, correction);
    let gradient = network.backward_candidates(&trace, &objective.energy_grad);
    RankingNetwork { loss: objective.loss, ess: objective.ess, gradient: flatten(&gradient.layers) }
}
