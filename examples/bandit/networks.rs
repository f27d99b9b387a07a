//! The score and the energies, each trained when it is first asked for.

use clap::ValueEnum;
use gibbs::diffusion::{DiffusionSampler, Guidance, GuidanceNetwork, SamplingOptions, ScoreNetwork};
use gibbs::energy::GuidanceObjective;
use gibbs::nn::{
    ACTION, Activation, AdamOptions, CONTEXT, Fourier, FourierColumns, Input, Network, Schedule, TIME,
};
use gibbs::tasks::bandit::Bandit;
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer};
use gibbs::{Gpu, Result};

use super::progress;
use super::rows::Method;
use super::{Arguments, SupportSource};

/// Length of the runs and size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Three layers of 128: minutes on two CPU cores.
    Quick,
    /// Four layers of 256 as in the published policies, six times the steps of four times the states.
    Paper,
}

impl Preset {
    pub fn name(self) -> &'static str {
        match self {
            Preset::Quick => "quick",
            Preset::Paper => "paper",
        }
    }

    pub fn steps(self) -> u64 {
        match self {
            Preset::Quick => 5000,
            Preset::Paper => 30_000,
        }
    }

    /// States per step, with an action each, for the score; and with a support each, for the energy.
    fn states(self) -> [usize; 2] {
        match self {
            Preset::Quick => [1024, 64],
            Preset::Paper => [4096, 256],
        }
    }

    /// States in the data of the score, and of the energy.
    fn data(self) -> [usize; 2] {
        match self {
            Preset::Quick => [200_000, 16_384],
            Preset::Paper => [1_000_000, 65_536],
        }
    }

    /// The action enters as itself and as waves of 8 and 4 units, without which the borders between modes take many times the
    /// steps.
    fn score(self) -> Network {
        // The first two waves run along the first coordinate, the others along the second.
        let frequencies = vec![0.125, 0.25, 0.0, 0.0, 0.0, 0.0, 0.125, 0.25];
        let waves = Fourier { frequencies, count: 4, columns: FourierColumns::default() };
        self.network(Input::new(ACTION, 2).encoded(waves.with_input()), 2)
    }

    /// An energy is smooth: waves of the action would ripple where there is little data, and lead samples there.
    fn energy(self) -> Network {
        self.network(Input::new(ACTION, 2), 1)
    }

    /// The action, encoded or not; the state as it is; time as itself and as waves of half a turn to eight turns per unit.
    fn network(self, action: Input, outputs: usize) -> Network {
        let time = Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 5).with_input());
        let inputs = vec![action, Input::new(CONTEXT, 2), time];
        match self {
            Preset::Quick => Network::mlp(inputs, &[128; 3], Activation::Silu, outputs),
            Preset::Paper => Network::mlp(inputs, &[256; 4], Activation::Silu, outputs),
        }
    }
}

/// A trained network with the speed of its training.
#[derive(Clone, Debug)]
pub struct Speed<T> {
    pub network: T,
    pub steps_per_second: f64,
}

/// A run's options, apart from its batch.
fn options(arguments: &Arguments, objective: DiffusionObjective) -> DiffusionOptions {
    let schedule = Schedule::Cosine { rate: 1e-2, warmup: 100, floor: 0.0 };
    DiffusionOptions {
        task: "bandit".into(),
        objective,
        steps: arguments.steps.unwrap_or(arguments.preset.steps()),
        optimiser: AdamOptions { schedule, average_decay: 0.995, max_norm: 10.0, ..AdamOptions::default() },
        seed: arguments.seed,
        ..DiffusionOptions::default()
    }
}

fn score_options(arguments: &Arguments) -> DiffusionOptions {
    let batch = arguments.preset.states()[0];
    DiffusionOptions { batch, ..options(arguments, DiffusionObjective::Noise) }
}

fn energy_options(arguments: &Arguments, method: Method) -> DiffusionOptions {
    let (lowest, support) = (Bandit::LOWEST_ENERGY, usize::from(arguments.support));
    let objective = match method {
        Method::Cep => GuidanceObjective::Contrastive { labels: arguments.labels.labels(lowest) },
        Method::Emse => GuidanceObjective::ExponentialMse { reference: lowest },
        Method::Mse | Method::None => GuidanceObjective::Mse,
    };
    let objective = DiffusionObjective::Energy { objective, beta: arguments.beta, group: support };
    let batch = arguments.preset.states()[1] * support;
    let options = options(arguments, objective);
    DiffusionOptions { batch, support, times: [1e-5, options.times[1]], ..options }
}

/// How samples are drawn in a number of states at a time.
fn sampling(arguments: &Arguments, contexts: usize, samples: usize, seed: u64) -> SamplingOptions {
    SamplingOptions {
        solver: arguments.solver(),
        contexts,
        context_width: 2,
        samples,
        guidance_scale: arguments.guidance,
        seed,
        ..SamplingOptions::default()
    }
}

