//! The networks of a policy, and what is recorded of them.

use super::choose_action::Predictions;
use super::inference::{ChainInference, Choose, DiffusionInference, Inference};
use super::options::{DiffusionDescription, PolicyDescription};
use crate::diffusion::{
    EnergyAtLevel, Guidance, IntermediateEnergy, IntermediateEnergyNetwork, SamplingLoop, Score, ScoreNetwork,
};
use crate::energy::{Energy, NetworkEnergy};
use crate::gpu::run::random;
use crate::gpu::run::random::Distribution;
use crate::gpu::{Bindings, DType, Recording, Value};
use crate::math::Bounds;
use crate::mcmc::{ChainInputs, count_lost, mark_lost, select_chain};
use crate::nn::CONTEXT;
use crate::nn::{Keep, Model};
use crate::proposal::{Draws, Mixture, PreparedContexts, Proposal, ProposalDescription, UniformBox};
use crate::{Error, Result};

/// Where chains start, or what a policy without an energy draws from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProposalPart {
    /// A mixture that was learned.
    Mixture(Box<Mixture>),
    /// A uniform box.
    Uniform(UniformBox),
}

impl From<Mixture> for ProposalPart {
    fn from(mixture: Mixture) -> Self {
        Self::Mixture(Box::new(mixture))
    }
}

impl From<UniformBox> for ProposalPart {
    fn from(bounds: UniformBox) -> Self {
        Self::Uniform(bounds)
    }
}

impl From<Bounds> for ProposalPart {
    fn from(bounds: Bounds) -> Self {
        Self::Uniform(bounds.into())
    }
}

impl ProposalPart {
    fn as_proposal(&self) -> &dyn Proposal {
        match self {
            Self::Mixture(mixture) => mixture.as_ref(),
            Self::Uniform(bounds) => bounds,
        }
    }

    fn model(&self) -> Option<&Model> {
        match self {
            Self::Mixture(mixture) => Some(mixture.model()),
            Self::Uniform(_) => None,
        }
    }

    /// Numbers per context, 0 for an unconditional one.
    fn context(&self) -> usize {
        match self {
            Self::Mixture(mixture) if mixture.is_conditional() => width(mixture.model(), CONTEXT),
            _ => 0,
        }
    }

    fn description(&self) -> ProposalDescription {
        match self {
            Self::Mixture(mixture) => ProposalDescription::Mixture {
                model: mixture.model().name().into(),
                shape: mixture.shape().clone(),
            },
            Self::Uniform(bounds) => ProposalDescription::Uniform { bounds: bounds.clone() },
        }
    }

    fn named(self, name: &str) -> Self {
        match self {
            Self::Mixture(mixture) => Self::Mixture(Box::new(mixture.renamed(name))),
            uniform @ Self::Uniform(_) => uniform,
        }
    }

    /// Records draws, `[contexts, count, dims]`.
    fn record_draws(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        (contexts, count): (usize, usize),
        stream: &str,
    ) -> Result<Value> {
        let proposal = self.as_proposal();
        let candidates = recording.scratch("draws", DType::F32, [contexts, count, proposal.dims()]);
        // A proposal that is not conditional takes nothing from its context but the number of rows.
        let given = context.unwrap_or_else(|| recording.scratch("no context", DType::F32, [contexts, 0]));
        let prepared: PreparedContexts = proposal.record_prepare(recording, given)?;
        let draws = Draws { candidates, first: 0, count, stream, inner: 0 };
        proposal.record_sample(recording, &prepared, &draws)?;
        Ok(candidates)
    }
}

/// The networks of a policy by its kind, under the names that they have in files.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    Energy { energy: NetworkEnergy, proposal: ProposalPart },
    Diffusion { score: ScoreNetwork, energy: Option<Box<IntermediateEnergyNetwork>> },
    Proposal(ProposalPart),
    Network(Model),
}

/// Names of models in files of policies, and of their slots.
pub(super) const ENERGY: &str = "energy";
pub(super) const PROPOSAL: &str = "proposal";
pub(super) const SCORE: &str = "score";
pub(super) const NETWORK: &str = "network";

/// Width of a network's input, 0 if there is none of that name.
fn width(model: &Model, name: &str) -> usize {
    model.network().inputs.iter().find(|input| input.name == name).map_or(0, |input| input.width)
}

fn fail<T>(what: &str, problem: String) -> Result<T> {
    Err(Error::argument("policy", what, problem))
}

/// The one width of those that are not 0.
fn common(widths: &[(&str, usize)]) -> Result<usize> {
    let mut taken = widths.iter().filter(|(_, width)| *width > 0);
    let Some((first, width)) = taken.next() else { return Ok(0) };
    match taken.find(|(_, other)| other != width) {
        None => Ok(*width),
        Some((second, other)) => {
            let problem = format!("takes contexts of {other} numbers, {first} contexts of {width}");
            fail(second, problem)
        }
    }
}

