//! Checkpoints of ranking NCE: everything a run needs to go on with the same bits.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stored::{self, FORMAT, Machine, Part, Stored};
use super::trainer::Negatives;
use super::{Dataset, RnceOptions, RnceTrainer};
use crate::gpu::Gpu;
use crate::nn::{Network, NetworkEnergy, Optimiser};
use crate::proposal::{Mixture, MixtureShape, UniformBox};
use crate::{Error, Result};

/// The description in a checkpoint's metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    step: u64,
    seed: u64,
    options: RnceOptions,
    energy: Network,
    proposal: ProposalDescription,
    /// Fingerprint of the data set.
    data: String,
    #[serde(flatten)]
    machine: Machine,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
enum ProposalDescription {
    Mixture { network: Network, shape: MixtureShape },
    Uniform { bounds: UniformBox },
}

impl RnceTrainer {
    fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = vec![(self.energy.model(), &self.energy_optimiser)];
        if let Negatives::Learned { mixture, optimiser } = &self.negatives {
            parts.push((mixture.model(), optimiser));
        }
        parts
    }

    /// Writes a checkpoint of the run as it stands. Waits for all steps submitted; all tensors belong to one step. Blocking
    /// readbacks, so a place between chunks.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a step went bad (nothing is written), [`Error::Io`], [`Error::DeviceLost`].
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.gpu.wait()?;
        self.progress.ring.check_latch()?;
        let step = self.run.step(&self.gpu)?;
        self.write(path, step)
    }

    /// Writes the last good weights after [`Error::NonFinite`]: optimisers have stood still since the step that the error
    /// names, which becomes the step of the checkpoint. When the energy went bad in a step whose proposal update came first,
    /// that update is in: the weights are good, but going on from them repeats it.
    ///
    /// # Errors
    /// As [`RnceTrainer::save`]; [`Error::Argument`] if no step went bad.
    pub fn save_last_good(&mut self, path: &Path) -> Result<u64> {
        self.gpu.wait()?;
        let step = self.progress.bad_step()?;
        self.write(path, step).map(|()| step)
    }

    fn write(&self, path: &Path, step: u64) -> Result<()> {
        let description = Description {
            format: FORMAT,
            step,
            seed: self.run.seed(),
            options: self.options.clone(),
            energy: self.energy.model().network().clone(),
            proposal: match &self.negatives {
                Negatives::Learned { mixture, .. } => ProposalDescription::Mixture {
                    network: mixture.model().network().clone(),
                    shape: mixture.shape().clone(),
                },
                Negatives::Fixed(bounds) => ProposalDescription::Uniform { bounds: bounds.clone() },
            },
            data: stored::fingerprint_text(self.fingerprint),
            machine: Machine::new(&self.gpu, self.variants()),
        };
        stored::write(&self.gpu, path, &description, &self.parts())
    }

    /// Reads the options of a checkpoint, to know its data before resuming.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is no checkpoint, [`Error::Io`].
    pub fn options_of(path: &Path) -> Result<RnceOptions> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let stored = Stored::read(path)?;
        let (_, description) = stored.parse::<Description>(None).map_err(fail)?;
        Ok(RnceOptions { seed: description.seed, ..description.options })
    }

    /// Goes on from a checkpoint: with the same data, adapter and driver the run continues with the same bits as if it had not
    /// stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, hostile, of another format, for other data or for a larger device;
    /// [`Error::Io`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn resume(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        Self::restore(gpu, data, path).map_err(stored::blame(path))
    }

    fn restore(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let stored = Stored::read(path)?;
        let (tensors, description) = stored.parse::<Description>(None).map_err(&fail)?;
        let position = (description.step, description.options.steps);
        stored::check_run(data, &description.data, position).map_err(&fail)?;
        description.options.check(data)?;
        let model = |name: &str, network: Network| stored::promised(gpu, &tensors, name, network, path);
        let energy = NetworkEnergy::new(model("energy", description.energy)?)?;
        let negatives = match description.proposal {
            ProposalDescription::Uniform { bounds } => match &description.options.proposal {
                super::ProposalOptions::Uniform { low, high }
                    if bounds.low() == low && bounds.high() == high =>
                {
                    Negatives::Fixed(UniformBox::new(low, high)?)
                }
                _ => return Err(fail("its options name another proposal than its tensors".into())),
            },
            ProposalDescription::Mixture { network, shape } => {
                let mixture = Mixture::new(model("proposal", network)?, shape)?;
                let own = match &description.options.proposal {
                    super::ProposalOptions::Mixture { optimiser, .. } => *optimiser,
                    super::ProposalOptions::Uniform { .. } => {
                        return Err(fail("its options name another proposal than its tensors".into()));
                    }
                };
                let optimiser = description.options.proposal_optimiser(&own);
                let optimiser = Optimiser::new(gpu, mixture.model(), optimiser)?;
                Negatives::Learned { mixture: Box::new(mixture), optimiser: Box::new(optimiser) }
            }
        };
        let options = RnceOptions { seed: description.seed, ..description.options };
        let trainer = Self::assemble(gpu, data, options, energy, negatives, description.step)?;
        description.machine.compare(gpu, &trainer.variants(), path);
        stored::restore(gpu, &tensors, &trainer.parts(), path)?;
        Ok(trainer)
    }
}
