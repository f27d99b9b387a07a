//! The networks of a task and seed, each trained when it is first asked for.

use clap::ValueEnum;
use gibbs::diffusion::{GuidanceNetwork, ScoreNetwork};
use gibbs::energy::{GuidanceObjective, Labels};
use gibbs::nn::{
    ACTION, Activation, AdamOptions, Encoding, Fourier, FourierColumns, Input, Network, Schedule, TIME,
};
use gibbs::tasks::toy::{LabelledPoint, Task};
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer};
use gibbs::{Gpu, Result};

use super::progress::Progress;
use super::published;
use super::rows::Method;
use super::{Arguments, LabelKind};

/// Length of the runs and size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Three layers of 128, 3000 steps of 512 samples in one group: minutes on two CPU cores.
    Quick,
    /// The published networks, of a million parameters, on a million points: 50000 steps of 2048 samples in one group. The
    /// published runs go on to 371000.
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
            Preset::Quick => 3000,
            Preset::Paper => 50_000,
        }
    }

    fn batch(self) -> usize {
        match self {
            Preset::Quick => 512,
            Preset::Paper => 2048,
        }
    }

    /// Several groups see several times per step. That is as good as a large group where labels are exact for any size.
    pub fn group(self) -> usize {
        match self {
            Preset::Quick => 64,
            Preset::Paper => 2048,
        }
    }

    fn points(self) -> usize {
        match self {
            Preset::Quick => 200_000,
            Preset::Paper => 1_000_000,
        }
    }

    fn score(self) -> Network {
        match self {
            Preset::Quick => quick(2),
            Preset::Paper => published::score(),
        }
    }

    fn energy(self) -> Network {
        match self {
            Preset::Quick => quick(1),
            Preset::Paper => published::energy(),
        }
    }

    fn optimiser(self, rate: f64) -> AdamOptions {
        let average_decay = if self == Preset::Paper { 0.999 } else { 0.995 };
        let schedule = Schedule::Cosine { rate, warmup: 100, floor: 0.0 };
        AdamOptions { schedule, average_decay, max_norm: 10.0, ..AdamOptions::default() }
    }
}

/// Three layers of 128; time enters as itself and as waves of half a turn to eight turns per unit.
fn quick(outputs: usize) -> Network {
    let fourier = Fourier::geometric(0.5, 8.0, 8).with_columns(FourierColumns::FeaturesAndInput);
    let time = Input::new(TIME, 1).encoded(Encoding::Fourier(fourier));
    Network::mlp(vec![Input::new(ACTION, 2), time], &[128; 3], Activation::Silu, outputs)
}

/// A trained network with the speed of its training.
#[derive(Clone, Debug)]
pub struct Speed<T> {
    pub network: T,
    pub steps_per_second: f64,
}

/// The data, the score and the energies of a task and seed.
pub struct Trained<'a> {
    pub gpu: &'a Gpu,
    pub arguments: &'a Arguments,
    pub task: Task,
    pub seed: u64,
    points: Option<Vec<LabelledPoint>>,
    score: Option<Speed<ScoreNetwork>>,
}

impl<'a> Trained<'a> {
    pub fn new(gpu: &'a Gpu, arguments: &'a Arguments, task: Task, seed: u64) -> Self {
        Self { gpu, arguments, task, seed, points: None, score: None }
    }

    /// The points of the data.
    pub fn points(&mut self) -> &[LabelledPoint] {
        let (task, seed, count) = (self.task, self.seed, self.arguments.preset.points());
        self.points.get_or_insert_with(|| task.draw(count, seed))
    }

    fn options(&self, objective: DiffusionObjective, rate: f64) -> DiffusionOptions {
        let preset = self.arguments.preset;
        DiffusionOptions {
            task: self.task.name().into(),
            objective,
            batch: preset.batch(),
            steps: self.arguments.steps.unwrap_or(preset.steps()),
            optimiser: preset.optimiser(rate),
            seed: self.seed,
            ..DiffusionOptions::default()
        }
    }

    fn train(
        &mut self,
        name: &str,
        network: Network,
        options: DiffusionOptions,
    ) -> Result<(DiffusionTrainer, f64)> {
        // Points with their energies behind them.
        let rows = self.points().iter().flat_map(|point| [point.x[0], point.x[1], point.energy]).collect();
        let data = Dataset::unconditional(rows, 3)?;
        let steps = options.steps;
        let mut trainer = DiffusionTrainer::new(self.gpu, name, network, &data, options)?;
        let path = self.arguments.out.join("train.jsonl");
        let words = format!("{} {name}, seed {}", self.task, self.seed);
        let io = |source| gibbs::Error::Io { operation: "write", path: path.clone(), source };
        let mut progress = Progress::new(&path, &words, steps).map_err(io)?;
        let mut speed = 0.0;
        trainer.train(steps, &mut |records| {
            speed = records.last().map_or(speed, |record| record.steps_per_second);
            progress.records(records);
        })?;
        progress.finish().map_err(io)?;
        Ok((trainer, speed))
    }

    /// The score of the data.
    pub fn score(&mut self) -> Result<Speed<ScoreNetwork>> {
        let score = match self.score.take() {
            Some(score) => score,
            None => self.stored_score()?,
        };
        self.score = Some(score.clone());
        Ok(score)
    }

    /// The score that an earlier run left, or else one trained now and left for later runs.
    fn stored_score(&mut self) -> Result<Speed<ScoreNetwork>> {
        let options = self.options(DiffusionObjective::Noise, 2e-3);
        let preset = self.arguments.preset;
        let name =
            format!("score-{}-{}-{}-seed-{}.safetensors", self.task, preset.name(), options.steps, self.seed);
        let path = self.arguments.out.join(name);
        if path.exists() {
            eprintln!("the score is that of {}", path.display());
            let network = ScoreNetwork::new(DiffusionTrainer::averaged_of(self.gpu, &path)?)?;
            return Ok(Speed { network, steps_per_second: 0.0 });
        }
        let (mut trainer, steps_per_second) = self.train("score", preset.score(), options)?;
        trainer.save(&path)?;
        Ok(Speed { network: trainer.score()?, steps_per_second })
    }

    /// The intermediate energy of a method that learns one; for guidance through the denoiser, the energy of samples without
    /// noise.
    pub fn energy(&mut self, method: Method, beta: f64) -> Result<Speed<GuidanceNetwork>> {
        let (preset, lowest) = (self.arguments.preset, self.task.lowest_energy());
        let labels = match self.arguments.labels {
            LabelKind::Normalised => Labels::Normalised,
            LabelKind::Unnormalised => Labels::Unnormalised { reference: lowest },
        };
        let objective = match method {
            Method::Cep => GuidanceObjective::Contrastive { labels },
            Method::Emse => GuidanceObjective::ExponentialMse { reference: lowest },
            Method::Mse | Method::Dps | Method::None => GuidanceObjective::Mse,
        };
        let objective = DiffusionObjective::Energy {
            objective,
            beta,
            group: self.arguments.group.unwrap_or(preset.group()),
        };
        let mut options = self.options(objective, 2e-3);
        match method {
            Method::Dps => options.times = [0.0; 2],
            _ => options.times[0] = 1e-5,
        }
        let name = format!("{} energy", method.name());
        let (trainer, steps_per_second) = self.train(&name, preset.energy(), options)?;
        Ok(Speed { network: trainer.energy()?, steps_per_second })
    }
}