impl Parts {
    pub fn energy(energy: NetworkEnergy, proposal: ProposalPart) -> Result<Self> {
        let dims = proposal.as_proposal().dims();
        if dims != energy.dims() {
            return fail("the proposal", format!("has {dims} dimensions, the energy {}", energy.dims()));
        }
        Ok(Self::Energy { energy: energy.renamed(ENERGY), proposal: proposal.named(PROPOSAL) })
    }

    pub fn diffusion(score: ScoreNetwork, energy: Option<IntermediateEnergyNetwork>) -> Result<Self> {
        if let Some(energy) = &energy {
            Guidance::Intermediate(energy).check(&score)?;
            if let (Some(of_score), Some(of_energy)) = (score.schedule(), energy.schedule())
                && of_score != of_energy
            {
                let problem = format!("was trained on {of_energy:?}, the score on {of_score:?}");
                return fail("the intermediate energy", problem);
            }
        }
        Ok(Self::Diffusion {
            score: score.renamed(SCORE),
            energy: energy.map(|energy| Box::new(energy.renamed(ENERGY))),
        })
    }

    pub fn proposal(proposal: ProposalPart) -> Self {
        Self::Proposal(proposal.named(PROPOSAL))
    }

    pub fn network(model: Model) -> Result<Self> {
        match &model.network().inputs[..] {
            [_] => Ok(Self::Network(model.renamed(NETWORK))),
            inputs => fail(
                "the network",
                format!("has {} inputs; one that acts by itself has one, the observation", inputs.len()),
            ),
        }
    }

    /// Numbers per context and per prediction.
    pub fn widths(&self) -> Result<[usize; 2]> {
        Ok(match self {
            Self::Energy { energy, proposal } => {
                let contexts =
                    [("the energy", width(energy.model(), CONTEXT)), ("the proposal", proposal.context())];
                [common(&contexts)?, energy.dims()]
            }
            Self::Diffusion { score, energy } => {
                let of_energy = energy.as_ref().map_or(0, |energy| width(energy.model(), CONTEXT));
                let contexts =
                    [("the score", width(score.model(), CONTEXT)), ("the intermediate energy", of_energy)];
                [common(&contexts)?, score.dims()]
            }
            Self::Proposal(proposal) => [proposal.context(), proposal.as_proposal().dims()],
            Self::Network(model) => [model.network().inputs[0].width, model.network().outputs()],
        })
    }

    pub fn models(&self) -> Vec<&Model> {
        match self {
            Self::Energy { energy, proposal } => {
                [energy.model()].into_iter().chain(proposal.model()).collect()
            }
            Self::Diffusion { score, energy } => {
                [score.model()].into_iter().chain(energy.as_ref().map(|energy| energy.model())).collect()
            }
            Self::Proposal(proposal) => proposal.model().into_iter().collect(),
            Self::Network(model) => vec![model],
        }
    }

    pub fn bindings(&self) -> Bindings {
        self.models().iter().fold(Bindings::new(), |all, model| all.merge(&model.bindings()))
    }

    /// Checks that an inference is one for these networks.
    pub fn check(&self, description: &PolicyDescription) -> Result<()> {
        let wrong = |asked: &str| {
            let problem = format!("is {asked}, but the policy holds {}", self.words());
            fail("the inference", problem)
        };
        match (&description.inference, self) {
            (Inference::Chains(chains), Self::Energy { .. }) => match chains.chains {
                0 => fail("the chains", "are none; give at least one per agent".into()),
                _ => Ok(()),
            },
            (Inference::Diffusion(diffusion), Self::Diffusion { energy, .. }) => {
                if diffusion.samples == 0 {
                    return fail("the samples", "are none; give at least one per agent".into());
                }
                if energy.is_none() && diffusion.choose == Choose::Lowest {
                    let problem = "needs an intermediate energy; without one take the first";
                    return fail("the sample of lowest energy", problem.into());
                }
                if !(diffusion.guidance_scale as f32).is_finite() {
                    let problem = format!("is {}; it must be finite", diffusion.guidance_scale);
                    return fail("the guidance scale", problem);
                }
                diffusion.solver.check()
            }
            (Inference::Proposal, Self::Energy { .. } | Self::Proposal(_)) => Ok(()),
            (Inference::Network, Self::Network(_)) => Ok(()),
            (Inference::Chains(_), _) => wrong("chains on an energy"),
            (Inference::Diffusion(_), _) => wrong("a reverse process"),
            (Inference::Proposal, _) => wrong("a draw of a proposal"),
            (Inference::Network, _) => wrong("the output of a network"),
        }
    }

