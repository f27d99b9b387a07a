//! Processes killed while they write checkpoints.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use gibbs::Gpu;
use gibbs::train::{Observer, TrainOptions, Trainer};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::common::arguments::{Device, Outcome};
use super::common::files::{failed, make_folder};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Processes to kill.
    #[arg(long, default_value_t = 100)]
    trials: u32,
    /// Seed of the moments at which they are killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Latest moment, in milliseconds after a process has written its first checkpoint. Every
    /// second process is killed a hundredth of that after it begins a write at most.
    #[arg(long, default_value_t = 500)]
    window: u64,
    /// Folder for the checkpoint.
    #[arg(long, default_value = "out/kill")]
    out: PathBuf,
    /// Give each process a pid namespace of its own, in which it is process 1, as in a container
    /// that is started again. Takes Linux, `unshare` of util-linux, and root.
    #[arg(long)]
    fresh_pids: bool,
}

impl Arguments {
    /// This program, to be started as a victim.
    fn program(&self) -> std::io::Result<Command> {
        let program = std::env::current_exe()?;
        if !self.fresh_pids {
            return Ok(Command::new(program));
        }
        // The end of `unshare` is the end of what it started.
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(program);
        Ok(command)
    }

    /// Whether what a victim said is what one says that writes.
    fn is_writing(&self, line: &str) -> bool {
        match line.trim().strip_prefix(WRITING) {
            Some(process) => !self.fresh_pids || process == "1",
            None => false,
        }
    }
}

/// What a victim says once it has saved, in front of its process id.
const WRITING: &str = "writing as process ";

/// A network whose checkpoint of some 3 MB takes longer to write than its step takes to compute.
fn options() -> TrainOptions {
    super::options(vec![384, 384], 4, 3)
}

/// Saves after every step and never ends.
struct Writer<'a> {
    path: &'a Path,
    saved: u64,
}

impl Observer for Writer<'_> {
    fn evaluate(&mut self, trainer: &mut Trainer) -> gibbs::Result<()> {
        trainer.save(self.path)?;
        self.saved += 1;
        if self.saved == 1 {
            println!("{WRITING}{}", std::process::id());
        }
        Ok(())
    }
}

pub fn victim(gpu: &Gpu, path: &Path) -> Outcome {
    let data = super::data()?;
    let mut trainer = match path.exists() {
        true => Trainer::resume(gpu, &data, path)?,
        false => Trainer::new(gpu, &data, options())?,
    };
    trainer.train(u64::MAX, 1, &mut Writer { path, saved: 0 })?;
    Err("the run came to its end before it was killed".into())
}

/// Files beside the checkpoint.
fn leftovers(path: &Path) -> gibbs::Result<Vec<PathBuf>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed("list the folder", folder))? {
        let entry = entry.map_err(failed("list the folder", folder))?.path();
        if entry != path {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Waits until a process begins to write, at most ten seconds: then it is no longer there.
fn wait_for_a_write(path: &Path) -> Outcome {
    let begun = Instant::now();
    while leftovers(path)?.is_empty() {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err("the process wrote nothing for ten seconds".into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

pub fn run(gpu: &Gpu, device: &Device, arguments: &Arguments) -> Outcome {
    make_folder(&arguments.out)?;
    let path = arguments.out.join("checkpoint.safetensors");
    // Only what earlier trials left: the folder may be anybody's.
    let found: Vec<String> = std::fs::read_dir(&arguments.out)
        .and_then(|all| all.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect())
        .map_err(failed("list the folder", &arguments.out))?;
    if let Some(other) = found.iter().find(|name| !name.starts_with("checkpoint.safetensors")) {
        return Err(format!("{} holds `{other}`; give an empty folder", arguments.out.display()).into());
    }
    for name in found {
        let path = arguments.out.join(name);
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    let data = super::data()?;
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let process = if arguments.fresh_pids { ", each as process 1" } else { "" };
    println!(
        "seed {}, kills within {} ms of the first checkpoint{process}",
        arguments.seed, arguments.window
    );
    let (mut whole, mut within_writes, mut most_leftovers, mut last_step) = (0, 0, 0, 0);
    let mut problems = Vec::new();
    for trial in 1..=arguments.trials {
        let mut command = arguments.program()?;
        if let Some(adapter) = &device.adapter {
            command.args(["--adapter", adapter]);
        }
        command.args(["--tuning", &device.tuning]);
        let mut child =
            command.arg("victim").arg(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        // The leftover of the process before is gone once this one has saved.
        let mut line = String::new();
        let mut output = child.stdout.take().map(BufReader::new);
        let mut begin = || -> Outcome {
            if let Some(output) = &mut output {
                output.read_line(&mut line)?;
            }
            if trial % 2 == 0 { wait_for_a_write(&path) } else { Ok(()) }
        };
        if let Err(error) = begin() {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
        let moment = Duration::from_micros(random.random_range(0..=1000 * arguments.window));
        let moment = if trial % 2 == 0 { moment / 100 } else { moment };
        let begun = Instant::now();
        while begun.elapsed() < moment {
            std::thread::sleep(moment.saturating_sub(begun.elapsed()));
        }
        // SIGKILL on Unix: the process gets no chance to do anything.
        child.kill()?;
        let status = child.wait()?;
        // The victim's end of the pipe closes with it, later than `unshare`.
        if let Some(output) = &mut output {
            output.read_to_end(&mut Vec::new())?;
        }
        if !arguments.is_writing(&line) {
            problems.push(format!("trial {trial}: said `{}` and ended by itself ({status})", line.trim()));
            continue;
        }
        let left = leftovers(&path)?.len();
        within_writes += u32::from(left > 0);
        most_leftovers = most_leftovers.max(left);
        let outcome = Trainer::resume(gpu, &data, &path).and_then(|mut trainer| {
            let step = trainer.step();
            trainer.train(step + 2, u64::MAX, &mut ())?;
            Ok((step, trainer.step()))
        });
        match outcome {
            Ok((step, after)) if step > last_step && after == step + 2 => {
                whole += 1;
                println!("trial {trial}: killed after {moment:?}, {left} leftover, stands at step {step}");
                last_step = step;
            }
            Ok((step, _)) => problems.push(format!("trial {trial}: step {step} after step {last_step}")),
            Err(error) => problems.push(format!("trial {trial}: {error}")),
        }
    }
    // A save in peace leaves nothing but the checkpoint.
    Trainer::resume(gpu, &data, &path)?.save(&path)?;
    let left = leftovers(&path)?;
    println!(
        "{whole} of {} checkpoints whole and resumed; {within_writes} kills within a write; at most {most_leftovers} \
         leftover files at a time, {} after the next save",
        arguments.trials,
        left.len()
    );
    if within_writes == 0 {
        problems.push("no kill fell within a write: nothing was tried".into());
    }
    if !left.is_empty() || most_leftovers > 1 {
        problems.push(format!("files were left: {left:?}"));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("; ").into()),
    }
}
