//! A whole gradient for an intermediate-energy network, by any of the objectives that are compared.

use serde::{Deserialize, Serialize};

use super::{
    EnergyTargets, Labels, Regression, TimedGroups, contrastive_energy_prediction, energy_regression,
};
use crate::error::counted;
use crate::gpu::{Column, Recording};
use crate::nn::{FlatGradient, Keep, Model};
use crate::{Error, Result};

/// How a network learns the intermediate energy
/// `E_t(x_t) = -log E_q(x_0 | x_t)[exp(-beta E(x_0))]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum IntermediateEnergyLoss {
    /// Contrastive energy prediction (arXiv 2304.12824): [`contrastive_energy_prediction::record`].
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

impl Default for IntermediateEnergyLoss {
    /// Contrastive with normalized labels.
    fn default() -> Self {
        Self::Contrastive { labels: Labels::default() }
    }
}

/// What a step of an intermediate-energy network computed.
#[derive(Clone, Copy, Debug)]
pub struct IntermediateEnergyGradient {
    /// Losses, of which the mean is differentiated: one per group if contrastive, else one per
    /// sample. Not finite where an energy or an output is not, so watch them.
    pub loss: Column,
    /// Effective sample size of each group's labels, if contrastive.
    pub ess: Option<Column>,
    /// The gradient in the network's layout.
    pub gradient: FlatGradient,
}

/// Records the gradient of the mean loss to the parameters of a network over noised samples:
/// forward, loss, backward.
///
/// * `model`: one output, the inputs of [`TimedGroups::inputs`].
/// * `energies`: `E(x_0)` of the samples before the noise, number `b size + i` being sample `i` of
///   group `b`; no gradient flows into them. `beta`: at least 0.
///
/// # Errors
/// [`Error::Argument`] for groups of one sample if contrastive, a beta or reference that is not
/// finite or a negative beta, a network with other inputs or more outputs; [`Error::Shape`] if
/// widths differ or there is not one energy per sample.
pub fn record_intermediate_energy_gradient(
    recording: &mut Recording,
    objective: IntermediateEnergyLoss,
    model: &Model,
    groups: &TimedGroups,
    energies: Column,
    beta: f64,
) -> Result<IntermediateEnergyGradient> {
    let outputs = model.network().outputs();
    if outputs != 1 {
        let problem = format!("has {}; an energy is one", counted(outputs, "output"));
        return Err(Error::argument(format!("guidance of `{}`", model.name()), "the network", problem));
    }
    let forward = model.record_forward(recording, &groups.inputs(), Keep::Slopes)?;
    let labeled = EnergyTargets { output: forward.packed_output, energies, beta };
    let regress = |recording: &mut Recording, regression| -> Result<_> {
        let written = energy_regression::record(recording, regression, groups.rows(), &labeled)?;
        Ok((written.loss, None, written.output_gradient))
    };
    let (loss, ess, output_gradient) = match objective {
        IntermediateEnergyLoss::Contrastive { labels } => {
            let shape = (groups.groups(), groups.size());
            let written = contrastive_energy_prediction::record(recording, labels, shape, &labeled)?;
            (written.loss, Some(Column::all(recording, written.ess)?), written.output_gradient)
        }
        IntermediateEnergyLoss::Mse => regress(recording, Regression::Energy)?,
        IntermediateEnergyLoss::ExponentialMse { reference } => {
            regress(recording, Regression::Exponential { reference })?
        }
    };
    let gradient = model.record_parameter_gradient(recording, &forward, output_gradient)?;
    Ok(IntermediateEnergyGradient {
        loss: Column::all(recording, loss)?,
        ess,
        gradient: FlatGradient::Whole(gradient),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_plain_data() {
        let labels = Labels::Unnormalized { reference: -1.5 };
        for (objective, text) in [
            (IntermediateEnergyLoss::default(), r#"{"kind":"contrastive","labels":{"kind":"normalized"}}"#),
            (
                IntermediateEnergyLoss::Contrastive { labels },
                r#"{"kind":"contrastive","labels":{"kind":"unnormalized","reference":-1.5}}"#,
            ),
            (IntermediateEnergyLoss::Mse, r#"{"kind":"mse"}"#),
            (
                IntermediateEnergyLoss::ExponentialMse { reference: 2.0 },
                r#"{"kind":"exponential_mse","reference":2.0}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&objective).unwrap(), text);
            assert_eq!(serde_json::from_str::<IntermediateEnergyLoss>(text).unwrap(), objective);
        }
    }
}
