//! What a run tells while it goes on, and its final figures.

use std::path::Path;

use gibbs::train::{Observer, ProposalOptions, RankingNceOptions, StepRecord, Trainer};
use gibbs::{Error, Result};
use serde_json::{Value, json};

use super::common::files::{read_if_there, write_whole};
use super::common::intervals::{self, is_due};
use super::common::progress::Progress;
use super::common::training::machine;
use super::evaluate::{self, BINS, Measures};
use super::target::Target;

/// Steps between evaluations.
const EVALUATE_EVERY: u64 = 500;

/// Watches a run: draws the bar, writes `train.jsonl`, evaluates, saves checkpoints.
pub struct Report<'a> {
    target: &'a Target,
    folder: &'a Path,
    progress: Progress,
    pub records: Vec<StepRecord>,
    checkpoint_every: u64,
    /// Whether the learned density is measured on the way.
    pub evaluates: bool,
}

impl<'a> Report<'a> {
    /// `checkpoint_every`: steps between checkpoints, 0 for none before the end.
    pub fn new(
        target: &'a Target,
        folder: &'a Path,
        trainer: &Trainer,
        checkpoint_every: u64,
    ) -> Result<Self> {
        let mut progress = Progress::new("training", trainer.options().steps);
        let path = folder.join("train.jsonl");
        let kept = kept_lines(&path, trainer.step())?;
        write_whole(&path, &kept)?;
        progress.stream_to(&path)?;
        // Evaluations stand between the steps; they do not parse as records.
        let records = kept.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { target, folder, progress, records, checkpoint_every, evaluates: true })
    }

    /// Trains to the end, with a stop at each evaluation and checkpoint.
    pub fn train(&mut self, trainer: &mut Trainer) -> Result<()> {
        while trainer.step() < trainer.options().steps {
            let next = |every| intervals::next(trainer.step(), every);
            let stop = next(EVALUATE_EVERY).min(next(self.checkpoint_every));
            trainer.train(stop, u64::MAX, self)?;
        }
        Ok(())
    }
}

impl Observer for Report<'_> {
    fn records(&mut self, records: &[StepRecord]) {
        self.progress.write(records);
        if let Some(last) = records.last() {
            let value = |metric| last.value(metric).unwrap_or(f32::NAN);
            let words = format!("loss {:.3}, ess {:4.1}", value("energy_loss"), value("ess"));
            self.progress.set(last.step + 1, words);
        }
        self.records.extend_from_slice(records);
    }

    fn evaluate(&mut self, trainer: &mut Trainer) -> Result<()> {
        let step = trainer.step();
        if is_due(step, EVALUATE_EVERY) || step == trainer.options().steps {
            let line = if self.evaluates && self.target.exact.is_some() {
                let energy = trainer.averaged_energy()?;
                let (found, _) = evaluate::learned_densities(trainer.gpu(), self.target, &energy)?;
                let bhattacharyya = found.unwrap_or(f64::NAN);
                self.progress.write([json!({ "step": step, "bhattacharyya": bhattacharyya })]);
                format!("Bhattacharyya coefficient {bhattacharyya:.4}")
            } else {
                let mean = |metric| tail(&self.records, metric).unwrap_or(f64::NAN);
                format!("energy loss {:.4}, proposal loss {:.4}", mean("energy_loss"), mean("proposal_loss"))
            };
            self.progress.say(&format!("step {step:6}: {line}"));
        }
        if is_due(step, self.checkpoint_every) {
            match trainer.save(self.folder.join(super::MODEL)) {
                // The checkpoint before is still there, and the run may end well.
                Err(error @ Error::Io { .. }) => self.progress.say(&error.to_string()),
                other => other?,
            }
        }
        Ok(())
    }
}

/// Lines of an earlier stream that a run resumed at `step` will not write again.
fn kept_lines(path: &Path, step: u64) -> Result<String> {
    let text = read_if_there(path)?.unwrap_or_default();
    let before = |line: &&str| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        let evaluated = value.get("bhattacharyya").is_some();
        value["step"].as_u64().is_some_and(|at| at < step || (evaluated && at == step && step > 0))
    };
    Ok(text.lines().filter(before).map(|line| format!("{line}\n")).collect())
}

/// Mean of a metric over the last hundred records.
fn tail(records: &[StepRecord], metric: &str) -> Option<f64> {
    let last = records.iter().rev().take(100);
    let tail: Vec<f64> = last.filter_map(|record| record.value(metric)).map(f64::from).collect();
    (!tail.is_empty()).then(|| tail.iter().sum::<f64>() / tail.len() as f64)
}

/// The same with each number in four digits at most: what was computed with has them all.
fn few_digits(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().and_then(|number| format!("{number:.3e}").parse::<f64>().ok()).into()
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), few_digits(member))).collect()
        }
        other => other.clone(),
    }
}

/// What `metrics.json` holds, but for times and the data; `null` stands for what this run does not
/// have.
pub fn metrics(trainer: &Trainer, target: &Target, records: &[StepRecord], result: &Measures) -> Value {
    let (options, chains) = (trainer.options(), target.langevin());
    let [adapter, backend] = machine(trainer.gpu());
    let usual = RankingNceOptions::default();
    let nce = options.objective.ranking_nce().unwrap_or(&usual);
    json!({
        "task": options.task,
        "adapter": adapter,
        "backend": backend,
        "loss": nce.loss,
        "proposal": match &nce.proposal {
            ProposalOptions::Mixture { components: 1, .. } => "gaussian",
            ProposalOptions::Mixture { .. } => "mixture",
            ProposalOptions::Uniform { .. } => "uniform",
        },
        "seed": options.seed,
        "steps": trainer.step(),
        "negatives": nce.negatives,
        "draw": options.draw,
        "energy_loss": tail(records, "energy_loss"),
        "proposal_loss": tail(records, "proposal_loss"),
        "ess": tail(records, "ess"),
        "bhattacharyya": result.bhattacharyya,
        "bhattacharyya_proposal": result.proposal,
        "bhattacharyya_langevin": result.langevin,
        "bhattacharyya_exact_samples": result.exact_samples,
        "chains_per_context": (!result.chains.is_empty())
            .then(|| evaluate::chains_per_context(target.labels.len(), target.dims)),
        "non_finite": (!result.chains.is_empty()).then_some(result.non_finite),
        "histogram_bins": BINS,
        "langevin_steps": chains.steps,
        "langevin_step_sizes": few_digits(&json!(chains.step_sizes)),
    })
}
