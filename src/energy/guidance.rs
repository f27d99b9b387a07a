//! A whole gradient for an intermediate-energy network, by any of the objectives that are compared.

use serde::{Deserialize, Serialize};

use super::{Labelled, Labels, Regression, TimedGroups, contrastive, energy_regression};
use crate::gpu::{Column, Recording};
use crate::nn::{FlatGradient, GradientMode, Keep, Model};
use crate::{Error, Result};

/// How a network learns the intermediate energy `E_t(x_t) = -log E_q(x_0 | x_t)[exp(-beta E(x_0))]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum GuidanceObjective {
    /// Contrastive energy prediction (arXiv 2304.12824): [`contrastive::record`].
    Contrastive {
        /// How energies become labels.
        labels: Labels,
    },
    /// Regression on the energies: [`Regression::Energy`].
    Mse,
    /// Regression on their exponentials: [`Regression::Exponential`].
    ExponentialMse {
        /// Energy with target 1, near the lowest there is.
        reference: f64,
    },
}

impl Default for GuidanceObjective {
    /// Contrastive with normalised labels.
    fn default() -> Self {
        Self::Contrastive { labels: Labels::default() }
    }
}

/// What a step of an intermediate-energy network computed.
#[derive(Clone, Copy, Debug)]
pub struct GuidanceGradient {
    /// Losses, of which the mean is differentiated: one per group if contrastive, else one per sample. Not finite where an energy
    /// or an output is not, so watch them.
    pub loss: Column,
    /// Effective sample size of each group's labels, if contrastive.
    pub ess: Option<Column>,
    /// The gradient in the network's layout.
    pub gradient: FlatGradient,
}

/// Records the gradient of the mean loss to the parameters of a network over noised samples: forward, loss, backward.
///
/// * `model`: one output, the inputs of [`TimedGroups::inputs`].
/// * `energies`: `E(x_0)` of the samples before the noise, number `b size + i` being sample `i` of group `b`; no gradient flows into
///   them. `beta`: at least 0.
///
/// # Errors
/// [`Error::Argument`] for groups of one sample if contrastive, a beta or reference that is not finite or a negative beta, a
/// network with other inputs or more outputs; [`Error::Shape`] if widths differ or there is not one energy per sample.
pub fn record_guidance_gradient(
    recording: &mut Recording,
    objective: GuidanceObjective,
    model: &Model,
    groups: &TimedGroups,
    energies: Column,
    beta: f64,
) -> Result<GuidanceGradient> {
    let network = model.network();
    if network.outputs() != 1 {
        let problem = format!("has {} outputs; an energy is one", network.outputs());
        return Err(Error::argument(format!("guidance of `{}`", model.name()), "the network", problem));
    }
    let parameters = model.value(recording)?;
    let forward = network.record_forward(recording, parameters, &groups.inputs(), Keep::Slopes)?;
    let labelled = Labelled { output: forward.output, energies, beta };
    let regress = |recording: &mut Recording, regression| -> Result<_> {
        let written = energy_regression::record(recording, regression, groups.rows(), &labelled)?;
        Ok((written.loss, None, written.seed))
    };
    let (loss, ess, seed) = match objective {
        GuidanceObjective::Contrastive { labels } => {
            let shape = (groups.groups(), groups.size());
            let written = contrastive::record(recording, labels, shape, &labelled)?;
            (written.loss, Some(Column::all(recording, written.ess)?), written.seed)
        }
        GuidanceObjective::Mse => regress(recording, Regression::Energy)?,
        GuidanceObjective::ExponentialMse { reference } => {
            regress(recording, Regression::Exponential { reference })?
        }
    };
    let mode = GradientMode::Overwrite;
    let gradient = network.record_parameter_gradient(recording, parameters, &forward, seed, mode)?;
    Ok(GuidanceGradient { loss: Column::all(recording, loss)?, ess, gradient: FlatGradient::Whole(gradient) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_plain_data() {
        let labels = Labels::Unnormalised { reference: -1.5 };
        for (objective, text) in [
            (GuidanceObjective::default(), r#"{"kind":"contrastive","labels":{"kind":"normalised"}}"#),
            (
                GuidanceObjective::Contrastive { labels },
                r#"{"kind":"contrastive","labels":{"kind":"unnormalised","reference":-1.5}}"#,
            ),
            (GuidanceObjective::Mse, r#"{"kind":"mse"}"#),
            (
                GuidanceObjective::ExponentialMse { reference: 2.0 },
                r#"{"kind":"exponential_mse","reference":2.0}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&objective).unwrap(), text);
            assert_eq!(serde_json::from_str::<GuidanceObjective>(text).unwrap(), objective);
        }
    }
}
