//! The networks of a task and seed, each trained when it is first asked for.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use gibbs::diffusion::{IntermediateEnergyNetwork, ScoreNetwork};
use gibbs::loss::IntermediateEnergyLoss;
use gibbs::math::Normalize;
use gibbs::nn::{ACTION, Activation, AdamOptions, Fourier, Input, Network, TIME};
use gibbs::tasks::toy::{LabeledPoint, Task, published};
use gibbs::train::{Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, TrainOptions, Trainer};
use gibbs::{Gpu, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Arguments;
use super::common::arguments::{Outcome, labels, name_of};
use super::common::training::{Preset, Trained, fit};
use super::common::{checkpoints, files};
use super::rows::Method;

/// Steps of an energy. Those of rings and spirals change from ring to ring and from arm to arm, and
/// take longer: that of the rings stands still for up to 2800 steps before it learns anything.
pub fn energy_steps(preset: Preset, task: Task) -> u64 {
    preset.pick(if matches!(task, Task::Rings | Task::TwoSpirals) { 6000 } else { 3000 }, 50_000)
}

/// Deviation of the tasks' points along an axis, in data units, roughly.
const DEVIATION: f64 = 2.0;

/// Three layers of 128 of the point, encoded or not; time enters as itself and as waves of half a
/// turn to eight turns per unit.
fn quick(point: Input, outputs: usize) -> Network {
    let time = Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 8).with_input());
    Network::mlp(vec![point, time], &[128; 3], Activation::Silu, outputs)
}

/// Whether what a method learns is proportional to the inverse temperature.
fn is_linear(method: Method) -> bool {
    matches!(method, Method::Mse | Method::Dps)
}

/// A short name for a value.
pub fn fingerprint(value: &impl Serialize) -> serde_json::Result<String> {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(value)?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The data, the score and the energies of a task and seed.
pub struct Networks<'a> {
    pub gpu: &'a Gpu,
    pub arguments: &'a Arguments,
    pub task: Task,
    pub seed: u64,
    /// Energies that serve all temperatures.
    linear: BTreeMap<Method, Trained<IntermediateEnergyNetwork>>,
}

impl<'a> Networks<'a> {
    pub fn new(gpu: &'a Gpu, arguments: &'a Arguments, task: Task, seed: u64) -> Self {
        Self { gpu, arguments, task, seed, linear: BTreeMap::new() }
    }

    /// The run of a network, apart from what it learns.
    fn options(&self, objective: Objective, steps: u64) -> TrainOptions {
        TrainOptions::new(objective)
            .with_task(self.task.name())
            .with_batch(self.arguments.preset.pick(512, 2048))
            .with_steps(self.arguments.steps.unwrap_or(steps))
            .with_seed(self.seed)
    }

    fn optimizer(&self) -> AdamOptions {
        let preset = self.arguments.preset;
        preset.optimizer(preset.pick(1e-2, 2e-3)).with_max_norm(10.0)
    }

    /// The run of the score, which all methods share: its error is the floor of every row.
    fn score_options(&self) -> TrainOptions {
        let preset = self.arguments.preset;
        // Random waves of two units of the data in the middle, without which its thin lines take
        // many times the steps.
        let per_unit = match self.arguments.normalize() {
            Normalize::Isotropic { deviation } => DEVIATION / deviation,
            _ => 1.0,
        };
        let waves = Fourier::gaussian(2, 16, (0.5 * per_unit) as f32, 1).with_input();
        let network = preset.pick(quick(Input::new(ACTION, 2).encoded(waves), 2), published::score());
        let score = ScoreOptions::new(network)
            .with_optimizer(self.optimizer())
            .with_action(self.arguments.normalize());
        self.options(score.into(), preset.pick(6000, 50_000))
    }

    /// The run of the energy of a method; for guidance through the denoiser, the energy of samples
    /// without noise. What is regressed on energies is learned at the inverse temperature 1: its
    /// goal at another is a multiple of it.
    fn energy_options(&self, method: Method, beta: f64) -> TrainOptions {
        let (preset, reference) = (self.arguments.preset, self.task.lowest_energy());
        let labels = labels(&self.arguments.labels, reference);
        let loss = match method {
            Method::Cep => IntermediateEnergyLoss::Contrastive { labels },
            Method::Emse => IntermediateEnergyLoss::ExponentialMse { reference },
            Method::Mse | Method::Dps | Method::None => IntermediateEnergyLoss::Mse,
        };
        // Energies are smooth. With waves they oscillate where there is little data, and lead
        // samples there.
        let network = preset.pick(quick(Input::new(ACTION, 2), 1), published::energy());
        let energy = IntermediateEnergyOptions::new(network, if is_linear(method) { 1.0 } else { beta })
            .with_name(format!("{} energy", name_of(method)))
            .with_loss(loss)
            .with_group(self.arguments.group())
            .with_times(if method == Method::Dps { [0.0; 2] } else { [1e-5, 1.0] })
            .with_optimizer(self.optimizer())
            // Fitted to the same data by the same rule: the units of the score.
            .with_action(self.arguments.normalize());
        self.options(energy.into(), energy_steps(preset, self.task))
    }

