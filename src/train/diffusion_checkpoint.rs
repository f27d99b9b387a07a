//! Checkpoints of diffusion training: everything a run needs to go on with the same bits.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stored::{self, AVERAGE, FORMAT, Machine, Stored};
use super::{Dataset, DiffusionOptions, DiffusionTrainer};
use crate::diffusion::{GuidanceNetwork, ScoreNetwork};
use crate::gpu::Gpu;
use crate::nn::{Model, Network};
use crate::{Error, Result};

/// The kind of training in a description.
const KIND: &str = "diffusion";

/// The description in a checkpoint's metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    kind: String,
    step: u64,
    seed: u64,
    options: DiffusionOptions,
    name: String,
    network: Network,
    /// Fingerprint of the data set.
    data: String,
    #[serde(flatten)]
    machine: Machine,
}

impl DiffusionTrainer {
    /// Writes a checkpoint of the run as it stands. Waits for all steps submitted. Blocking readbacks.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a step went bad (nothing is written), [`Error::Io`], [`Error::DeviceLost`].
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.gpu.wait()?;
        self.progress.ring.check_latch()?;
        let step = self.run.step(&self.gpu)?;
        self.write(path, step)
    }

    /// Writes the last good weights after [`Error::NonFinite`], and returns their step, which is the one that the error names.
    ///
    /// # Errors
    /// As [`DiffusionTrainer::save`]; [`Error::Argument`] if no step went bad.
    pub fn save_last_good(&mut self, path: &Path) -> Result<u64> {
        self.gpu.wait()?;
        let step = self.progress.bad_step()?;
        self.write(path, step).map(|()| step)
    }

    fn write(&self, path: &Path, step: u64) -> Result<()> {
        let description = Description {
            format: FORMAT,
            kind: KIND.into(),
            step,
            seed: self.run.seed(),
            options: self.options.clone(),
            name: self.model.name().into(),
            network: self.model.network().clone(),
            data: stored::fingerprint_text(self.fingerprint),
            machine: Machine::new(&self.gpu, self.variants()),
        };
        stored::write(&self.gpu, path, &description, &[(&self.model, &self.optimiser)])
    }

    /// Reads the options of a checkpoint, to know its data before resuming.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is no checkpoint of this kind, [`Error::Io`].
    pub fn options_of(path: &Path) -> Result<DiffusionOptions> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let stored = Stored::read(path)?;
        let (_, description) = stored.parse::<Description>(Some(KIND)).map_err(fail)?;
        Ok(DiffusionOptions { seed: description.seed, ..description.options })
    }

    /// Reads a score with its averaged weights, to sample with; no data are needed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, hostile, of another kind or of an energy; [`Error::Io`],
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn score_of(gpu: &Gpu, path: &Path) -> Result<ScoreNetwork> {
        let (model, options) = averaged(gpu, path)?;
        options.score(model).map_err(stored::blame(path))
    }

    /// Reads an intermediate energy with its averaged weights, to guide with; no data are needed.
    ///
    /// # Errors
    /// As [`DiffusionTrainer::score_of`], for a file of a score instead.
    pub fn energy_of(gpu: &Gpu, path: &Path) -> Result<GuidanceNetwork> {
        let (model, options) = averaged(gpu, path)?;
        options.energy(model).map_err(stored::blame(path))
    }

    /// Goes on from a checkpoint: with the same data, adapter and driver the run continues with the same bits as if it had not
    /// stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, hostile, of another format or kind, for other data or for a larger
    /// device; [`Error::Io`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn resume(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        Self::restore(gpu, data, path).map_err(stored::blame(path))
    }

    fn restore(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let stored = Stored::read(path)?;
        let (tensors, description) = stored.parse::<Description>(Some(KIND)).map_err(&fail)?;
        let position = (description.step, description.options.steps);
        stored::check_run(data, &description.data, position).map_err(&fail)?;
        let options = DiffusionOptions { seed: description.seed, ..description.options };
        options.check(&description.network, data)?;
        let model = stored::promised(gpu, &tensors, &description.name, description.network, path)?;
        let trainer = Self::assemble(gpu, model, data, options, description.step)?;
        description.machine.compare(gpu, &trainer.variants(), path);
        stored::restore(gpu, &tensors, &[(&trainer.model, &trainer.optimiser)], path)?;
        Ok(trainer)
    }
}

/// The network of a checkpoint with its averaged weights, and how it was trained.
fn averaged(gpu: &Gpu, path: &Path) -> Result<(Model, DiffusionOptions)> {
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    let stored = Stored::read(path)?;
    let (tensors, description) = stored.parse::<Description>(Some(KIND)).map_err(&fail)?;
    let model = stored::promised(gpu, &tensors, &description.name, description.network, path)
        .map_err(stored::blame(path))?;
    let flat = stored::read_flat(&tensors, model.name(), AVERAGE, model.layout()).map_err(&fail)?;
    model.set_parameters(gpu, &flat)?;
    Ok((model, description.options))
}
