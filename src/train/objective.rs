//! What the loop asks of an objective. It owns the networks with their optimizers, the metrics and
//! the plans; an objective says which there are and records what happens in a step.

use super::run::Run;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::Dataset;
use super::dataset::{DataShape, DeviceData};
use crate::gpu::{MetricsRing, Recording};
use crate::nn::{AdamOptions, Model, Network, Normalizer, Optimizer};
use crate::{Error, Result};

/// A network that a run is going to train.
pub(super) struct Planned {
    /// Name of the model.
    pub name: String,
    pub network: Network,
    /// How it is trained, over how many updates.
    pub optimizer: AdamOptions,
}

/// A network of a run with the state of its training.
#[derive(Debug)]
pub(super) struct Trained {
    pub model: Model,
    pub optimizer: Optimizer,
}

/// A stretch of a run whose steps are all alike.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// Label of its plan.
    pub label: &'static str,
    /// The step before which it ends.
    pub until: u64,
    /// The metrics that its steps measure.
    pub metrics: Vec<&'static str>,
}

/// What a step is recorded from.
pub(super) struct StepParts<'a> {
    pub run: Run,
    pub ring: &'a MetricsRing,
    pub data: &'a DeviceData,
    /// The networks, in the order of [`Learner::networks`].
    pub trained: &'a [Trained],
    /// As [`Learner::details`] made them.
    pub details: &'a Details,
}

impl<'a> StepParts<'a> {
    /// The network of an index.
    pub fn trained(&self, index: usize) -> Result<&'a Trained> {
        self.trained
            .get(index)
            .ok_or_else(|| Error::argument("training", "the objective", format!("has no network {index}")))
    }
}

/// What a checkpoint holds of an objective beside options and networks, by name.
pub(super) type Details = Map<String, Json>;

/// An objective as the loop sees it.
pub(super) trait Learner {
    /// Checks the objective's own options against the run and the data.
    fn check(&self, run: Run, data: &Dataset) -> Result<()>;

    /// The networks to be trained, with normalizers fitted to the data. Several may be trained in
    /// one step.
    fn networks(&self, run: Run, data: &Dataset) -> Result<Vec<Planned>>;

    /// All metrics of the run, in the order of the ring's slots.
    fn metrics(&self) -> &'static [&'static str];

    /// The phases in their order; the last one ends with the run.
    fn phases(&self, run: Run) -> Vec<Phase>;

    /// Records a whole step of a phase, optimizers and metrics included. Networks and details may
    /// come from a file, so they are checked here.
    fn record(&self, phase: usize, recording: &mut Recording, parts: &StepParts<'_>) -> Result<()>;

    /// Records what acting with the networks takes at the least, where that may need more of a
    /// device than a step does.
    fn record_acting(&self, _recording: &mut Recording, _parts: &StepParts<'_>) -> Result<()> {
        Ok(())
    }

    /// What a person chose that the sizes of a step and of acting depend on, in words.
    fn sizes(&self, run: Run, data: DataShape) -> String;

    /// The units that actions have on the device, if they are not those of the data.
    fn action_units(&self, _details: &Details) -> Result<Option<Normalizer>> {
        Ok(None)
    }

    /// What it takes to use the networks without their data set, beside the networks.
    fn details(&self, run: Run, data: &Dataset) -> Result<Details>;
}

/// The details that a struct describes.
pub(super) fn to_details(details: &impl Serialize) -> Result<Details> {
    let fail = |problem: String| Error::argument("training", "the description of the objective", problem);
    match serde_json::to_value(details).map_err(|error| fail(error.to_string()))? {
        Json::Object(fields) => Ok(fields),
        other => Err(fail(format!("is {other}, not named fields"))),
    }
}

/// The struct that details describe.
pub(super) fn from_details<T: DeserializeOwned>(details: &Details) -> Result<T> {
    T::deserialize(Json::Object(details.clone())).map_err(|error| {
        Error::argument("training", "the description of the objective", format!("is not complete: {error}"))
    })
}
