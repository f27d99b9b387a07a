//! Files in bad times: a process killed within a write and started again under the same number, a
//! disk that is full, a folder that is not there. Nothing that was saved is lost, and nothing that
//! is still in memory has to be.

use std::path::Path;
use std::process::Command;

use gibbs::train::{Dataset, TrainOptions, Trainer};
use gibbs::{Error, Result};
use tempfile::TempDir;

use crate::common::{self, lavapipe};

#[path = "../../examples/common/checkpoints.rs"]
#[allow(dead_code, reason = "the examples use the rest")]
mod checkpoints;
#[path = "../../examples/common/files.rs"]
#[allow(dead_code, reason = "the examples use the rest")]
pub mod files;
#[path = "../../examples/common/signals.rs"]
#[allow(dead_code, reason = "the examples use the rest")]
mod signals;

#[cfg(unix)]
mod stopping;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Rows that take some milliseconds to write.
fn large() -> Dataset {
    let numbers = |width: usize| (0..width << 20).map(|at| at as f32).collect();
    Dataset::new(numbers(1), 1, numbers(2), 2).unwrap()
}

fn small() -> Dataset {
    Dataset::new(vec![0.5, 1.5, 2.5], 1, vec![0.1, 0.2, 0.3], 1).unwrap()
}

fn trainer(steps: u64) -> Trainer {
    let options = TrainOptions::ranking_nce().with_batch(4).with_steps(steps);
    Trainer::new(&lavapipe().gpu, &small(), options).unwrap()
}

/// Set to the folder that a process of these tests works in.
const FOLDER: &str = "GIBBS_TEST_FOLDER";
/// Set to what it is to do there.
const PART: &str = "GIBBS_TEST_PART";

/// What this process is to do and where, if it was started by a test.
fn part() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(PART).ok()?, std::env::var_os(FOLDER)?.into()))
}

/// A process that does a part of a test of this module, behind the words of another program.
fn process(before: &[&str], test: &str, part: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    // A test's name begins behind the name of its binary.
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = format!("{module}::{test}");
    let mut command = match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]);
    command.env(PART, part).env(FOLDER, folder);
    command
}

/// Whether this user may make namespaces of a kind.
fn namespaces(kinds: &[&str]) -> bool {
    Command::new("unshare").args(kinds).arg("true").output().is_ok_and(|done| done.status.success())
}

#[test]
fn what_a_process_of_our_number_left_stops_no_save() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let left = |number: u32| format!("run.{}.{number}.part", std::process::id());
    for number in 0..2000 {
        std::fs::write(folder.path().join(left(number)), b"half").unwrap();
    }
    small().save(&path).unwrap();
    assert_eq!(Dataset::from_safetensors(&path).unwrap().rows(), 3);
}

