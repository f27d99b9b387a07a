//! The score and the energies, each trained when it is first asked for.

use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergyNetwork, SamplingOptions, ScoreNetwork,
};
use gibbs::loss::IntermediateEnergyLoss;
use gibbs::math::Normalize;
use gibbs::nn::{ACTION, Activation, AdamOptions, CONTEXT, Fourier, FourierColumns, Input, Network, TIME};
use gibbs::tasks::bandit::Bandit;
use gibbs::train::{Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, TrainOptions, Trainer};
use gibbs::{Gpu, Result};

use super::common::arguments::{labels, name_of};
use super::common::training::{Preset, Trained, fit};
use super::rows::Method;
use super::{Arguments, SupportSource};

/// Steps of each network.
pub fn steps(arguments: &Arguments) -> u64 {
    arguments.steps.unwrap_or(arguments.preset.pick(5000, 30_000))
}

/// States in the data of the score, and of the energy.
fn data(preset: Preset) -> [usize; 2] {
    preset.pick([200_000, 16_384], [1_000_000, 65_536])
}

/// Deviation of actions along an axis, in data units, roughly.
const DEVIATION: f64 = 1.7;

/// The action enters as itself and as waves of 8 and 4 units of the data, without which the borders
/// between modes take many times the steps.
fn score(arguments: &Arguments) -> Network {
    let preset = arguments.preset;
    let per_unit = match arguments.normalize() {
        Normalize::Isotropic { deviation } => DEVIATION / deviation,
        _ => 1.0,
    };
    // The first two waves run along the first coordinate, the others along the second.
    let frequencies = [0.125, 0.25, 0.0, 0.0, 0.0, 0.0, 0.125, 0.25];
    let frequencies = frequencies.map(|wave: f64| (wave * per_unit) as f32).to_vec();
    let waves = Fourier { frequencies, count: 4, columns: FourierColumns::default() };
    network(preset, Input::new(ACTION, 2).encoded(waves.with_input()), 2)
}

/// The action, encoded or not; the state as it is; time as itself and as waves of half a turn to
/// eight turns per unit.
fn network(preset: Preset, action: Input, outputs: usize) -> Network {
    let time = Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 5).with_input());
    let inputs = vec![action, Input::new(CONTEXT, 2), time];
    Network::mlp(inputs, preset.pick(&[128; 3][..], &[256; 4]), Activation::Silu, outputs)
}

/// A run of `states` per step.
fn options(arguments: &Arguments, objective: impl Into<Objective>, states: usize) -> TrainOptions {
    TrainOptions::new(objective)
        .with_task("bandit")
        .with_batch(states)
        .with_steps(steps(arguments))
        .with_seed(arguments.seed)
}

/// The same for both presets.
fn optimizer() -> AdamOptions {
    Preset::Quick.optimizer(1e-2).with_max_norm(10.0)
}

fn score_options(arguments: &Arguments) -> TrainOptions {
    let preset = arguments.preset;
    let score =
        ScoreOptions::new(score(arguments)).with_optimizer(optimizer()).with_action(arguments.normalize());
    options(arguments, score, preset.pick(1024, 4096))
}

/// The run of an energy, in the units of a score if there is one.
fn energy_options(arguments: &Arguments, method: Method, score: Option<&ScoreNetwork>) -> TrainOptions {
    let (lowest, preset) = (Bandit::LOWEST_ENERGY, arguments.preset);
    let loss = match method {
        Method::Cep => IntermediateEnergyLoss::Contrastive { labels: labels(&arguments.labels, lowest) },
        Method::Emse => IntermediateEnergyLoss::ExponentialMse { reference: lowest },
        Method::Mse | Method::None => IntermediateEnergyLoss::Mse,
    };
    // An energy is smooth: waves of the action would ripple where there is little data, and lead
    // samples there.
    let energy = IntermediateEnergyOptions::new(network(preset, Input::new(ACTION, 2), 1), arguments.beta)
        .with_name(format!("{} energy", name_of(method)))
        .with_loss(loss)
        .with_group(usize::from(arguments.support))
        .with_times([1e-5, 1.0])
        .with_action(arguments.normalize())
        .with_optimizer(optimizer());
    let energy = match score {
        Some(score) => energy.guiding(score),
        None => energy,
    };
    options(arguments, energy, preset.pick(64, 256))
}

/// How samples are drawn in a number of states at a time.
fn sampling(arguments: &Arguments, contexts: usize, samples: usize, seed: u64) -> SamplingOptions {
    SamplingOptions::default()
        .with_solver(arguments.solver())
        .with_contexts(contexts)
        .with_context_width(2)
        .with_samples(samples)
        .with_guidance_scale(arguments.guidance)
        .with_seed(seed)
}

