//! Figures as JSON and as a table.

use std::collections::BTreeMap;

use gibbs::Gpu;
use serde::Serialize;

use crate::curves::Curve;
use crate::measure::{DispatchTime, Spread, Timings};
use crate::roofline::Roofline;
use crate::start::Start;

/// Everything a run measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Version of this layout.
    pub format: u32,
    pub adapter: String,
    pub backend: String,
    pub driver: String,
    pub repetitions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roofline: Option<Roofline>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, Start>,
    pub workloads: BTreeMap<String, Row>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Curve>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
}

impl Figures {
    pub fn new(gpu: &Gpu, repetitions: u32) -> Self {
        let info = gpu.info();
        Self {
            format: 2,
            adapter: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            repetitions,
            roofline: None,
            starts: BTreeMap::new(),
            workloads: BTreeMap::new(),
            curves: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }
}

/// A part of a workload that was measured in its place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scale {
    /// What there are fewer of: `rows`, `contexts`, `chains` or `steps`.
    pub of: &'static str,
    pub measured: usize,
    pub full: usize,
}

/// The figures of a workload: per step, of what was measured, which is a part of it where `scale`
/// says so.
#[derive(Debug, Serialize)]
pub struct Row {
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub lower_quartile_ms: f64,
    pub upper_quartile_ms: f64,
    /// Nominal operations per second, in 10^9.
    pub gflops: f64,
    /// Bytes that the step's dispatches bind, per second, in 10^9.
    pub gbytes_per_s: f64,
    /// `gflops` by the measured peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_peak: Option<f64>,
    /// `gbytes_per_s` by the measured bandwidth of a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_copy: Option<f64>,
    /// The larger of both: how close the step comes to the limit that its operations and bytes set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_roofline: Option<f64>,
    pub dispatches_per_step: f64,
    pub host_us_per_step: f64,
    /// Time on the device per step by timestamps, where the adapter has them.
    pub gpu_ms: Option<f64>,
    pub steps_per_repetition: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<Scale>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dispatches: Vec<DispatchTime>,
}

/// What a step is made of.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Nominal operations.
    pub flops: f64,
    /// Nominal bytes.
    pub bytes: f64,
    pub dispatches: f64,
    /// Steps of a replay.
    pub per_replay: usize,
}

impl Row {
    pub fn new(timings: &Timings, step: &Step, roofline: Option<Roofline>, scale: Vec<Scale>) -> Self {
        let wall = Spread::of(&timings.wall_ms);
        let (gflops, gbytes) = (step.flops * 1e-6 / wall.median, step.bytes * 1e-6 / wall.median);
        let share_of_peak = roofline.map(|roofline| gflops / roofline.gflops);
        let share_of_copy = roofline.map(|roofline| gbytes / roofline.gbytes_per_s);
        let share_of_roofline = share_of_peak.zip(share_of_copy).map(|(peak, copy)| peak.max(copy));
        let device = (!timings.gpu_ms.is_empty()).then(|| Spread::of(&timings.gpu_ms).median);
        Self {
            median_ms: wall.median,
            min_ms: wall.min,
            max_ms: wall.max,
            lower_quartile_ms: wall.lower_quartile,
            upper_quartile_ms: wall.upper_quartile,
            gflops,
            gbytes_per_s: gbytes,
            share_of_peak,
            share_of_copy,
            share_of_roofline,
            dispatches_per_step: step.dispatches,
            host_us_per_step: Spread::of(&timings.host_us).median,
            gpu_ms: device,
            steps_per_repetition: timings.replays * step.per_replay as u64,
            scale,
            dispatches: Vec::new(),
        }
    }
}

/// The heading of the table.
pub fn heading() -> String {
    format!(
        "{:<27} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8} {:>6} {:>8} {:>6} {:>6} {:>9}",
        "workload",
        "median ms",
        "min ms",
        "max ms",
        "IQR",
        "GPU ms",
        "GFLOP/s",
        "peak",
        "GB/s",
        "copy",
        "disp.",
        "host us"
    )
}

/// A line of the table.
pub fn line(name: &str, row: &Row) -> String {
    let ms = |value: f64| match value {
        value if value < 100.0 => format!("{value:.3}"),
        value => format!("{value:.1}"),
    };
    let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.0} %", 100.0 * share));
    let spread = (row.upper_quartile_ms - row.lower_quartile_ms) / row.median_ms;
    let mut line = format!(
        "{name:<27} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8.2} {:>6} {:>8.2} {:>6} {:>6} {:>9.1}",
        ms(row.median_ms),
        ms(row.min_ms),
        ms(row.max_ms),
        share(Some(spread)),
        row.gpu_ms.map_or("-".into(), ms),
        row.gflops,
        share(row.share_of_peak),
        row.gbytes_per_s,
        share(row.share_of_copy),
        format!("{:.1}", row.dispatches_per_step).trim_end_matches(".0"),
        row.host_us_per_step
    );
    for scale in &row.scale {
        line += &format!("  [{} of {} {}]", scale.measured, scale.full, scale.of);
    }
    line
}

/// A line for each dispatch with its share of their sum.
pub fn dispatches(dispatches: &[DispatchTime]) -> String {
    let sum: f64 = dispatches.iter().map(|dispatch| dispatch.median_ms).sum();
    let line = |dispatch: &DispatchTime| {
        let DispatchTime { label, kernel, workgroups: [x, y, z], median_ms } = dispatch;
        let share = 100.0 * median_ms / sum;
        format!("  {median_ms:>9.3} ms {share:>3.0} %  {label} ({kernel}, {x} x {y} x {z} workgroups)\n")
    };
    dispatches.iter().map(line).collect()
}