/// A container's first process has the number 1 each time.
#[test]
fn a_process_started_again_under_its_number_saves_after_a_kill_within_a_save() {
    if let Some((part, folder)) = part() {
        let path = folder.join("rows.safetensors");
        println!("number {}", std::process::id());
        small().save(&path).unwrap();
        if part == "first" {
            std::thread::spawn(move || {
                while names(&folder).len() == 1 {
                    std::thread::yield_now();
                }
                // In the middle of the write: nothing of the other thread is run any more.
                std::process::exit(9);
            });
        }
        let data = large();
        loop {
            data.save(&path).unwrap();
            if part == "second" {
                return;
            }
        }
    }
    let folder = TempDir::new().unwrap();
    let alone = ["--user", "--map-root-user", "--pid", "--fork"];
    let before = match namespaces(&alone) {
        true => [&["unshare"], &alone[..]].concat(),
        false => {
            common::say("no namespaces here: the process started again has another number");
            Vec::new()
        }
    };
    let run = |part: &str| {
        let test = "a_process_started_again_under_its_number_saves_after_a_kill_within_a_save";
        let done = process(&before, test, part, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(before.is_empty() || said.contains("number 1\n"), "{said}");
        (done.status.code(), said + &String::from_utf8_lossy(&done.stderr))
    };
    let (code, said) = run("first");
    assert_eq!(code, Some(9), "{said}");
    let left = names(folder.path());
    assert_eq!(left.len(), 2, "no write was cut short: {left:?}");
    let path = folder.path().join("rows.safetensors");
    let rows = Dataset::from_safetensors(&path).unwrap().rows();
    assert!([3, 1 << 20].contains(&rows), "{rows} rows");
    let (code, said) = run("second");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(names(folder.path()), ["rows.safetensors"]);
    assert_eq!(Dataset::from_safetensors(&path).unwrap().rows(), 1 << 20);
}

#[test]
fn a_run_that_cannot_be_saved_can_be_saved_elsewhere() {
    let folder = TempDir::new().unwrap();
    let mut trainer = trainer(2);
    trainer.train(2, 2, &mut ()).unwrap();
    let error = trainer.save(folder.path().join("missing/run")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
    assert!(text.contains("missing") && text.contains("still in memory: save again"), "{text}");
    assert_eq!(names(folder.path()), [""; 0]);
    trainer.save(folder.path().join("run")).unwrap();
    let resumed = Trainer::resume(&lavapipe().gpu, &small(), folder.path().join("run")).unwrap();
    assert_eq!(resumed.step(), 2);
}

/// A disk of its own that is full.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_takes_no_file_away_and_the_examples_save_elsewhere() {
    if let Some((_, folder)) = part() {
        return fill_and_save(&folder).unwrap();
    }
    let own = ["--user", "--map-root-user", "--mount"];
    let mounts = [&own[..], &["mount", "-t", "tmpfs", "none", "/mnt"]].concat();
    if !namespaces(&mounts[..own.len()]) {
        common::say("SKIPPED, needs user namespaces: a full disk");
        return;
    }
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=4m none \"$GIBBS_TEST_FOLDER/disk\" && exec \"$0\" \"$@\"";
    let before = [&["unshare"], &own[..], &["sh", "-c", mount]].concat();
    let test = "a_full_disk_takes_no_file_away_and_the_examples_save_elsewhere";
    let done = process(&before, test, "fill", folder.path()).env("TMPDIR", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("No space left") && said.contains(" instead"), "{said}");
    // The disk is gone with its process; what was saved beside it is not.
    let saved = names(folder.path()).into_iter().find(|name| name.starts_with("gibbs-")).expect("saved");
    let path = folder.path().join(saved).join("run");
    assert_eq!(Trainer::resume(&lavapipe().gpu, &small(), path).unwrap().step(), 4);
}

#[cfg(target_os = "linux")]
fn fill_and_save(folder: &Path) -> Result<()> {
    let disk = folder.join("disk");
    let path = disk.join("run");
    let mut trainer = trainer(4);
    trainer.train(2, 2, &mut ())?;
    trainer.save(&path)?;
    let before = std::fs::read(&path).unwrap();
    let full = std::fs::write(disk.join("full"), vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    trainer.train(4, 4, &mut ())?;
    let error = trainer.save(&path).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull));
    let (place, ()) = checkpoints::save(&path, |path| trainer.save(path))?;
    assert_ne!(place, path);
    assert_eq!(names(&disk), ["full", "run"]);
    assert!(std::fs::read(&path).unwrap() == before, "the older checkpoint is another one now");
    Ok(())
}

#[test]
fn a_folder_takes_one_run_at_a_time() {
    let folder = TempDir::new().unwrap();
    let first = files::lock(folder.path()).unwrap();
    let error = files::lock(folder.path()).unwrap_err().to_string();
    if cfg!(unix) {
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
    assert!(error.contains("--out"), "{error}");
    // What is left of a process that is gone is no lock.
    drop(first);
    assert_eq!(names(folder.path()), [".lock"]);
    files::lock(folder.path()).unwrap();
}
