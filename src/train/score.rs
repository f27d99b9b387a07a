//! Scores: networks that learn the noise of a sample, or the sample without it.

use super::run::Run;
use serde::{Deserialize, Serialize};

use super::Dataset;
use super::dataset::DataShape;
use super::noised;
use super::noised::{Layout, METRICS, Noising, Units, record_update, usual_optimizer};
use super::objective::{Details, Learner, Phase, Planned, StepParts, from_details, to_details};
use crate::Result;
use crate::diffusion::add_noise::DenoisingTarget;
use crate::diffusion::record_denoising_gradient;
use crate::diffusion::{NoiseSchedule, Prediction};
use crate::gpu::{Column, Recording};
use crate::math::Normalize;
use crate::nn::{AdamOptions, Network, Normalizer};

/// A score, learned by squared error (arXiv 2006.11239). Each sample has a time of its own;
/// energies of labeled data are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// Name of the model; its weights begin with the numbers of the stream `initialise/<name>`.
    /// Networks that meet in one recording need names of their own.
    pub name: String,
    /// The network: inputs `action`, `time` and, if conditional, `context`, and as many outputs as
    /// the action has numbers. It normalizes contexts itself ([`Dataset::fit_x`] for
    /// [`crate::nn::Input::normalized`]).
    pub network: Network,
    /// What it outputs.
    pub prediction: Prediction,
    /// The noise schedule.
    pub schedule: NoiseSchedule,
    /// First and last time to train on, drawn uniformly between; the last is at most the schedule's
    /// end, whatever it says.
    pub times: [f64; 2],
    /// How the network is trained; `steps` is set by the run.
    pub optimizer: AdamOptions,
    /// How actions are normalized: noise is added to normalized ones, and the network's own
    /// normalizer of actions stays the identity. Files of earlier versions leave them as they are.
    #[serde(default = "noised::data_units")]
    pub action: Normalize,
    /// A normalizer of actions to take as it is, in place of one fitted to the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
}

impl ScoreOptions {
    /// A score named `score` that outputs the noise, at times 0.001 to 1, of actions normalized to
    /// deviation 2 per column.
    pub fn new(network: Network) -> Self {
        Self {
            name: "score".into(),
            network,
            prediction: Prediction::default(),
            schedule: NoiseSchedule::default(),
            times: [1e-3, 1.0],
            optimizer: usual_optimizer(),
            action: noised::usual_units(),
            normalizer: None,
        }
    }

    /// The same options with another `name`.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    fn units(&self) -> Units<'_> {
        Units { action: self.action, given: self.normalizer.as_ref() }
    }

    fn noising(&self) -> Noising<'_> {
        Noising { schedule: &self.schedule, times: self.times, group: 1 }
    }
}

crate::error::setters!(ScoreOptions {
    with_prediction => prediction: Prediction,
    with_schedule => schedule: NoiseSchedule,
    with_times => times: [f64; 2],
    with_optimizer => optimizer: AdamOptions,
    with_action => action: Normalize,
    with_normalizer => normalizer: into Option<Normalizer>,
});

impl Learner for ScoreOptions {
    fn check(&self, run: Run, data: &Dataset) -> Result<()> {
        Layout::new(&self.network, None, data.shape(), run.batch, &self.noising())?;
        self.units().check(&self.network, data)
    }

    fn networks(&self, run: Run, _: &Dataset) -> Result<Vec<Planned>> {
        let optimizer = AdamOptions { steps: run.steps, ..self.optimizer };
        Ok(vec![Planned { name: self.name.clone(), network: self.network.clone(), optimizer }])
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn phases(&self, run: Run) -> Vec<Phase> {
        vec![noised::phase(run, false)]
    }

    fn record(&self, _: usize, recording: &mut Recording, parts: &StepParts<'_>) -> Result<()> {
        let noising = self.noising();
        let layout = Layout::of_step(parts, None, &noising)?;
        let target = match self.prediction {
            Prediction::Epsilon => DenoisingTarget::Noise,
            Prediction::Sample => DenoisingTarget::Sample,
        };
        let (context, _, noised) = layout.record_noised(recording, parts, &noising, target)?;
        let model = &parts.trained(0)?.model;
        let (loss, gradient) = record_denoising_gradient(recording, model, &noised, context)?;
        record_update(recording, parts, (Column::all(recording, loss)?, None), gradient)
    }

    fn sizes(&self, run: Run, data: DataShape) -> String {
        noised::sizes(&self.network, run, data)
    }

    fn action_units(&self, details: &Details) -> Result<Option<Normalizer>> {
        Ok(from_details::<ScoreDetails>(details)?.normalizer)
    }

    fn details(&self, _: Run, data: &Dataset) -> Result<Details> {
        let normalizer = self.units().fit(data);
        to_details(&ScoreDetails { prediction: self.prediction, schedule: self.schedule, normalizer })
    }
}

/// What a checkpoint of a score holds beside options and network, as
/// [`crate::diffusion::ScoreNetwork::load`] reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScoreDetails {
    pub prediction: Prediction,
    pub schedule: NoiseSchedule,
    /// None for data units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
}
