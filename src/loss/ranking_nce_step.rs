//! A whole gradient of a contrastive objective: negatives, densities, energies, loss, backward.

use super::ranking_nce;
use super::ranking_nce::RankingObjective;
use super::ranking_network;
use super::ranking_network::RankingNceGradient;
use crate::energy::NetworkEnergy;
use crate::gpu::{Column, Recording, Value};
use crate::nn::{FlatGradient, Fusion, Keep};
use crate::proposal::{Draws, Proposal};
use crate::{Error, Result};

/// What a ranking NCE step computed.
#[derive(Clone, Copy, Debug)]
pub struct RankingNceStep {
    /// `[contexts]`.
    pub loss: Value,
    /// `[contexts]`: effective sample size of the candidates.
    pub ess: Value,
    /// Flat gradient of the mean loss in the energy network's layout.
    pub gradient: Value,
}

/// Records the gradient of the mean loss for the energy network (Algorithm 1 of arXiv 2309.05803,
/// energy step). Draws `candidates - 1` negatives per context from the frozen proposal; nothing
/// flows back into it.
///
/// * `context`: `[contexts, width]`; `candidates`: `[contexts, 1 + negatives, dims]`, whose first
///   entry per context is the demonstration, already there.
///
/// # Errors
/// [`Error::Argument`] without a negative, [`Error::Shape`].
pub fn record_ranking_nce(
    recording: &mut Recording,
    objective: RankingObjective,
    energy: &NetworkEnergy,
    proposal: &dyn Proposal,
    (context, candidates): (Value, Value),
    stream: &str,
) -> Result<RankingNceStep> {
    let count = check_candidates(recording, candidates)?;
    let draws = Draws { candidates, first: 1, count: count - 1, stream, inner: 0 };
    let log_q = proposal.record_propose(recording, context, &draws, Fusion::Never)?;
    record_layers(recording, objective, energy, (context, candidates), log_q)
}

/// As [`record_ranking_nce`], in as few dispatches as `fusion` allows: draws and densities in one,
/// and network, loss and gradient of a narrow network in another. The gradient may still have to be
/// added up, which the optimizer does.
///
/// # Errors
/// As [`record_ranking_nce`].
pub fn record_ranking_nce_fused(
    recording: &mut Recording,
    objective: RankingObjective,
    energy: &NetworkEnergy,
    proposal: &dyn Proposal,
    (context, candidates): (Value, Value),
    stream: &str,
    fusion: Fusion,
) -> Result<RankingNceGradient> {
    let count = check_candidates(recording, candidates)?;
    let draws = Draws { candidates, first: 1, count: count - 1, stream, inner: 0 };
    let log_q = proposal.record_propose(recording, context, &draws, fusion)?;
    if fusion != Fusion::Never {
        let parameters = energy.model().value(recording)?;
        let network = energy.model().network();
        let inputs = (Some(context), candidates);
        let ranked = ranking_network::record(recording, objective, network, parameters, inputs, log_q)?;
        if let Some(ranked) = ranked {
            return Ok(ranked);
        }
    }
    let step = record_layers(recording, objective, energy, (context, candidates), log_q)?;
    Ok(RankingNceGradient {
        loss: Column::all(recording, step.loss)?,
        ess: Column::all(recording, step.ess)?,
        gradient: FlatGradient::Whole(step.gradient),
    })
}

/// The number of candidates per context, demonstration included.
fn check_candidates(recording: &Recording, candidates: Value) -> Result<usize> {
    let shape = recording.shape(candidates)?.clone();
    let [_, count, _] = *shape.dims() else {
        let hint = "the demonstration first, then room for the negatives";
        return Err(Error::shape(
            "ranking NCE step",
            "candidates",
            shape,
            "[contexts, candidates, dims]",
            hint,
        ));
    };
    if count < 2 {
        return Err(Error::argument(
            "ranking NCE step",
            "the number of negatives",
            "is 0; it must be at least 1",
        ));
    }
    if !recording.is_written(candidates) {
        let problem = "hold nothing yet; write the demonstrations to candidate 0 first";
        return Err(Error::argument("ranking NCE step", "the candidates", problem));
    }
    Ok(count)
}

/// Energies, loss and gradient, a dispatch per layer and direction.
fn record_layers(
    recording: &mut Recording,
    objective: RankingObjective,
    energy: &NetworkEnergy,
    (context, candidates): (Value, Value),
    log_q: Value,
) -> Result<RankingNceStep> {
    let model = energy.model();
    let inputs = energy.inputs(recording, Some(context), candidates)?;
    let forward = model.record_forward(recording, &inputs, Keep::Slopes)?;
    let ranking = ranking_nce::record(recording, objective, forward.packed_output, log_q)?;
    let gradient = model.record_parameter_gradient(recording, &forward, ranking.output_gradient)?;
    Ok(RankingNceStep { loss: ranking.loss, ess: ranking.ess, gradient })
}
