//! The progress bar, the metrics stream and the final figures of a run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gibbs::energy::Objective;
use gibbs::train::{Draw, Observer, ProposalOptions, RnceTrainer, StepRecord};
use gibbs::{Gpu, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::evaluate::{self, BINS, CHAINS, Measures};
use super::target::Target;

/// Steps between evaluations.
const EVALUATE_EVERY: u64 = 500;

/// Watches a run: draws the bar, writes `train.jsonl`, evaluates, saves checkpoints.
pub struct Report {
    target: Target,
    truth: Option<Vec<Vec<f64>>>,
    bar: ProgressBar,
    stream: BufWriter<File>,
    folder: PathBuf,
    records: Vec<StepRecord>,
    checkpoint_every: u64,
    begun: Instant,
    training_seconds: f64,
    first_step: u64,
}

#[derive(Serialize)]
struct Evaluation {
    step: u64,
    bhattacharyya: f64,
}

/// What `metrics.json` holds; `null` stands for what this run does not have.
#[derive(Serialize)]
pub struct Metrics {
    task: String,
    adapter: String,
    backend: String,
    loss: Objective,
    proposal: &'static str,
    seed: u64,
    steps: u64,
    negatives: usize,
    draw: Draw,
    rows: usize,
    seconds: f64,
    training_seconds: f64,
    steps_per_second: f64,
    energy_loss: Option<f64>,
    proposal_loss: Option<f64>,
    ess: Option<f64>,
    bhattacharyya: Option<f64>,
    bhattacharyya_proposal: Option<f64>,
    bhattacharyya_langevin: Option<f64>,
    bhattacharyya_exact_samples: Option<f64>,
    chains_per_context: usize,
    histogram_bins: usize,
    langevin_steps: usize,
    langevin_step_sizes: gibbs::sampler::Anneal,
}

impl Report {
    pub fn new(target: &Target, folder: &Path, step: u64, steps: u64) -> std::io::Result<Self> {
        let style = "{msg} [{bar:32}] {pos}/{len} steps, {per_sec}, {eta} left";
        let bar = ProgressBar::new(steps).with_position(step).with_message("training");
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        let path = folder.join("train.jsonl");
        let kept = if step > 0 { kept_lines(&path, step)? } else { String::new() };
        let mut stream = BufWriter::new(File::create(path)?);
        stream.write_all(kept.as_bytes())?;
        // Evaluations stand between the steps; they do not parse as records.
        let records = kept.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self {
            target: target.clone(),
            truth: evaluate::truth(target),
            bar,
            stream,
            folder: folder.into(),
            records,
            checkpoint_every: u64::MAX,
            begun: Instant::now(),
            training_seconds: 0.0,
            first_step: step,
        })
    }

    pub fn checkpoint_every(mut self, steps: u64) -> Self {
        self.checkpoint_every = steps.max(1);
        self
    }

    /// The step of the next evaluation or checkpoint after `step`.
    pub fn next_stop(&self, step: u64) -> u64 {
        let next = |every: u64| (step / every + 1).saturating_mul(every);
        next(EVALUATE_EVERY).min(next(self.checkpoint_every))
    }

    pub fn records(&self) -> &[StepRecord] {
        &self.records
    }

    pub fn finish_training(&mut self) {
        self.training_seconds = self.begun.elapsed().as_secs_f64();
        self.bar.finish();
        eprintln!("sampling and measuring ..");
    }

    /// A line above the bar; also where there is no terminal to draw a bar on.
    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn flush(&mut self) {
        if let Err(error) = self.stream.flush() {
            self.say(&format!("train.jsonl: {error}"));
        }
    }

    fn write(&mut self, line: &impl Serialize) {
        let written = serde_json::to_string(line)
            .map_err(std::io::Error::other)
            .and_then(|text| writeln!(self.stream, "{text}"));
        if let Err(error) = written {
            self.say(&format!("train.jsonl: {error}"));
        }
    }

    /// Mean of a metric over the last hundred records.
    fn tail(&self, value: fn(&StepRecord) -> Option<f32>) -> Option<f64> {
        let tail: Vec<f64> = self.records.iter().rev().take(100).filter_map(value).map(f64::from).collect();
        (!tail.is_empty()).then(|| tail.iter().sum::<f64>() / tail.len() as f64)
    }

    pub fn metrics(
        &self,
        gpu: &Gpu,
        trainer: &RnceTrainer,
        rows: usize,
        result: &Measures,
        seconds: f64,
    ) -> Metrics {
        let options = trainer.options();
        let chains = self.target.langevin();
        Metrics {
            task: options.task.clone(),
            adapter: gpu.info().name.clone(),
            backend: format!("{:?}", gpu.info().backend).to_lowercase(),
            loss: options.objective,
            proposal: match &options.proposal {
                ProposalOptions::Mixture { components: 1, .. } => "gaussian",
                ProposalOptions::Mixture { .. } => "mixture",
                ProposalOptions::Uniform { .. } => "uniform",
            },
            seed: options.seed,
            steps: trainer.step(),
            negatives: options.negatives,
            draw: options.draw,
            rows,
            seconds,
            training_seconds: self.training_seconds,
            steps_per_second: (trainer.step() - self.first_step) as f64 / self.training_seconds.max(1e-9),
            energy_loss: self.tail(|record| record.energy_loss),
            proposal_loss: self.tail(|record| record.proposal_loss),
            ess: self.tail(|record| record.ess),
            bhattacharyya: result.bhattacharyya,
            bhattacharyya_proposal: result.proposal,
            bhattacharyya_langevin: result.langevin,
            bhattacharyya_exact_samples: result.exact_samples,
            chains_per_context: CHAINS,
            histogram_bins: BINS,
            langevin_steps: chains.steps,
            langevin_step_sizes: chains.sizes,
        }
    }
}

