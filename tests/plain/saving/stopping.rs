//! Signals, as the examples take them: processes that are told to stop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use gibbs::Error;
use gibbs::train::{StepRecord, Trainer};
use tempfile::TempDir;

use super::{checkpoints, common, lavapipe, part, process, signals, small, trainer};

const TEST: &str = "stopping::a_signal_ends_a_run_with_a_checkpoint_and_a_second_one_at_once";

/// A process that tells when it is in the middle of its part.
fn start(part: &str, folder: &TempDir) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = process(&[], TEST, part, folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("at work") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "{TEST}: the process ended by itself");
    }
    (child, output)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// What a process ends with, and what it said.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// Trains, or sits in an observer or behind the training, until a signal comes.
fn child(part: &str, folder: &std::path::Path) -> ! {
    let path = folder.join("run");
    let mut trainer = trainer(1_000_000);
    let mut told = false;
    let wait = || {
        println!("at work");
        std::thread::sleep(std::time::Duration::from_secs(100));
    };
    let outcome = checkpoints::train(
        &mut trainer,
        &path,
        |path| format!("go on from {}", path.display()),
        |trainer| {
            if part == "behind" {
                return Ok(());
            }
            trainer.train(1_000_000, u64::MAX, &mut |_: &[StepRecord]| {
                if !std::mem::replace(&mut told, true) {
                    println!("at work");
                    if part == "stuck" {
                        std::thread::sleep(std::time::Duration::from_secs(100));
                    }
                }
            })
        },
    );
    if part == "behind" {
        wait();
    }
    assert!(matches!(outcome, Err(Error::Stopped { .. })), "{outcome:?}");
    std::process::exit(signals::exit_code().unwrap().into());
}

#[test]
fn a_signal_ends_a_run_with_a_checkpoint_and_a_second_one_at_once() {
    if let Some((part, folder)) = part() {
        child(&part, &folder);
    }
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("run");

        let (process, _output) = start("train", &folder);
        signal(&process, name);
        let (status, said) = end(process);
        assert_eq!(status, Some(code), "{said}");
        assert!(said.contains(&format!("go on from {}", path.display())), "{said}");
        let resumed = Trainer::resume(&lavapipe().gpu, &small(), &path).unwrap();
        common::say(&format!("{name}: stopped after {} steps", resumed.step()));
        assert!(said.contains(&format!("stopped after {} of 1000000 steps", resumed.step())), "{said}");
        assert!(resumed.step() > 0);
        std::fs::remove_file(&path).unwrap();

        // The first one finds nobody who looks at the flag.
        let (mut process, _output) = start("stuck", &folder);
        signal(&process, "INT");
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("a second signal ends this at once") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "no answer to the first signal");
        }
        signal(&process, name);
        assert_eq!(process.wait().unwrap().code(), Some(code));
        assert_eq!(super::names(folder.path()), [""; 0]);

        // Where nothing could be saved that is not, one is enough.
        let (process, _output) = start("behind", &folder);
        signal(&process, name);
        let (status, said) = end(process);
        assert_eq!(status, Some(code), "{said}");
        assert_eq!(super::names(folder.path()), [""; 0]);
    }
}