    /// What there is, in words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Energy { .. } => "an energy with its proposal",
            Self::Diffusion { energy: None, .. } => "a score",
            Self::Diffusion { energy: Some(_), .. } => "a score with an intermediate energy",
            Self::Proposal(_) => "a proposal",
            Self::Network(_) => "a network",
        }
    }

    /// Writes down what it takes to build them again, beside the models.
    pub fn describe(&self, description: &mut PolicyDescription) {
        (description.proposal, description.diffusion) = (None, None);
        match self {
            Self::Energy { proposal, .. } | Self::Proposal(proposal) => {
                description.proposal = Some(proposal.description());
            }
            Self::Diffusion { score, energy } => {
                description.diffusion = Some(DiffusionDescription {
                    prediction: score.prediction(),
                    schedule: score.schedule(),
                    energy_schedule: energy.as_deref().and_then(IntermediateEnergy::schedule),
                    normalizer: score.normalizer().cloned(),
                });
            }
            Self::Network(_) => {}
        }
    }

    /// Records a prediction for each of `agents` contexts, drawing what the samplers of trained
    /// models draw.
    pub fn record(
        &self,
        recording: &mut Recording,
        inference: &Inference,
        bounds: Option<&Bounds>,
        context: Option<Value>,
        agents: usize,
    ) -> Result<Predictions> {
        match (self, inference) {
            (Self::Energy { energy, proposal }, Inference::Chains(chains)) => {
                record_chains(recording, (energy, proposal), chains, context, agents)
            }
            (Self::Diffusion { score, energy }, Inference::Diffusion(diffusion)) => {
                record_diffusion(recording, (score, energy.as_deref()), diffusion, bounds, context, agents)
            }
            (Self::Energy { proposal, .. } | Self::Proposal(proposal), Inference::Proposal) => {
                let value = proposal.record_draws(recording, context, (agents, 1), "draw")?;
                Ok(Predictions { value, stride: proposal.as_proposal().dims(), lost: None })
            }
            (Self::Network(model), Inference::Network) => {
                let Some(context) = context else {
                    return fail("the observation", "is missing".into());
                };
                let parameters = model.value(recording)?;
                let network = model.network();
                let inputs = [(network.inputs[0].name.as_str(), context)];
                let value =
                    network.record_forward(recording, parameters, &inputs, Keep::Output)?.packed_output;
                Ok(Predictions { value, stride: recording.shape(value)?.stride(), lost: None })
            }
            _ => fail("the inference", format!("does not fit {}", self.words())),
        }
    }
}

fn record_chains(
    recording: &mut Recording,
    (energy, proposal): (&NetworkEnergy, &ProposalPart),
    options: &ChainInference,
    context: Option<Value>,
    agents: usize,
) -> Result<Predictions> {
    let ChainInference { chains, dynamics, choose } = options;
    let dims = energy.dims();
    let y = proposal.record_draws(recording, context, (agents, *chains), "sample/start")?;
    let inputs = ChainInputs { energy, context, y, stream: dynamics.stream(), trace: None };
    dynamics.record(recording, &inputs)?;
    match choose {
        Choose::First => Ok(Predictions { value: y, stride: chains * dims, lost: None }),
        Choose::Lowest => {
            let energies = energy.record_value(recording, context, y)?;
            record_lowest(recording, energies, y)
        }
    }
}

/// The chain or sample of lowest energy of each agent; `y`: `[agents, chains, dims]`.
fn record_lowest(recording: &mut Recording, energies: Value, y: Value) -> Result<Predictions> {
    let marks = mark_lost::record(recording, y)?;
    let lost = count_lost::record(recording, marks)?;
    let best = select_chain::record(recording, energies, y)?;
    Ok(Predictions { value: best.y, stride: recording.shape(y)?.width(), lost: Some(lost) })
}

fn record_diffusion(
    recording: &mut Recording,
    (score, energy): (&ScoreNetwork, Option<&IntermediateEnergyNetwork>),
    options: &DiffusionInference,
    bounds: Option<&Bounds>,
    context: Option<Value>,
    agents: usize,
) -> Result<Predictions> {
    let DiffusionInference { solver, guidance_scale, samples, choose } = options;
    let dims = score.dims();
    let start = recording.scratch("start", DType::F32, [agents, *samples, dims]);
    let stream = recording.stream("diffusion/start")?;
    random::record(recording, Distribution::Normal, stream, 0, start)?;
    let guidance = energy.map_or(Guidance::None, |energy| Guidance::Intermediate(energy));
    let scale = recording.knob("guidance_scale", *guidance_scale as f32);
    let stream = "diffusion/noise";
    let y = SamplingLoop { score, guidance, solver, guidance_scale: scale, stream }
        .record(recording, context, start)?;
    if let Some(bounds) = bounds {
        crate::math::clip_chains::record(recording, y, bounds)?;
    }
    match (choose, energy) {
        (Choose::Lowest, Some(energy)) => {
            let level = solver.schedule.at(solver.last_time);
            let energies = EnergyAtLevel::new(energy, level).record_value(recording, context, y)?;
            record_lowest(recording, energies, y)
        }
        _ => Ok(Predictions { value: y, stride: samples * dims, lost: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_of_two_networks_must_agree() {
        assert_eq!(common(&[("the energy", 0), ("the proposal", 3)]).unwrap(), 3);
        assert_eq!(common(&[("the energy", 0)]).unwrap(), 0);
        let error = common(&[("the energy", 2), ("the proposal", 3)]).unwrap_err().to_string();
        assert!(
            error.contains("the proposal takes contexts of 3 numbers, the energy contexts of 2"),
            "{error}"
        );
    }
}