/// Lines of an earlier stream that a run resumed at `step` will not write again.
fn kept_lines(path: &Path, step: u64) -> std::io::Result<String> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        other => other?,
    };
    let before = |line: &&str| {
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let at = value.as_ref().and_then(|value| value["step"].as_u64());
        let evaluated = value.as_ref().is_some_and(|value| value.get("bhattacharyya").is_some());
        at.is_some_and(|at| at < step || (evaluated && at == step))
    };
    Ok(text.lines().filter(before).map(|line| format!("{line}\n")).collect())
}

impl Observer for Report {
    fn records(&mut self, records: &[StepRecord]) {
        for record in records {
            self.write(record);
        }
        self.flush();
        if let Some(last) = records.last() {
            self.bar.set_position(last.step + 1);
            if let (Some(loss), Some(ess)) = (last.energy_loss, last.ess) {
                self.bar.set_message(format!("loss {loss:.3}, ess {ess:4.1}"));
            }
        }
        self.records.extend_from_slice(records);
    }

    fn evaluate(&mut self, trainer: &mut RnceTrainer) -> Result<()> {
        let step = trainer.step();
        if step.is_multiple_of(EVALUATE_EVERY) || step == trainer.options().steps {
            let line = match &self.truth {
                Some(truth) => {
                    let energy = trainer.averaged_energy()?;
                    let gpu = trainer.gpu().clone();
                    let (found, _) = evaluate::learned_densities(&gpu, &self.target, &energy, Some(truth))?;
                    let bhattacharyya = found.unwrap_or(f64::NAN);
                    self.write(&Evaluation { step, bhattacharyya });
                    format!("Bhattacharyya coefficient {bhattacharyya:.4}")
                }
                None => {
                    let shown =
                        |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.4}"));
                    let (energy, proposal) =
                        (self.tail(|record| record.energy_loss), self.tail(|record| record.proposal_loss));
                    format!("energy loss {}, proposal loss {}", shown(energy), shown(proposal))
                }
            };
            self.say(&format!("step {step:6}: {line}"));
            if let Err(error) = self.stream.flush() {
                self.say(&format!("train.jsonl: {error}"));
            }
        }
        if step.is_multiple_of(self.checkpoint_every) {
            trainer.save(&self.folder.join("model.safetensors"))?;
        }
        Ok(())
    }
}
