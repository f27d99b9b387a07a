//! The networks of a task and seed, each trained when it is first asked for.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use clap::ValueEnum;
use gibbs::diffusion::{GuidanceNetwork, ScoreNetwork};
use gibbs::energy::GuidanceObjective;
use gibbs::nn::{ACTION, Activation, AdamOptions, Fourier, Input, Network, Schedule, TIME};
use gibbs::tasks::toy::{LabelledPoint, Task};
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer};
use gibbs::{Gpu, Result};
use serde::{Deserialize, Serialize};

use super::progress;
use super::published;
use super::rows::Method;
use super::{Arguments, files};

/// Length of the runs and size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Three layers of 128; 6000 steps of the score and 3000 of an energy (of rings and spirals 6000), of 512 samples each: minutes on
    /// two CPU cores.
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

    /// Steps of an energy. Those of rings and spirals change from ring to ring and from arm to arm, and take longer: that of the
    /// rings stands still for up to 2800 steps before it learns anything.
    pub fn steps(self, task: Task) -> u64 {
        match (self, task) {
            (Preset::Quick, Task::Rings | Task::TwoSpirals) => 6000,
            (Preset::Quick, _) => 3000,
            (Preset::Paper, _) => 50_000,
        }
    }

    /// Steps of the score, which all methods share: its error is the floor of every row.
    fn score_steps(self) -> u64 {
        match self {
            Preset::Quick => 6000,
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
            // Random waves of two units in the middle, without which the data's thin lines take many times the steps.
            Preset::Quick => {
                let waves = Fourier::gaussian(2, 16, 0.5, 1);
                quick(Input::new(ACTION, 2).encoded(waves.with_input()), 2)
            }
            Preset::Paper => published::score(),
        }
    }

    fn energy(self) -> Network {
        match self {
            // Energies are smooth. With waves they oscillate where there is little data, and lead samples there.
            Preset::Quick => quick(Input::new(ACTION, 2), 1),
            Preset::Paper => published::energy(),
        }
    }

    fn optimiser(self) -> AdamOptions {
        let (rate, average_decay) = match self {
            Preset::Quick => (1e-2, 0.995),
            Preset::Paper => (2e-3, 0.999),
        };
        let schedule = Schedule::Cosine { rate, warmup: 100, floor: 0.0 };
        AdamOptions { schedule, average_decay, max_norm: 10.0, ..AdamOptions::default() }
    }
}

/// Three layers of 128 of the point, encoded or not; time enters as itself and as waves of half a turn to eight turns per unit.
fn quick(point: Input, outputs: usize) -> Network {
    let time = Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 8).with_input());
    Network::mlp(vec![point, time], &[128; 3], Activation::Silu, outputs)
}

/// A trained network with the speed of its training.
#[derive(Clone, Debug)]
pub struct Speed<T> {
    pub network: T,
    pub steps_per_second: f64,
    pub seconds: f64,
}

/// What stands beside a stored score.
#[derive(Serialize, Deserialize)]
struct Origin {
    adapter: String,
    steps_per_second: f64,
    seconds: f64,
}

/// The run of a network, apart from its objective.
fn options(arguments: &Arguments, task: Task, seed: u64, objective: DiffusionObjective) -> DiffusionOptions {
    let preset = arguments.preset;
    let usual = match objective {
        DiffusionObjective::Energy { .. } => preset.steps(task),
        DiffusionObjective::Noise | DiffusionObjective::Sample => preset.score_steps(),
    };
    DiffusionOptions {
        task: task.name().into(),
        objective,
        batch: preset.batch(),
        steps: arguments.steps.unwrap_or(usual),
        optimiser: preset.optimiser(),
        seed,
        ..DiffusionOptions::default()
    }
}

/// The run of the energy of a method; for guidance through the denoiser, the energy of samples without noise. What is regressed on
/// energies is learned at the inverse temperature 1: its goal at another is a multiple of it.
fn energy_options(
    arguments: &Arguments,
    task: Task,
    seed: u64,
    (method, beta): (Method, f64),
) -> DiffusionOptions {
    let lowest = task.lowest_energy();
    let labels = arguments.labels.labels(lowest);
    let objective = match method {
        Method::Cep => GuidanceObjective::Contrastive { labels },
        Method::Emse => GuidanceObjective::ExponentialMse { reference: lowest },
        Method::Mse | Method::Dps | Method::None => GuidanceObjective::Mse,
    };
    let group = arguments.group.unwrap_or(arguments.preset.group());
    let beta = if method.is_linear() { 1.0 } else { beta };
    let times = if method == Method::Dps { [0.0; 2] } else { [1e-5, 1.0] };
    let objective = DiffusionObjective::Energy { objective, beta, group };
    let options = options(arguments, task, seed, objective);
    DiffusionOptions { times, ..options }
}

/// Checks what a method would be trained with, before anything is.
///
/// # Errors
/// [`gibbs::Error::Argument`] for a group, a temperature or a length that makes no sense.
pub fn check(arguments: &Arguments, task: Task, method: Method, beta: f64) -> Result<()> {
    let data = Dataset::unconditional(vec![0.0; 3], 3)?;
    let preset = arguments.preset;
    options(arguments, task, 0, DiffusionObjective::Noise).check(&preset.score(), &data)?;
    energy_options(arguments, task, 0, (method, beta)).check(&preset.energy(), &data)
}

