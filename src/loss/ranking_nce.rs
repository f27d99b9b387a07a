//! Ranking-NCE and InfoNCE losses (`shaders/loss/ranking_nce.wgsl`).

use serde::{Deserialize, Serialize};

use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("loss/ranking_nce.wgsl");

/// Most candidates per context: kernels that walk over them stay below the 65535 rounds after which
/// lavapipe ends loops.
const MAX_CANDIDATES: usize = 32_768;

/// Which logits the candidates are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankingObjective {
    /// Ranking NCE, `l = -E - log q`: consistent for every proposal with full support.
    Rnce,
    /// InfoNCE, `l = -E`: learns the ratio of data and proposal, so it is unbiased only for a
    /// uniform proposal.
    InfoNce,
}

crate::error::named!("ranking objective", RankingObjective { Rnce => "rnce", InfoNce => "infonce" });

/// Loss, gradient at the energies, effective sample size.
#[derive(Clone, Copy, Debug)]
pub struct RankingLoss {
    /// `[contexts]`.
    pub loss: Value,
    /// Packed `[contexts * candidates, 1]`: gradient of the mean loss; each context's entries sum
    /// to 0.
    pub output_gradient: Value,
    /// `[contexts]`: `1 / sum_k w_k^2` of the softmax weights, from 1 to the number of candidates.
    pub ess: Value,
}

/// Records the loss of a batch (arXiv 2309.05803): `loss[b] = logsumexp_k l[b, k] - l[b, 0]`,
/// candidate 0 being the data.
///
/// * `energy`: `contexts * candidates` rows of one number (any [`Shape::stride`]); `log_q`:
///   `[contexts, candidates]`, no gradient flows into it; ignored by InfoNCE.
/// * finite for |energy|, |log q| up to [`crate::gpu::MAX_MAGNITUDE`]. One dispatch, about 20 bytes
///   moved per candidate.
///
/// # Errors
/// [`Error::Shape`] if shapes differ; [`Error::Argument`] without a negative.
pub fn record(
    recording: &mut Recording,
    objective: RankingObjective,
    energy: Value,
    log_q: Value,
) -> Result<RankingLoss> {
    let shape = recording.shape(log_q)?.clone();
    let [contexts, candidates] = *shape.dims() else {
        let hint = "one log-density per candidate";
        return Err(Error::shape("ranking nce", "log_q", shape, "[contexts, candidates]", hint));
    };
    if candidates < 2 || contexts == 0 {
        let problem = format!(
            "is {}; the ranking needs at least one negative and one context",
            candidates.saturating_sub(1)
        );
        return Err(Error::argument("ranking nce", "the number of negatives", problem));
    }
    if candidates > MAX_CANDIDATES {
        let problem = format!("is {}, at most {} are allowed", candidates - 1, MAX_CANDIDATES - 1);
        return Err(Error::argument("ranking nce", "the number of negatives", problem));
    }
    let found = recording.shape(energy)?.clone();
    if found.rows() != contexts * candidates || found.width() != 1 {
        let expected = format!("[{}, 1]", contexts * candidates);
        return Err(Error::shape(
            "ranking nce",
            "energy",
            found.plain(),
            expected,
            "one energy per candidate",
        ));
    }
    let loss = recording.scratch("loss", DType::F32, [contexts]);
    let ess = recording.scratch("ess", DType::F32, [contexts]);
    let output_gradient =
        recording.scratch("output gradient", DType::F32, Shape::packed(contexts * candidates, 1));
    recording
        .dispatch(&KERNEL, "ranking nce")
        .define("CORRECTION", u32::from(objective == RankingObjective::Rnce))
        .bind("energy", energy)
        .bind("log_q", log_q)
        .bind("energy_gradient", output_gradient)
        .bind("loss", loss)
        .bind("ess", ess)
        .set("contexts", contexts as u32)
        .set("candidates", candidates as u32)
        .set("energy_stride", found.stride() as u32)
        .workgroups_folded(contexts)
        .finish()?;
    Ok(RankingLoss { loss, output_gradient, ess })
}