    /// Checks what a method would be trained with, before anything is.
    ///
    /// # Errors
    /// [`gibbs::Error::Argument`] for a group, a temperature or a length that makes no sense.
    pub fn check(&self, method: Method, beta: f64) -> Result<()> {
        let data = Dataset::unconditional(vec![0.0; 2], 2)?.with_energies(vec![0.0])?;
        self.task.target(beta)?;
        self.score_options().check(&data)?;
        self.energy_options(method, beta).check(&data)
    }

    /// A fingerprint of both networks and of how they are trained: rows with another are other
    /// rows.
    pub fn recipe(&self, method: Method, beta: f64) -> serde_json::Result<String> {
        let energy = (method != Method::None).then(|| self.energy_options(method, beta));
        fingerprint(&(self.score_options(), energy, self.arguments.preset))
    }

    /// The points of the data.
    pub fn points(&self) -> Vec<LabeledPoint> {
        self.task.draw(self.arguments.preset.pick(200_000, 1_000_000), self.seed)
    }

    fn train<T>(
        &self,
        name: &str,
        options: TrainOptions,
        take: impl FnOnce(&mut Trainer) -> Result<T>,
    ) -> Result<Trained<T>> {
        let points = self.points();
        let energies = points.iter().map(|point| point.energy).collect();
        let points = points.iter().flat_map(|point| point.x).collect();
        let data = Dataset::unconditional(points, 2)?.with_energies(energies)?;
        let words = format!("{} {name}, seed {}", self.task, self.seed);
        fit(self.gpu, &data, options, (&words, &self.arguments.place.out), take)
    }

    /// The score that an earlier run of the same kind left on this adapter, or else one trained now
    /// and left for later runs.
    pub fn score(&self) -> Outcome<Trained<ScoreNetwork>> {
        let (options, preset) = (self.score_options(), name_of(self.arguments.preset));
        let stem = format!("score-{}-{preset}-{}-seed-{}", self.task, options.steps, self.seed);
        let [path, beside] = ["safetensors", "json"]
            .map(|extension| self.arguments.place.out.join(format!("{stem}.{extension}")));
        let adapter = self.gpu.adapter_name();
        let text = std::fs::read_to_string(&beside).unwrap_or_default();
        let origin: Value = serde_json::from_str(&text).unwrap_or_default();
        if origin["adapter"] == *adapter && path.exists() {
            // A file of an older version is replaced as well.
            if Trainer::options_of(&path).is_ok_and(|found| found == options) {
                eprintln!("the score is that of {}", path.display());
                let network = ScoreNetwork::load(self.gpu, &path)?;
                let [steps_per_second, seconds] =
                    ["steps_per_second", "seconds"].map(|key| origin[key].as_f64().unwrap_or(f64::NAN));
                return Ok(Trained { network, steps: options.steps, steps_per_second, seconds });
            }
            eprintln!("the score of {} was trained in another way, and is replaced", path.display());
        }
        let score = self.train("score", options, |trainer| {
            checkpoints::save(&path, |path| trainer.save(path))?;
            trainer.averaged_score()
        })?;
        let Trained { steps_per_second, seconds, .. } = score;
        let origin = json!({ "adapter": adapter, "steps_per_second": steps_per_second, "seconds": seconds });
        files::write_json(&beside, &origin)?;
        Ok(score)
    }

    /// The intermediate energy of a method that learns one; for guidance through the denoiser, the
    /// energy of samples without noise. Those that are linear in the inverse temperature come at 1,
    /// and are trained once.
    pub fn energy(&mut self, method: Method, beta: f64) -> Result<Trained<IntermediateEnergyNetwork>> {
        if let Some(energy) = self.linear.get(&method) {
            return Ok(energy.clone());
        }
        let options = self.energy_options(method, beta);
        let name = format!("{} energy", name_of(method));
        let energy = self.train(&name, options, |trainer| trainer.averaged_intermediate_energy())?;
        self.linear.extend(is_linear(method).then(|| (method, energy.clone())));
        Ok(energy)
    }
}
