//! Presets, training under a progress bar, and what figures say of the machine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use gibbs::nn::{AdamOptions, Schedule};
use gibbs::train::{Dataset, StepRecord, TrainOptions, Trainer};
use gibbs::{Gpu, Result};
use serde::{Deserialize, Serialize};

use super::checkpoints;
use super::files::{failed, make_folder, write_json};
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

/// Folder for the networks of a command that was stopped, in that of its results.
const UNFINISHED: &str = "unfinished";

/// What is kept beside an unfinished network.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    seconds: f64,
    steps_per_second: f64,
}

/// Trains to the end of the run under a bar named `name`, and takes a network from the trainer.
/// Records go to `train.jsonl` in a folder, behind what is there. A command that a signal stopped
/// goes on where it was when it is given again.
pub fn fit<T>(
    gpu: &Gpu,
    data: &Dataset,
    options: TrainOptions,
    (name, folder): (&str, &Path),
    take: impl FnOnce(&mut Trainer) -> Result<T>,
) -> Result<Trained<T>> {
    let (begun, steps) = (Instant::now(), options.steps);
    let kept = unfinished(folder, name, &options)?;
    let beside = kept.with_extension("json");
    let mut progress = Progress::new(name, steps);
    let path = folder.join("train.jsonl");
    progress.stream_to(&path)?;
    let (mut trainer, before) = go_on(gpu, data, options, &kept, &beside)?;
    if trainer.step() > 0 {
        progress.say(&format!("{name}: going on from {}, step {}", kept.display(), trainer.step()));
    }
    let mut spent = before;
    let outcome = checkpoints::train(
        &mut trainer,
        &kept,
        |place| resume(place, &kept),
        |trainer| {
            trainer.train(steps, u64::MAX, &mut |records: &[StepRecord]| {
                progress
                    .write(records.iter().map(|record| serde_json::json!({ "run": name, "record": record })));
                if let Some(last) = records.last() {
                    let loss = last.value("loss").unwrap_or(f32::NAN);
                    progress.set(last.step + 1, format!("loss {loss:.4}"));
                    spent.steps_per_second = last.steps_per_second;
                }
            })
        },
    );
    spent.seconds += begun.elapsed().as_secs_f64();
    let saved = match outcome {
        // A network that is done is kept as well until the command is: another one may be stopped.
        Ok(()) => trainer.save(&kept),
        Err(gibbs::Error::Stopped { .. }) => Ok(()),
        Err(error) => return Err(error),
    };
    let noted = saved.and_then(|()| write_json(&beside, &spent));
    if let Err(error) = noted {
        progress.say(&format!("{name} will be trained anew if this command is stopped: {error}"));
    }
    outcome?;
    let Spent { seconds, steps_per_second } = spent;
    Ok(Trained { network: take(&mut trainer)?, steps, steps_per_second, seconds })
}

/// The file of a network until the command is done.
fn unfinished(folder: &Path, name: &str, options: &TrainOptions) -> Result<PathBuf> {
    let folder = folder.join(UNFINISHED);
    make_folder(&folder)?;
    let mut hasher = DefaultHasher::new();
    let text = serde_json::to_string(options).map_err(std::io::Error::from);
    text.map_err(failed("describe the run for", &folder))?.hash(&mut hasher);
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Ok(folder.join(format!("{name}-{:016x}.safetensors", hasher.finish())))
}

/// The run that a command left when it was stopped, or a new one.
fn go_on(
    gpu: &Gpu,
    data: &Dataset,
    options: TrainOptions,
    kept: &Path,
    beside: &Path,
) -> Result<(Trainer, Spent)> {
    if kept.exists() {
        match Trainer::resume(gpu, data, kept) {
            Ok(trainer) if *trainer.options() == options => {
                let text = std::fs::read_to_string(beside).unwrap_or_default();
                return Ok((trainer, serde_json::from_str(&text).unwrap_or_default()));
            }
            Ok(_) => {}
            Err(error) => eprintln!("{error}; training begins anew"),
        }
    }
    Ok((Trainer::new(gpu, data, options)?, Spent::default()))
}

/// The command that goes on: the same again, once the file is where it is looked for.
fn resume(place: &Path, kept: &Path) -> String {
    let command = checkpoints::shell(std::env::args());
    match place == kept {
        true => command,
        false => {
            let [from, to] = [place, kept].map(|path| path.to_string_lossy());
            format!("{} && {command}", checkpoints::shell(["mv", &from, &to]))
        }
    }
}

/// Removes what was kept for a command that is done.
pub fn tidy(folder: &Path) {
    // What stays only costs space.
    let _ = std::fs::remove_dir_all(folder.join(UNFINISHED));
}

/// Adapter and backend, as files of figures name them.
pub fn machine(gpu: &Gpu) -> [String; 2] {
    [gpu.info().name.clone(), format!("{:?}", gpu.info().backend).to_lowercase()]
}
