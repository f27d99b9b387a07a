//! Burn on the workloads of gibbs: `gibbs-peer-burn --json FILE [--workload NAME].. [--repetitions N] [--milliseconds MS]`.
//!
//! The backend is chosen when it is built: feature `wgpu`, `ndarray` or `flex`. Timing, scaling and the file are those of
//! `harness.py`. First loss, gradients and a step of a chain are compared with differences in f64.

mod check;
mod diffusion;
mod model;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use workloads::{Kind, Spec};

/// Longest repetition, in seconds; what would take longer is measured in part.
const LONGEST: f64 = 2.0;
/// Operations that are tried at once before anything is known about the speed.
const TRUSTED: f64 = 1e9;

struct Arguments {
    workloads: Vec<String>,
    json: PathBuf,
    repetitions: usize,
    seconds: f64,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments { workloads: Vec::new(), json: PathBuf::new(), repetitions: 7, seconds: 0.6 };
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|error| format!("{option} {value}: {error}"));
        match option.as_str() {
            "--workload" => found.workloads.push(value),
            "--json" => found.json = value.into(),
            "--repetitions" => found.repetitions = number()?.max(5),
            "--milliseconds" => found.seconds = 1e-3 * number()? as f64,
            _ => return Err(format!("there is no option {option}")),
        }
    }
    match found.json.as_os_str().is_empty() {
        true => Err("--json FILE is missing".into()),
        false => Ok(found),
    }
}

#[cfg(feature = "wgpu")]
fn device() -> (Device, &'static str) {
    (Device::wgpu(Default::default()), "wgpu")
}

#[cfg(all(feature = "ndarray", not(feature = "wgpu")))]
fn device() -> (Device, &'static str) {
    (Device::ndarray(), "ndarray")
}

#[cfg(all(feature = "flex", not(feature = "wgpu"), not(feature = "ndarray")))]
fn device() -> (Device, &'static str) {
    (Device::flex(), "flex")
}

fn main() {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(2);
        }
    };
    let (device, backend) = device();
    let mut rows = Map::new();
    let mut errors = Map::new();
    let about = format!("{backend} {:?}", device);
    // After each workload, so that a crash or a time limit leaves what was measured before.
    let save = |rows: &Map<String, Value>, errors: &Map<String, Value>| {
        let figures = json!({
            "peer": "burn", "form": backend, "version": "0.22.1", "device": about, "workloads": rows, "errors": errors,
        });
        let text = serde_json::to_string_pretty(&figures).expect("plain values");
        if let Err(error) = std::fs::write(&arguments.json, text + "\n") {
            eprintln!("{}: {error}", arguments.json.display());
            std::process::exit(1);
        }
    };
    save(&rows, &errors);
    let begun = Instant::now();
    if let Err(problem) = guarded(|| check::check(&device)) {
        errors.insert("check".into(), problem.into());
        save(&rows, &errors);
        std::process::exit(1);
    }
    eprintln!("burn {backend}: checked after {:.1} s", begun.elapsed().as_secs_f64());
    for (name, spec) in workloads::all() {
        if !arguments.workloads.is_empty() && !arguments.workloads.contains(&name) {
            continue;
        }
        eprintln!("burn {backend}: {name}");
        match guarded(|| Ok(measure(&device, &spec, &arguments))) {
            Ok(row) => rows.insert(name, row),
            Err(problem) => errors.insert(name, problem.into()),
        };
        save(&rows, &errors);
    }
}

/// Panics are how Burn reports what it cannot do.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned())
    })
}

/// About 1 / factor of (rows, steps): fewer steps first, then fewer rows.
fn reduced((rows, steps): (usize, usize), factor: usize) -> (usize, usize) {
    let fewer = (steps / factor).max(1);
    let left = (factor * fewer / steps).max(1);
    ((rows / left).max(1), fewer)
}

fn power(ratio: f64) -> usize {
    (ratio.max(1.0).ceil() as usize).next_power_of_two()
}

fn timed(device: &Device, work: &mut dyn FnMut(), times: usize) -> f64 {
    let begun = Instant::now();
    for _ in 0..times {
        work();
    }
    device.sync().expect("the device answers");
    begun.elapsed().as_secs_f64() / times as f64
}

fn measure(device: &Device, spec: &Spec, arguments: &Arguments) -> Value {
    let full = spec.size();
    let flops = spec.flops_per_step(full.0);
    let mut size = reduced(full, power(flops * full.1 as f64 / TRUSTED));
    let mut work = spec.build(device, size);
    // Compilation, tuning and first touches of memory, then one that counts.
    let begun = Instant::now();
    timed(device, &mut work, 3);
    let warm_up = begun.elapsed().as_secs_f64();
    let mut once = timed(device, &mut work, 1);
    let share = (full.0 * full.1) as f64 / (size.0 * size.1) as f64;
    let fitting = reduced(full, power(once * share / LONGEST));
    if fitting != size {
        size = fitting;
        work = spec.build(device, size);
        timed(device, &mut work, 3);
        once = timed(device, &mut work, 1);
    }
    let few = ((arguments.seconds / once) as usize).clamp(1, 10);
    let times = ((arguments.seconds / timed(device, &mut work, few)) as usize).clamp(1, 2000);
    let mut found: Vec<f64> =
        (0..arguments.repetitions).map(|_| 1e3 * timed(device, &mut work, times) / size.1 as f64).collect();
    found.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (found.len() - 1) as f64;
        let above = (place as usize + 1).min(found.len() - 1);
        found[place as usize] + place.fract() * (found[above] - found[place as usize])
    };
    let mut row = json!({
        "median_ms": quantile(0.5), "min_ms": quantile(0.0), "max_ms": quantile(1.0),
        "lower_quartile_ms": quantile(0.25), "upper_quartile_ms": quantile(0.75),
        "gflops": spec.flops_per_step(size.0) * 1e-6 / quantile(0.5),
        "steps_per_repetition": times * size.1, "warm_up_s": warm_up,
    });
    let rows_are = match spec.kind {
        Kind::Training { .. } => "contexts",
        Kind::Chains { .. } => "chains",
        Kind::Gemm { .. } => "rows",
        Kind::Contrast(diffusion::Contrast { support: 1, .. }) | Kind::Guided(_) => "samples",
        Kind::Contrast(_) => "states",
    };
    let scale: Vec<Value> = [(rows_are, size.0, full.0), ("steps", size.1, full.1)]
        .into_iter()
        .filter(|(_, measured, full)| measured != full)
        .map(|(of, measured, full)| json!({ "of": of, "measured": measured, "full": full }))
        .collect();
    if !scale.is_empty() {
        row["scale"] = scale.into();
    }
    row
}
