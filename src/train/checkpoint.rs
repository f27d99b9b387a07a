//! Checkpoints: everything a run needs to go on with the same bits, and everything it takes to use
//! what it trained without its data set.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dataset::DataDescription;
use super::objective::{Details, Trained};
use super::{Dataset, TrainOptions, Trainer};
use crate::gpu::Gpu;
use crate::store;
use crate::store::{Description, Machine, Part, StoredFile, Weights};
use crate::{Error, Result};

/// What a checkpoint says of its run, beside its kind and its models.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    step: u64,
    seed: u64,
    options: TrainOptions,
    data: DataDescription,
    machine: Machine,
    /// What the models need besides, by the objective.
    #[serde(flatten)]
    details: Details,
}

impl Checkpoint {
    fn of(description: &Description) -> Result<Self, String> {
        let mut checkpoint: Self = description.fields()?;
        checkpoint.options.seed = checkpoint.seed;
        let data = &mut checkpoint.data;
        data.offsets = std::mem::take(&mut data.offsets).for_widths(data.context_width, data.action_width)?;
        let named = checkpoint.options.objective.kind();
        match named == description.kind {
            true => Ok(checkpoint),
            false => Err(format!("is of the kind `{}`, its options are of `{named}`", description.kind)),
        }
    }
}

/// What a checkpoint says of its run; read from the header alone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunDescription {
    /// Steps of training.
    pub step: u64,
    /// The options.
    pub options: TrainOptions,
    /// The data set.
    pub data: DataDescription,
}

impl RunDescription {
    /// Reads what a checkpoint says of its run; its tensors are left alone.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is no checkpoint, [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::of(&StoredFile::describe(path)?)
            .map_err(|problem| Error::Checkpoint { path: path.into(), problem })
    }

    /// What the description of a file says of its run; the problem in words if it is none of a run.
    pub(crate) fn of(description: &Description) -> Result<Self, String> {
        description.expect_kind(&["ranking_nce", "score", "intermediate_energy"])?;
        let Checkpoint { step, options, data, .. } = Checkpoint::of(description)?;
        Ok(Self { step, options, data })
    }
}

impl Trained {
    fn part(&self) -> Part<'_> {
        Part { model: &self.model, optimizer: Some(&self.optimizer) }
    }
}

impl Trainer {
    fn parts(&self) -> Vec<Part<'_>> {
        self.trained.iter().map(Trained::part).collect()
    }

    /// Writes a checkpoint of the run as it stands. Waits for all steps submitted; all tensors
    /// belong to one step. Blocking readbacks, so a place between chunks.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a step went bad (nothing is written), [`Error::DeviceLost`];
    /// [`Error::Io`] if the file cannot be written, as on a full disk. The run still holds
    /// everything then, and an older file of that name is still there: save again, or to another
    /// path.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.gpu.wait()?;
        self.progress.ring.check_latch()?;
        let step = self.run.step(&self.gpu)?;
        self.write(path.as_ref(), step)
    }

    /// Writes the last good weights after [`Error::NonFinite`]: optimizers have stood still since
    /// the step that the error names, which becomes the step of the checkpoint and is returned.
    /// When the energy of ranking NCE went bad in a step whose proposal update came first, that
    /// update is in: the weights are good, but going on from them repeats it.
    ///
    /// # Errors
    /// As [`Trainer::save`]; [`Error::Argument`] if no step went bad.
    pub fn save_last_good(&mut self, path: impl AsRef<Path>) -> Result<u64> {
        self.gpu.wait()?;
        let step = self.progress.bad_step()?;
        self.write(path.as_ref(), step).map(|()| step)
    }

    fn write(&self, path: &Path, step: u64) -> Result<()> {
        let checkpoint = Checkpoint {
            step,
            seed: self.run.seed(),
            options: self.options.clone(),
            data: self.data.clone(),
            machine: Machine::new(&self.gpu, self.variants()),
            details: self.details.clone(),
        };
        store::write(&self.gpu, path, self.options.objective.kind(), &self.parts(), &checkpoint)
    }

    /// Reads the options of a checkpoint, to know its data before resuming.
    ///
    /// # Errors
    /// As [`RunDescription::read`].
    pub fn options_of(path: impl AsRef<Path>) -> Result<TrainOptions> {
        Ok(RunDescription::read(path)?.options)
    }

    /// Goes on from a checkpoint: with the same data, adapter and driver the run continues with the
    /// same bits as if it had not stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, hostile, of another format, for other data
    /// or for a larger device; [`Error::Io`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn resume(gpu: &Gpu, data: &Dataset, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::restore(gpu, data, path, None).map_err(store::blame(path))
    }

    /// Goes on from a checkpoint with another length of the run: a finished one goes on for longer.
    ///
    /// Schedules are those of a run of `steps` from here on. One that ends with the run
    /// ([`Schedule::Cosine`](crate::nn::Schedule::Cosine)) is stretched, so the rate of a finished
    /// run goes up again; the others depend on the step alone, and with them the run has the bits
    /// of one that was to be of this length from its start.
    ///
    /// # Errors
    /// As [`Trainer::resume`]; [`Error::Argument`] for fewer steps than the checkpoint has done.
    pub fn resume_to(gpu: &Gpu, data: &Dataset, path: impl AsRef<Path>, steps: u64) -> Result<Self> {
        let path = path.as_ref();
        let done = RunDescription::read(path)?.step;
        if steps < done {
            let problem = format!("are {steps}, and {} has done {done}; ask for more", path.display());
            return Err(Error::argument("resuming a run", "its steps", problem));
        }
        Self::restore(gpu, data, path, Some(steps)).map_err(store::blame(path))
    }

    fn restore(gpu: &Gpu, data: &Dataset, path: &Path, steps: Option<u64>) -> Result<Self> {
        let file = StoredFile::read(path)?;
        let fail = |problem: String| file.fail(problem);
        let description = file.description();
        let Checkpoint { step, mut options, data: origin, machine, details, .. } =
            Checkpoint::of(description).map_err(fail)?;
        options.steps = steps.unwrap_or(options.steps);
        if !data.has_fingerprint(&origin.fingerprint) {
            let relative = match data.offsets().are_zero() && origin.offsets.are_zero() {
                true => String::new(),
                false => format!(
                    ". Its data are relative to {}, these to {}",
                    origin.offsets.words(),
                    data.offsets().words()
                ),
            };
            return Err(fail(format!("was trained on other data; resume with the same data set{relative}")));
        }
        if step > options.steps {
            return Err(fail(format!("stands at step {step} of a run of {}", options.steps)));
        }
        options.check(data)?;
        let planned = options.objective.learner().networks(options.run(), data)?;
        let names: Vec<&str> = planned.iter().map(|planned| planned.name.as_str()).collect();
        let found: Vec<&str> = description.models.iter().map(|model| model.name.as_str()).collect();
        if names != found || !description.models.iter().all(|model| model.trained) {
            let (names, found) = (names.join("`, `"), found.join("`, `"));
            return Err(fail(format!("holds the models `{found}`; its run trains `{names}`")));
        }
        let mut models = Vec::new();
        for planned in planned {
            models.push((file.model(gpu, &planned.name, Weights::Raw)?, planned.optimizer));
        }
        let trainer = Self::assemble(gpu, data, options, models, details, step)?;
        machine.compare(gpu, &trainer.variants(), path);
        file.restore(gpu, &trainer.parts())?;
        Ok(trainer)
    }
}
