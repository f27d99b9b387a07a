//! Scores: networks that learn the noise of a sample, or the sample without it.

use super::run::Run;
use serde::{Deserialize, Serialize};

use super::Dataset;
use super::dataset::DataShape;
use super::noised;
use super::noised::{Layout, METRICS, Noising, record_update, usual_optimizer};
use super::objective::{Details, Learner, Phase, Planned, StepParts, to_details};
use crate::Result;
use crate::diffusion::add_noise::DenoisingTarget;
use crate::diffusion::record_denoising_gradient;
use crate::diffusion::{NoiseSchedule, Prediction};
use crate::gpu::{Column, Recording};
use crate::nn::{AdamOptions, Network};

/// A score, learned by squared error (arXiv 2006.11239). Each sample has a time of its own;
/// energies of labeled data are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// Name of the model; its weights begin with the numbers of the stream `initialise/<name>`.
    /// Networks that meet in one recording need names of their own.
    pub name: String,
    /// The network: inputs `action`, `time` and, if conditional, `context`, and as many outputs as
    /// the action has numbers.
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
}

impl ScoreOptions {
    /// A score named `score` that outputs the noise, at times 0.001 to 1.
    pub fn new(network: Network) -> Self {
        Self {
            name: "score".into(),
            network,
            prediction: Prediction::default(),
            schedule: NoiseSchedule::default(),
            times: [1e-3, 1.0],
            optimizer: usual_optimizer(),
        }
    }

    /// The same options with another `name`.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
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
});

impl Learner for ScoreOptions {
    fn check(&self, run: Run, data: &Dataset) -> Result<()> {
        Layout::new(&self.network, None, data.shape(), run.batch, &self.noising()).map(|_| ())
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

    fn details(&self, _: Run, _: &Dataset) -> Result<Details> {
        to_details(&ScoreDetails { prediction: self.prediction, schedule: self.schedule })
    }
}

/// What a checkpoint of a score holds beside options and network, as
/// [`crate::diffusion::ScoreNetwork::load`] reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScoreDetails {
    pub prediction: Prediction,
    pub schedule: NoiseSchedule,
}
