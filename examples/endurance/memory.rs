//! Memory of process and device over a run.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use gibbs::Gpu;
use gibbs::train::{Observer, StepRecord, Trainer};

use super::common::arguments::Outcome;
use super::common::files::{failed, make_folder_of};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Length of the run.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Seconds between samples.
    #[arg(long, default_value_t = 5.0)]
    every: f64,
    /// File for the samples, comma-separated.
    #[arg(long, default_value = "out/memory.csv")]
    csv: PathBuf,
    /// Largest slope of the process's or the device's memory that passes, in bytes per 1000 steps.
    #[arg(long, default_value_t = 4096.0)]
    most: f64,
}

/// One look at the memory in use. What a system does not tell is absent.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    step: u64,
    /// Resident memory of the process, in bytes.
    resident: Option<u64>,
    /// Device memory in use, and taken from the driver, in bytes.
    device: Option<(u64, u64)>,
    /// Pieces of device memory.
    pieces: Option<usize>,
    /// Buffers made since the device was opened.
    buffers: u64,
}

impl Sample {
    fn take(gpu: &Gpu, begun: Instant, step: u64) -> Self {
        let report = gpu.device().generate_allocator_report();
        Self {
            seconds: begun.elapsed().as_secs_f64(),
            step,
            resident: resident(),
            device: report.as_ref().map(|report| (report.total_allocated_bytes, report.total_reserved_bytes)),
            pieces: report.map(|report| report.allocations.len()),
            buffers: gpu.counters().buffers,
        }
    }

    fn line(&self) -> String {
        fn cell(value: Option<impl ToString>) -> String {
            value.map_or(String::new(), |value| value.to_string())
        }
        format!(
            "{:.1},{},{},{},{},{},{}",
            self.seconds,
            self.step,
            cell(self.resident),
            cell(self.device.map(|(used, _)| used)),
            cell(self.device.map(|(_, reserved)| reserved)),
            cell(self.pieces),
            self.buffers
        )
    }
}

/// Resident memory of this process, as Linux tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// Counts records and forgets them.
struct Counter(u64);

impl Observer for Counter {
    fn records(&mut self, records: &[StepRecord]) {
        self.0 += records.len() as u64;
    }
}

/// Least squares: change per 1000 steps of what `value` picks, over samples that have it.
fn slope(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        samples.iter().filter_map(|sample| Some((sample.step as f64 / 1000.0, value(sample)?))).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    (points.len() > 2 && spread > 0.0).then(|| together / spread)
}

pub fn run(gpu: &Gpu, arguments: &Arguments) -> Outcome {
    let mut trainer = Trainer::new(gpu, &super::data()?, super::options(vec![64, 64], 32, 15))?;
    make_folder_of(&arguments.csv)?;
    let mut file = std::fs::File::create(&arguments.csv).map_err(failed("create", &arguments.csv))?;
    let header = "seconds,step,resident,device_used,device_reserved,device_pieces,buffers_made";
    writeln!(file, "{header}").map_err(failed("write", &arguments.csv))?;
    println!("{header}");
    let mut counter = Counter(0);
    let mut samples: Vec<Sample> = Vec::new();
    let begun = Instant::now();
    let length = Duration::from_secs(arguments.seconds);
    let mut due = 0.0;
    let mut chunk = 16;
    while begun.elapsed() < length && trainer.step() < trainer.options().steps {
        let from = begun.elapsed();
        trainer.train(trainer.step() + chunk, u64::MAX, &mut counter)?;
        // A call for about a quarter of a second.
        let took = (begun.elapsed() - from).as_secs_f64();
        chunk = ((0.25 * chunk as f64 / took.max(1e-6)) as u64).clamp(16, 100_000);
        if begun.elapsed().as_secs_f64() >= due {
            let sample = Sample::take(gpu, begun, trainer.step());
            writeln!(file, "{}", sample.line()).map_err(failed("write", &arguments.csv))?;
            println!("{}", sample.line());
            samples.push(sample);
            due = begun.elapsed().as_secs_f64() + arguments.every;
        }
    }
    if counter.0 != trainer.step() {
        return Err(format!("{} records of {} steps", counter.0, trainer.step()).into());
    }
    // The first tenth pays for first touches of memory.
    let settled = &samples[samples.len() / 10..];
    let show = |what: &str, slope: Option<f64>| match slope {
        Some(slope) => println!("{what}: {slope:+.1} per 1000 steps"),
        None => println!("{what}: not told on this system, or too few samples"),
    };
    let host = slope(settled, |s| s.resident.map(|bytes| bytes as f64));
    show("resident bytes", host);
    let device = slope(settled, |s| s.device.map(|(used, _)| used as f64));
    show("device bytes in use", device);
    show("device bytes reserved", slope(settled, |s| s.device.map(|(_, reserved)| reserved as f64)));
    let buffers = slope(settled, |s| Some(s.buffers as f64));
    show("buffers made", buffers);
    println!("{} steps, {} samples in {}", trainer.step(), samples.len(), arguments.csv.display());
    if host.is_none() && device.is_none() {
        return Err(
            "neither the process's memory nor the device's could be measured; take a longer run".into()
        );
    }
    if let Some(slope) = buffers.filter(|slope| *slope > 0.0) {
        return Err(format!("{slope:.1} buffers are made per 1000 steps").into());
    }
    match [host, device].into_iter().flatten().find(|slope| *slope > arguments.most) {
        Some(slope) => Err(format!("memory grows by {slope:.0} bytes per 1000 steps").into()),
        None => Ok(()),
    }
}
