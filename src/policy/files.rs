//! Policies from files of training, and files of policies.

use std::path::Path;

use super::acting::Policy;
use super::inference::{ChainInference, DiffusionInference, deviations};
use super::offsets;
use super::options::{DiffusionDescription, PolicyDescription, PolicyOptions};
use super::parts::{ENERGY, NETWORK, Parts, ProposalPart, SCORE};
use crate::diffusion::{IntermediateEnergyNetwork, NoiseSchedule, Prediction, ScoreNetwork, SolverOptions};
use crate::energy::NetworkEnergy;
use crate::gpu::Gpu;
use crate::nn::ACTION;
use crate::nn::{Model, Normalizer};
use crate::proposal::{Mixture, ProposalDescription};
use crate::store;
use crate::store::{Part, StoredFile, Weights, blame};
use crate::train::RunDescription;
use crate::{Error, Result};

/// Kind of a policy's file.
const POLICY: &str = "policy";
/// Kinds of files of training.
const RANKING_NCE: &str = "ranking_nce";
const SCORES: &str = "score";
const INTERMEDIATE_ENERGY: &str = "intermediate_energy";

impl Policy {
    /// A policy from a file of training, or from one that [`Policy::save`] wrote; no data set is
    /// needed.
    ///
    /// A file of training says nothing of acting; it then acts by its averaged weights for one
    /// agent, in the box of the data's actions with a twentieth of each side's length added at
    /// either end:
    ///
    /// * ranking NCE: [`ChainInference::suited`] to the deviations of the data: 256 chains per
    ///   agent from the proposal, 40 Langevin steps, best of all by energy;
    /// * a score: one sample by [`SolverOptions::default`] on the schedule of the score;
    /// * an intermediate energy cannot act alone: [`Policy::guided`].
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::Checkpoint`] for one that is damaged,
    /// of another kind or format, or that cannot act; [`Error::Limit`], [`Error::OutOfMemory`],
    /// [`Error::Device`].
    pub fn load(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(gpu, path, &PolicyOptions::new())
    }

    /// As [`Policy::load`], with decisions of the caller's own.
    ///
    /// # Errors
    /// As there; [`Error::Argument`] for options that do not fit the file.
    pub fn load_with(gpu: &Gpu, path: impl AsRef<Path>, options: &PolicyOptions) -> Result<Self> {
        let file = StoredFile::read(path)?;
        let (parts, description) = match file.description().kind.as_str() {
            POLICY => of_policy(gpu, &file, options)?,
            RANKING_NCE => of_ranking_nce(gpu, &file, options)?,
            SCORES => of_score(gpu, &file, None, options)?,
            INTERMEDIATE_ENERGY => {
                return Err(file.fail(
                    "holds an intermediate energy alone, which leads a score but does not act by itself; give it \
                     together with the file of its score: `Policy::guided(&gpu, score, energy)`",
                ));
            }
            other => {
                return Err(file.fail(format!(
                    "is of the kind `{other}`; a policy is loaded from the kinds `{POLICY}`, `{RANKING_NCE}` and \
                     `{SCORES}`"
                )));
            }
        };
        offsets::check_overrides(&description, parts.widths()?, options)?;
        let policy = Self::assemble(gpu, parts, description.overridden(options));
        match *options == PolicyOptions::new() {
            // Nothing but the file can be at fault.
            true => policy.map_err(blame(file.path())),
            false => policy,
        }
    }

    /// A guided diffusion policy from the files of two runs: a score, and an intermediate energy on
    /// the same schedule and of the same units
    /// ([`guiding`](crate::train::IntermediateEnergyOptions::guiding)).
    /// [`Policy::save`] packs it into one file.
    ///
    /// # Errors
    /// As [`Policy::load`]; [`Error::Argument`] if the two do not fit each other.
    pub fn guided(gpu: &Gpu, score: impl AsRef<Path>, energy: impl AsRef<Path>) -> Result<Self> {
        Self::guided_with(gpu, score, energy, &PolicyOptions::new())
    }

    /// As [`Policy::guided`], with decisions of the caller's own.
    ///
    /// # Errors
    /// As there.
    pub fn guided_with(
        gpu: &Gpu,
        score: impl AsRef<Path>,
        energy: impl AsRef<Path>,
        options: &PolicyOptions,
    ) -> Result<Self> {
        let [score, energy] = [StoredFile::read(score)?, StoredFile::read(energy)?];
        for (file, kind) in [(&score, SCORES), (&energy, INTERMEDIATE_ENERGY)] {
            file.description().expect_kind(&[kind]).map_err(|problem| file.fail(problem))?;
        }
        let (parts, description) = of_score(gpu, &score, Some(&energy), options)?;
        offsets::check_overrides(&description, parts.widths()?, options)?;
        Self::assemble(gpu, parts, description.overridden(options))
    }

    /// Writes the policy to one safetensors file, whole or not at all: [`Policy::load`] of it gives
    /// the same actions bit for bit, from the beginning of its seed and for agents that are new.
    /// Blocking readbacks.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for weights that are not finite (nothing is written), [`Error::Io`],
    /// [`Error::DeviceLost`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let models = self.parts().models();
        let parts: Vec<Part<'_>> = models.into_iter().map(|model| Part { model, optimizer: None }).collect();
        store::write(self.gpu(), path.as_ref(), POLICY, &parts, self.description())
    }
}

/// Weights in words.
fn words(weights: Weights) -> String {
    match weights {
        Weights::Averaged => "averaged over training".into(),
        Weights::Raw => "as training left them".into(),
    }
}

/// The run of a file of training, and its words.
fn run_of(file: &StoredFile) -> Result<(RunDescription, String)> {
    let run = RunDescription::of(file.description()).map_err(|problem| file.fail(problem))?;
    let task = match run.options.task.as_str() {
        "" => String::new(),
        task => format!(" of `{task}`"),
    };
    let RunDescription { step, options, data, .. } = &run;
    let words = format!(
        "{} ({} run{task}, step {step} of {}, {} rows of data)",
        file.path().display(),
        options.objective.kind(),
        options.steps,
        data.rows
    );
    Ok((run, words))
}

fn proposal_of(
    gpu: &Gpu,
    file: &StoredFile,
    weights: Weights,
    description: ProposalDescription,
) -> Result<ProposalPart> {
    Ok(match description {
        ProposalDescription::Mixture { model, shape } => {
            let model = file.model(gpu, &model, weights)?;
            Mixture::new(model, shape).map_err(blame(file.path()))?.into()
        }
        ProposalDescription::Uniform { bounds } => bounds.into(),
    })
}

fn of_ranking_nce(
    gpu: &Gpu,
    file: &StoredFile,
    options: &PolicyOptions,
) -> Result<(Parts, PolicyDescription)> {
    let (run, origin) = run_of(file)?;
    let weights = options.weights.unwrap_or_default();
    let at_fault = blame(file.path());
    let energy = NetworkEnergy::new(file.model(gpu, "energy", weights)?).map_err(&at_fault)?;
    let description = file.description().field("proposal").map_err(|problem| file.fail(problem))?;
    let proposal = proposal_of(gpu, file, weights, description)?;
    let bounds = run.data.bounds().map_err(&at_fault)?;
    let Some(ranking) = run.options.objective.ranking_nce() else {
        return Err(file.fail("says that it learned no energy"));
    };
    let inputs = &energy.model().network().inputs;
    let scale =
        inputs.iter().find(|input| input.name == ACTION).map_or(&[][..], |input| &input.normalizer.scale);
    let deviations = deviations(&run.data, ranking.action, scale);
    let inference = ChainInference::suited(deviations, Some(bounds.clone()));
    let parts = Parts::energy(energy, proposal).map_err(&at_fault)?;
    let description = PolicyDescription::new(inference.into(), Some(bounds), origin);
    let offsets = run.data.offsets;
    Ok((parts, PolicyDescription { weights: words(weights), offsets, ..description }))
}

/// The model of a file that holds one.
fn only_model(gpu: &Gpu, file: &StoredFile, weights: Weights) -> Result<Model> {
    match &file.description().models[..] {
        [model] => file.model(gpu, &model.name, weights),
        models => Err(file.fail(format!("holds {} models, where one is expected", models.len()))),
    }
}

fn schedule_of(file: &StoredFile) -> Result<NoiseSchedule> {
    let schedule: NoiseSchedule =
        file.description().field("schedule").map_err(|problem| file.fail(problem))?;
    schedule.check().map_err(blame(file.path()))?;
    Ok(schedule)
}

fn normalizer_of(file: &StoredFile) -> Result<Option<Normalizer>> {
    file.description().known_field("normalizer").map_err(|problem| file.fail(problem))
}

fn of_score(
    gpu: &Gpu,
    file: &StoredFile,
    guide: Option<&StoredFile>,
    options: &PolicyOptions,
) -> Result<(Parts, PolicyDescription)> {
    let (run, mut origin) = run_of(file)?;
    let weights = options.weights.unwrap_or_default();
    let schedule = schedule_of(file)?;
    let prediction: Prediction =
        file.description().field("prediction").map_err(|problem| file.fail(problem))?;
    let model = only_model(gpu, file, weights)?;
    let score = ScoreNetwork::predicting(model, prediction)
        .and_then(|score| score.with_schedule(schedule).with_normalizer(normalizer_of(file)?))
        .map_err(blame(file.path()))?;
    let mut energy = None;
    if let Some(guide) = guide {
        let model = only_model(gpu, guide, weights)?;
        let schedule = schedule_of(guide)?;
        let network = IntermediateEnergyNetwork::new(model)
            .and_then(|energy| energy.with_schedule(schedule).with_normalizer(normalizer_of(guide)?))
            .map_err(blame(guide.path()))?;
        energy = Some(network);
        let (of_energy, words) = run_of(guide)?;
        offsets::check_alike(&run.data, &of_energy.data)?;
        origin = format!("{origin} with {words}");
    }
    let bounds = run.data.bounds().map_err(blame(file.path()))?;
    let inference = DiffusionInference::new(SolverOptions { schedule, ..SolverOptions::default() });
    let description = PolicyDescription::new(inference.into(), Some(bounds), origin);
    let offsets = run.data.offsets;
    let description = PolicyDescription { weights: words(weights), offsets, ..description };
    Ok((Parts::diffusion(score, energy)?, description))
}

fn of_policy(gpu: &Gpu, file: &StoredFile, options: &PolicyOptions) -> Result<(Parts, PolicyDescription)> {
    if options.weights.is_some() {
        let problem = format!(
            "cannot be chosen for {}: a policy's file holds those that it was packed with",
            file.path().display()
        );
        return Err(Error::argument("policy", "the weights", problem));
    }
    let description: PolicyDescription = file.description().fields().map_err(|problem| file.fail(problem))?;
    let at_fault = blame(file.path());
    let model = |name: &str| file.model(gpu, name, Weights::Averaged);
    let has = |name: &str| file.description().model(name).is_some();
    let parts = match (&description.diffusion, &description.proposal) {
        (Some(diffusion), _) => {
            let DiffusionDescription { prediction, schedule, energy_schedule, normalizer } = diffusion;
            let mut score = ScoreNetwork::predicting(model(SCORE)?, *prediction)
                .and_then(|score| score.with_normalizer(normalizer.clone()))
                .map_err(&at_fault)?;
            if let Some(schedule) = schedule {
                score = score.with_schedule(*schedule);
            }
            let mut energy = None;
            if has(ENERGY) {
                let network = IntermediateEnergyNetwork::new(model(ENERGY)?)
                    .and_then(|energy| energy.with_normalizer(normalizer.clone()))
                    .map_err(&at_fault)?;
                energy = Some(match energy_schedule {
                    Some(schedule) => network.with_schedule(*schedule),
                    None => network,
                });
            }
            Parts::diffusion(score, energy).map_err(&at_fault)?
        }
        (None, Some(proposal)) => {
            let proposal = proposal_of(gpu, file, Weights::Averaged, proposal.clone())?;
            match has(ENERGY) {
                true => {
                    let energy = NetworkEnergy::new(model(ENERGY)?).map_err(&at_fault)?;
                    Parts::energy(energy, proposal).map_err(&at_fault)?
                }
                false => Parts::proposal(proposal),
            }
        }
        (None, None) => Parts::network(model(NETWORK)?).map_err(&at_fault)?,
    };
    Ok((parts, description))
}
