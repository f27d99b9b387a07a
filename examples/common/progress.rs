//! The progress bar of a training run and its metrics stream.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use gibbs::train::{DiffusionRecord, DiffusionTrainer};
use indicatif::{ProgressBar, ProgressStyle};

/// Trains to `steps` under a bar named `name`; records go to `path`, behind what is there. Returns the speed at the end, in steps
/// per second.
///
/// # Errors
/// As [`DiffusionTrainer::train`]; [`gibbs::Error::Io`] for the file.
pub fn train(trainer: &mut DiffusionTrainer, steps: u64, name: &str, path: &Path) -> gibbs::Result<f64> {
    let io = |source| gibbs::Error::Io { operation: "write", path: path.into(), source };
    let mut progress = Progress::new(path, name, steps).map_err(io)?;
    trainer.train(steps, &mut |records| progress.records(records))?;
    let speed = progress.last.as_ref().map_or(0.0, |record| record.steps_per_second);
    progress.finish().map_err(io)?;
    Ok(speed)
}

/// Draws a bar and appends every record to a file of JSON lines.
struct Progress {
    bar: ProgressBar,
    stream: BufWriter<File>,
    name: String,
    last: Option<DiffusionRecord>,
}

impl Progress {
    /// A bar of `steps` named `name`; records go to `path`, behind what is there.
    fn new(path: &Path, name: &str, steps: u64) -> std::io::Result<Self> {
        let bar = ProgressBar::new(steps).with_message(name.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg:44} [{bar:28}] {pos}/{len} steps, {per_sec}, {eta} left")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        let stream = BufWriter::new(File::options().create(true).append(true).open(path)?);
        Ok(Self { bar, stream, name: name.into(), last: None })
    }

    /// Takes records as they arrive.
    fn records(&mut self, records: &[DiffusionRecord]) {
        for record in records {
            let line = serde_json::json!({ "run": self.name, "record": record });
            if let Err(error) = writeln!(self.stream, "{line}") {
                self.bar.suspend(|| eprintln!("train.jsonl: {error}"));
            }
        }
        if let Some(last) = records.last() {
            self.bar.set_position(last.step + 1);
            self.bar.set_message(format!("{}, loss {:.4}", self.name, last.loss));
            self.last = Some(last.clone());
        }
    }

    /// Ends the bar; says the last loss where no bar was drawn.
    fn finish(mut self) -> std::io::Result<()> {
        self.bar.finish();
        if let (true, Some(last)) = (self.bar.is_hidden(), &self.last) {
            eprintln!(
                "{}: {} steps, loss {:.4}, {:.1} steps/s",
                self.name,
                last.step + 1,
                last.loss,
                last.steps_per_second
            );
        }
        self.stream.flush()
    }
}
