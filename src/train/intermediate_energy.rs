//! Intermediate energies of labeled samples, by contrast or by regression (arXiv
//! 2304.12824).

use super::run::Run;
use serde::{Deserialize, Serialize};

use super::Dataset;
use super::dataset::DataShape;
use super::noised;
use super::noised::{Layout, METRICS, Noising, Units, record_update, usual_optimizer};
use super::objective::{Details, Learner, Phase, Planned, StepParts, from_details, to_details};
use crate::diffusion::add_noise::DenoisingTarget;
use crate::diffusion::{NoiseSchedule, Score, ScoreNetwork};
use crate::gpu::{Column, Recording};
use crate::loss::{
    IntermediateEnergyGradient, IntermediateEnergyLoss, TimedGroups, record_intermediate_energy_gradient,
};
use crate::math::Normalize;
use crate::nn::CONTEXT;
use crate::nn::{AdamOptions, Network, Normalizer};
use crate::{Error, Result};

/// An intermediate energy of labeled samples ([`Dataset::with_energies`]). A conditional one
/// compares the samples of one row: its group is the data's support.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IntermediateEnergyOptions {
    /// Name of the model; its weights begin with the numbers of the stream `initialise/<name>`.
    /// Networks that meet in one recording need names of their own.
    pub name: String,
    /// The network: inputs `action`, `time` and, if conditional, `context`, and one output. It
    /// normalizes contexts itself ([`Dataset::fit_x`] for [`crate::nn::Input::normalized`]).
    pub network: Network,
    /// The loss.
    pub loss: IntermediateEnergyLoss,
    /// Inverse temperature; it becomes part of the energy.
    pub beta: f64,
    /// Samples that share one time and are compared, K; 1 is allowed for regressions only.
    pub group: usize,
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
    /// A normalizer of actions to take as it is, in place of one fitted to the data. That of the
    /// score which it is to guide makes a pair ([`IntermediateEnergyOptions::guiding`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
}

impl IntermediateEnergyOptions {
    /// An energy named `energy`, by contrast in groups of 16, at times 0.001 to 1, of actions
    /// normalized to deviation 2 per column.
    pub fn new(network: Network, beta: f64) -> Self {
        Self {
            name: "energy".into(),
            network,
            loss: IntermediateEnergyLoss::default(),
            beta,
            group: 16,
            schedule: NoiseSchedule::default(),
            times: [1e-3, 1.0],
            optimizer: usual_optimizer(),
            action: noised::usual_units(),
            normalizer: None,
        }
    }

    /// The same options for an energy that guides this score: on its schedule, if it has one, and
    /// of actions in its units. A normalizer fitted to other rows is another one, and an energy in
    /// its units is refused as a guide.
    #[must_use]
    pub fn guiding(self, score: &ScoreNetwork) -> Self {
        let schedule = score.schedule().unwrap_or(self.schedule);
        Self { schedule, action: Normalize::Identity, normalizer: score.normalizer().cloned(), ..self }
    }

    /// The same options with another `name`.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    fn units(&self) -> Units<'_> {
        Units { action: self.action, given: self.normalizer.as_ref() }
    }

    fn noising(&self) -> Noising<'_> {
        Noising { schedule: &self.schedule, times: self.times, group: self.group }
    }

    fn contrasts(&self) -> bool {
        matches!(self.loss, IntermediateEnergyLoss::Contrastive { .. })
    }
}

crate::error::setters!(IntermediateEnergyOptions {
    with_loss => loss: IntermediateEnergyLoss,
    with_beta => beta: f64,
    with_group => group: usize,
    with_schedule => schedule: NoiseSchedule,
    with_times => times: [f64; 2],
    with_optimizer => optimizer: AdamOptions,
    with_action => action: Normalize,
    with_normalizer => normalizer: into Option<Normalizer>,
});

impl Learner for IntermediateEnergyOptions {
    fn check(&self, run: Run, data: &Dataset) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("training", what, problem));
        if data.energies().is_none() {
            let problem = "have no energies; label their samples (`Dataset::with_energies`)";
            return fail("the data", problem.into());
        }
        if !(self.beta.is_finite() && self.beta >= 0.0) {
            return fail("beta", format!("is {}; it must be finite and not negative", self.beta));
        }
        if self.group == 0 || self.group == 1 && self.contrasts() {
            let problem = format!("is {}; a contrast needs at least 2 samples, a regression 1", self.group);
            return fail("the group", problem);
        }
        Layout::new(&self.network, Some(1), data.shape(), run.batch, &self.noising())?;
        self.units().check(&self.network, data)?;
        let conditional = self.network.inputs.iter().any(|input| input.name == CONTEXT);
        if conditional && self.group != data.support() {
            let problem = format!(
                "is {}; a conditional energy compares the {} samples of a row",
                self.group,
                data.support()
            );
            return fail("the group", problem);
        }
        Ok(())
    }

    fn networks(&self, run: Run, _: &Dataset) -> Result<Vec<Planned>> {
        let optimizer = AdamOptions { steps: run.steps, ..self.optimizer };
        Ok(vec![Planned { name: self.name.clone(), network: self.network.clone(), optimizer }])
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn phases(&self, run: Run) -> Vec<Phase> {
        vec![noised::phase(run, self.contrasts())]
    }

    fn record(&self, _: usize, recording: &mut Recording, parts: &StepParts<'_>) -> Result<()> {
        let noising = self.noising();
        let layout = Layout::of_step(parts, Some(1), &noising)?;
        let (context, rows, noised) =
            layout.record_noised(recording, parts, &noising, DenoisingTarget::Nothing)?;
        let groups = TimedGroups::new(recording, noised.x, noised.time, context)?;
        let energies =
            Column { value: rows, first: layout.dims, stride: layout.stride, count: layout.samples() };
        let model = &parts.trained(0)?.model;
        let IntermediateEnergyGradient { loss, ess, gradient } =
            record_intermediate_energy_gradient(recording, self.loss, model, &groups, energies, self.beta)?;
        record_update(recording, parts, (loss, ess), gradient)
    }

    fn sizes(&self, run: Run, data: DataShape) -> String {
        noised::sizes(&self.network, run, data)
    }

    fn action_units(&self, details: &Details) -> Result<Option<Normalizer>> {
        Ok(from_details::<IntermediateEnergyDetails>(details)?.normalizer)
    }

    fn details(&self, _: Run, data: &Dataset) -> Result<Details> {
        let normalizer = self.units().fit(data);
        to_details(&IntermediateEnergyDetails { beta: self.beta, schedule: self.schedule, normalizer })
    }
}

/// What a checkpoint of an intermediate energy holds beside options and network, as
/// [`crate::diffusion::IntermediateEnergyNetwork::load`] reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IntermediateEnergyDetails {
    pub beta: f64,
    pub schedule: NoiseSchedule,
    /// None for data units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
}
