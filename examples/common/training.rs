//! Presets, training under a progress bar, and what figures say of the machine.

use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;
use gibbs::nn::{AdamOptions, Schedule};
use gibbs::train::{Dataset, StepRecord, TrainOptions, Trainer};
use gibbs::{Gpu, Result};
use serde::Serialize;

use super::progress::Progress;

/// Length of the runs and size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Minutes on two CPU cores.
    Quick,
    /// As published, or as near as is of use; for a graphics card.
    Paper,
}

impl Preset {
    /// One of two, by the preset.
    pub fn pick<T>(self, quick: T, paper: T) -> T {
        if self == Preset::Quick { quick } else { paper }
    }

    /// Adam with a warm-up and a cosine down to 0; weights are averaged over longer in long runs.
    pub fn optimizer(self, rate: f64) -> AdamOptions {
        AdamOptions::default()
            .with_schedule(Schedule::Cosine { rate, warmup: 100, floor: 0.0 })
            .with_average_decay(self.pick(0.995, 0.999))
    }
}

/// A trained network with the speed of its training.
#[derive(Clone, Debug)]
pub struct Trained<T> {
    pub network: T,
    pub steps: u64,
    pub steps_per_second: f64,
    pub seconds: f64,
}

/// Trains to the end of the run under a bar named `name`, and takes a network from the trainer.
/// Records go to `train.jsonl` in a folder, behind what is there.
pub fn fit<T>(
    gpu: &Gpu,
    data: &Dataset,
    options: TrainOptions,
    (name, folder): (&str, &Path),
    take: impl FnOnce(&mut Trainer) -> Result<T>,
) -> Result<Trained<T>> {
    let (begun, steps) = (Instant::now(), options.steps);
    let mut progress = Progress::new(name, steps);
    let path = folder.join("train.jsonl");
    progress.stream_to(&path).map_err(|source| gibbs::Error::Io { operation: "write", path, source })?;
    let mut trainer = Trainer::new(gpu, data, options)?;
    let mut steps_per_second = 0.0;
    trainer.train(steps, u64::MAX, &mut |records: &[StepRecord]| {
        progress.write(records.iter().map(|record| serde_json::json!({ "run": name, "record": record })));
        if let Some(last) = records.last() {
            let loss = last.value("loss").unwrap_or(f32::NAN);
            progress.set(last.step + 1, format!("loss {loss:.4}"));
            steps_per_second = last.steps_per_second;
        }
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Trained { network: take(&mut trainer)?, steps, steps_per_second, seconds })
}

/// Adapter and backend, as files of figures name them.
pub fn machine(gpu: &Gpu) -> [String; 2] {
    [gpu.info().name.clone(), format!("{:?}", gpu.info().backend).to_lowercase()]
}