/// A fingerprint of both networks and of how they are trained: rows with another are other rows.
pub fn recipe(
    arguments: &Arguments,
    task: Task,
    seed: u64,
    guided: (Method, f64),
) -> serde_json::Result<String> {
    let preset = arguments.preset;
    let parts = (
        options(arguments, task, seed, DiffusionObjective::Noise),
        preset.score(),
        (guided.0 != Method::None).then(|| (energy_options(arguments, task, seed, guided), preset.energy())),
        preset.points(),
    );
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&parts)?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The data, the score and the energies of a task and seed.
pub struct Trained<'a> {
    pub gpu: &'a Gpu,
    pub arguments: &'a Arguments,
    pub task: Task,
    pub seed: u64,
    points: Option<Vec<LabelledPoint>>,
    score: Option<Speed<ScoreNetwork>>,
    /// Energies that serve all temperatures.
    linear: BTreeMap<Method, Speed<GuidanceNetwork>>,
}

impl<'a> Trained<'a> {
    pub fn new(gpu: &'a Gpu, arguments: &'a Arguments, task: Task, seed: u64) -> Self {
        Self { gpu, arguments, task, seed, points: None, score: None, linear: BTreeMap::new() }
    }

    /// The points of the data.
    pub fn points(&mut self) -> &[LabelledPoint] {
        let (task, seed, count) = (self.task, self.seed, self.arguments.preset.points());
        self.points.get_or_insert_with(|| task.draw(count, seed))
    }

    fn train(
        &mut self,
        name: &str,
        network: Network,
        options: DiffusionOptions,
    ) -> Result<Speed<DiffusionTrainer>> {
        let begun = Instant::now();
        // Points with their energies behind them.
        let rows = self.points().iter().flat_map(|point| [point.x[0], point.x[1], point.energy]).collect();
        let data = Dataset::unconditional(rows, 3)?;
        let steps = options.steps;
        let mut trainer = DiffusionTrainer::new(self.gpu, name, network, &data, options)?;
        let words = format!("{} {name}, seed {}", self.task, self.seed);
        let path = self.arguments.out.join("train.jsonl");
        let steps_per_second = progress::train(&mut trainer, steps, &words, &path)?;
        Ok(Speed { network: trainer, steps_per_second, seconds: begun.elapsed().as_secs_f64() })
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

    /// The score that an earlier run of the same kind left on this adapter, or else one trained now and left for later runs.
    fn stored_score(&mut self) -> Result<Speed<ScoreNetwork>> {
        let options = options(self.arguments, self.task, self.seed, DiffusionObjective::Noise);
        let preset = self.arguments.preset;
        let name = format!("score-{}-{}-{}-seed-{}", self.task, preset.name(), options.steps, self.seed);
        let path = self.arguments.out.join(format!("{name}.safetensors"));
        let beside = self.arguments.out.join(format!("{name}.json"));
        let adapter = self.gpu.adapter_name();
        let text = std::fs::read_to_string(&beside).unwrap_or_default();
        if let Ok(origin) = serde_json::from_str::<Origin>(&text)
            && origin.adapter == adapter
            && path.exists()
        {
            let network = DiffusionTrainer::score_of(self.gpu, &path)?;
            let same = DiffusionTrainer::options_of(&path)? == options
                && *network.model().network() == preset.score();
            if same {
                eprintln!("the score is that of {}", path.display());
                let Origin { steps_per_second, seconds, .. } = origin;
                return Ok(Speed { network, steps_per_second, seconds });
            }
            eprintln!("the score of {} was trained in another way, and is replaced", path.display());
        }
        let Speed { network: mut trainer, steps_per_second, seconds } =
            self.train("score", preset.score(), options)?;
        trainer.save(&path)?;
        let origin = Origin { adapter, steps_per_second, seconds };
        files::write_json(&beside, &origin).map_err(|source| gibbs::Error::Io {
            operation: "write",
            path: beside,
            source,
        })?;
        Ok(Speed { network: trainer.score()?, steps_per_second, seconds })
    }

    /// The intermediate energy of a method that learns one; for guidance through the denoiser, the energy of samples without
    /// noise. Those that are linear in the inverse temperature come at 1, and are trained once.
    pub fn energy(&mut self, method: Method, beta: f64) -> Result<Speed<GuidanceNetwork>> {
        if let Some(energy) = self.linear.get(&method) {
            return Ok(energy.clone());
        }
        let options = energy_options(self.arguments, self.task, self.seed, (method, beta));
        let name = format!("{} energy", method.name());
        let trained = self.train(&name, self.arguments.preset.energy(), options)?;
        let Speed { network, steps_per_second, seconds } = trained;
        let energy = Speed { network: network.energy()?, steps_per_second, seconds };
        if method.is_linear() {
            self.linear.insert(method, energy.clone());
        }
        Ok(energy)
    }
}