/// Checks what a method would be trained and sampled with, before anything is.
///
/// # Errors
/// [`gibbs::Error::Argument`] for a temperature, a scale or a length that makes no sense.
pub fn check(arguments: &Arguments, method: Method) -> Result<()> {
    let support = usize::from(arguments.support);
    let data = Dataset::new(vec![0.0; 2], 2, vec![0.0; 2], 2)?;
    score_options(arguments).check(&data)?;
    let data = Bandit.label(&[[0.0; 2]], &vec![[0.0; 2]; support])?;
    energy_options(arguments, method, None).check(&data)?;
    Bandit.oracle([0.0; 2], arguments.beta)?;
    sampling(arguments, 1, arguments.samples as usize, 0).check(2)
}

/// The networks of a run.
pub struct Networks<'a> {
    pub gpu: &'a Gpu,
    pub arguments: &'a Arguments,
    score: Option<Trained<ScoreNetwork>>,
    support: Option<Dataset>,
}

impl<'a> Networks<'a> {
    pub fn new(gpu: &'a Gpu, arguments: &'a Arguments) -> Self {
        Self { gpu, arguments, score: None, support: None }
    }

    /// The model of the behavior, learned from one action in each of many states.
    pub fn score(&mut self) -> Result<Trained<ScoreNetwork>> {
        let score = match self.score.take() {
            Some(score) => score,
            None => {
                let preset = self.arguments.preset;
                let (states, actions) = Bandit.draw(data(preset)[0], self.arguments.seed);
                let data = Dataset::new(states.into_flattened(), 2, actions.into_flattened(), 2)?;
                let options = score_options(self.arguments);
                self.train("score", &data, options, |trainer| trainer.averaged_score())?
            }
        };
        self.score = Some(score.clone());
        Ok(score)
    }

    /// The intermediate energy of a method that learns one. The actions of a state are compared at
    /// one time; the states of a step have times of their own.
    pub fn energy(&mut self, method: Method) -> Result<Trained<IntermediateEnergyNetwork>> {
        let score = self.score()?.network;
        let options = energy_options(self.arguments, method, Some(&score));
        let data = match self.support.take() {
            Some(data) => data,
            None => self.draw_support()?,
        };
        let name = format!("{} energy", name_of(method));
        let energy = self.train(&name, &data, options, |trainer| trainer.averaged_intermediate_energy());
        self.support = Some(data);
        energy
    }

    /// States with the actions to be compared in each.
    fn draw_support(&mut self) -> Result<Dataset> {
        let Arguments { preset, seed, .. } = self.arguments;
        let support = usize::from(self.arguments.support);
        let (preset, seed) = (*preset, seed ^ 0x0005_0990);
        let states = Bandit.states(data(preset)[1], seed);
        match self.arguments.support_from {
            SupportSource::Data => Bandit.support(&states, support, seed.wrapping_add(1)),
            SupportSource::Model => {
                let score = self.score()?.network;
                let actions = draw_actions(self, &score, Guidance::None, &states, support, seed)?;
                Bandit.label(&states, &actions)
            }
        }
    }

    fn train<T>(
        &self,
        name: &str,
        data: &Dataset,
        options: TrainOptions,
        take: impl FnOnce(&mut Trainer) -> Result<T>,
    ) -> Result<Trained<T>> {
        let words = format!("{name}, seed {}", self.arguments.seed);
        fit(self.gpu, data, options, (&words, &self.arguments.place.out), take)
    }
}

/// Most samples that are on their way at a time.
const AT_A_TIME: usize = 1 << 16;

/// `samples` actions for each of the states, one state's behind the other's.
pub fn draw_actions(
    networks: &Networks<'_>,
    score: &ScoreNetwork,
    guidance: Guidance<'_>,
    states: &[[f32; 2]],
    samples: usize,
    seed: u64,
) -> Result<Vec<[f32; 2]>> {
    let fits = |contexts: &usize| states.len().is_multiple_of(*contexts) && contexts * samples <= AT_A_TIME;
    let contexts = (1..=states.len()).rev().find(fits).unwrap_or(1);
    let options = sampling(networks.arguments, contexts, samples, seed);
    let mut sampler = DiffusionSampler::new(networks.gpu, score, guidance, &options)?;
    let mut actions = Vec::with_capacity(states.len() * samples);
    for states in states.chunks_exact(contexts) {
        let flat = sampler.sample(states.as_flattened())?;
        actions.extend(flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]));
    }
    Ok(actions)
}