/// Checks what a method would be trained and sampled with, before anything is.
///
/// # Errors
/// [`gibbs::Error::Argument`] for a temperature, a scale or a length that makes no sense.
pub fn check(arguments: &Arguments, method: Method) -> Result<()> {
    let (preset, support) = (arguments.preset, usize::from(arguments.support));
    let data = Dataset::new(vec![0.0; 2], 2, vec![0.0; 2], 2)?;
    score_options(arguments).check(&preset.score(), &data)?;
    let data = Dataset::new(vec![0.0; 2], 2, vec![0.0; 3 * support], 3 * support)?;
    energy_options(arguments, method).check(&preset.energy(), &data)?;
    Bandit.oracle([0.0; 2], arguments.beta)?;
    sampling(arguments, 1, arguments.samples as usize, 0).check(2)
}

/// The networks of a run.
pub struct Trained<'a> {
    pub gpu: &'a Gpu,
    pub arguments: &'a Arguments,
    score: Option<Speed<ScoreNetwork>>,
    support: Option<Dataset>,
}

impl<'a> Trained<'a> {
    pub fn new(gpu: &'a Gpu, arguments: &'a Arguments) -> Self {
        Self { gpu, arguments, score: None, support: None }
    }

    /// The model of the behaviour, learned from one action in each of many states.
    pub fn score(&mut self) -> Result<Speed<ScoreNetwork>> {
        let score = match self.score.take() {
            Some(score) => score,
            None => {
                let preset = self.arguments.preset;
                let (states, actions) = Bandit.draw(preset.data()[0], self.arguments.seed);
                let data = Dataset::new(states.into_flattened(), 2, actions.into_flattened(), 2)?;
                let options = score_options(self.arguments);
                let (trainer, steps_per_second) = self.train("score", preset.score(), &data, options)?;
                Speed { network: trainer.score()?, steps_per_second }
            }
        };
        self.score = Some(score.clone());
        Ok(score)
    }

    /// The intermediate energy of a method that learns one. The actions of a state are compared at one time; the states of a step
    /// have times of their own.
    pub fn energy(&mut self, method: Method) -> Result<Speed<GuidanceNetwork>> {
        let (preset, options) = (self.arguments.preset, energy_options(self.arguments, method));
        let data = match self.support.take() {
            Some(data) => data,
            None => self.draw_support()?,
        };
        let name = format!("{} energy", method.name());
        let result = self.train(&name, preset.energy(), &data, options);
        self.support = Some(data);
        let (trainer, steps_per_second) = result?;
        Ok(Speed { network: trainer.energy()?, steps_per_second })
    }

    /// States with the actions to be compared in each.
    fn draw_support(&mut self) -> Result<Dataset> {
        let Arguments { preset, seed, .. } = *self.arguments;
        let support = usize::from(self.arguments.support);
        let seed = seed ^ 0x0005_0990;
        let states = Bandit.states(preset.data()[1], seed);
        match self.arguments.support_from {
            SupportSource::Data => Bandit.support(&states, support, seed.wrapping_add(1)),
            SupportSource::Model => {
                let score = self.score()?.network;
                let actions = draw_actions(self, &score, Guidance::None, &states, support, seed)?;
                Bandit.label(&states, &actions)
            }
        }
    }

    fn train(
        &self,
        name: &str,
        network: Network,
        data: &Dataset,
        options: DiffusionOptions,
    ) -> Result<(DiffusionTrainer, f64)> {
        let steps = options.steps;
        let mut trainer = DiffusionTrainer::new(self.gpu, name, network, data, options)?;
        let words = format!("{name}, seed {}", self.arguments.seed);
        let path = self.arguments.out.join("train.jsonl");
        let speed = progress::train(&mut trainer, steps, &words, &path)?;
        Ok((trainer, speed))
    }
}

/// Most samples that are on their way at a time.
const AT_A_TIME: usize = 1 << 16;

/// `samples` actions for each of the states, one state's behind the other's.
pub fn draw_actions(
    trained: &Trained<'_>,
    score: &ScoreNetwork,
    guidance: Guidance<'_>,
    states: &[[f32; 2]],
    samples: usize,
    seed: u64,
) -> Result<Vec<[f32; 2]>> {
    let fits = |contexts: &usize| states.len().is_multiple_of(*contexts) && contexts * samples <= AT_A_TIME;
    let contexts = (1..=states.len()).rev().find(fits).unwrap_or(1);
    let options = sampling(trained.arguments, contexts, samples, seed);
    let mut sampler = DiffusionSampler::new(trained.gpu, score, guidance, &options)?;
    let mut actions = Vec::with_capacity(states.len() * samples);
    for states in states.chunks_exact(contexts) {
        let flat = sampler.sample(states.as_flattened())?;
        actions.extend(flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]));
    }
    Ok(actions)
}
