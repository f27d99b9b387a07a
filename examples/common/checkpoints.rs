//! Runs that do not get lost: by a signal, nor on a full disk.

use std::path::{Path, PathBuf};

use gibbs::train::Trainer;
use gibbs::{Error, Result};

use super::signals;

/// Saves to a path or, where no file can be written there, to the folder for temporary files, and
/// says so. Returns where.
pub fn save<T>(path: &Path, mut save: impl FnMut(&Path) -> Result<T>) -> Result<(PathBuf, T)> {
    let error = match save(path) {
        Err(error @ Error::Io { .. }) => error,
        other => return other.map(|saved| (path.into(), saved)),
    };
    eprintln!("{error}");
    let Ok(folder) = tempfile::Builder::new().prefix("gibbs-").tempdir() else { return Err(error) };
    let place = folder.path().join(path.file_name().unwrap_or_default());
    match save(&place) {
        Ok(saved) => {
            let _ = folder.keep();
            eprintln!("saved to {} instead", place.display());
            Ok((place, saved))
        }
        // What is wrong with the place that was asked for is what counts.
        Err(_) => Err(error),
    }
}

/// Trains until `work` is done or a signal comes. Then the run is saved, and `resume` says how to
/// go on from the file it is in.
pub fn train(
    trainer: &mut Trainer,
    path: &Path,
    resume: impl FnOnce(&Path) -> String,
    work: impl FnOnce(&mut Trainer) -> Result<()>,
) -> Result<()> {
    let watched = signals::watch();
    let flag = watched.flag();
    trainer.set_stop_flag(&flag);
    let outcome = work(trainer);
    match outcome {
        Err(Error::Stopped { .. }) => {}
        // The signal came too late to stop the training, but not what comes next.
        Ok(()) if flag.is_raised() => {}
        other => return other,
    }
    let (step, steps) = (trainer.step(), trainer.options().steps);
    let (path, ()) = save(path, |path| trainer.save(path))?;
    eprintln!("stopped after {step} of {steps} steps; {} holds the run. To go on:", path.display());
    eprintln!("  {}", resume(&path));
    Err(Error::Stopped { step })
}

/// Words as a shell reads them.
pub fn shell<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c))
    };
    let quoted =
        |word: &str| if plain(word) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<String>>().join(" ")
}
