//! Repetitions and their spread.

use std::time::Duration;

use gibbs::Result;
use gibbs::gpu::Plan;
use serde::Serialize;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Repetitions.
    pub repetitions: u32,
    /// About how long one takes.
    pub repetition: Duration,
}

/// Most replays of one repetition: they are one submit.
const MAX_REPLAYS: u64 = 2000;

/// What repetitions took, per step.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub wall_ms: Vec<f64>,
    pub host_us: Vec<f64>,
    /// By timestamps; empty where the adapter has none.
    pub gpu_ms: Vec<f64>,
    /// Replays of the plan in a repetition.
    pub replays: u64,
}

/// The median of some values and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// A quarter of the values lies below.
    pub lower_quartile: f64,
    /// A quarter of the values lies above.
    pub upper_quartile: f64,
}

impl Spread {
    /// Of at least one value; quantiles between two values are interpolated.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, part) = (place as usize, place.fract());
            let above = (below + 1).min(sorted.len() - 1);
            (1.0 - part) * sorted[below] + part * sorted[above]
        };
        Self {
            median: at(0.5),
            min: at(0.0),
            max: at(1.0),
            lower_quartile: at(0.25),
            upper_quartile: at(0.75),
        }
    }
}

/// Seconds of one warm replay: the first pays for first touches of memory, the second is timed.
pub fn one_replay(plan: &Plan) -> Result<f64> {
    plan.run(1)?;
    Ok(plan.run_timed(1)?.wall.as_secs_f64())
}

/// Repeats a plan of `steps` steps: a warm-up, which also sets the number of replays, then the
/// repetitions.
pub fn repeat(plan: &Plan, steps: usize, budget: &Budget) -> Result<Timings> {
    let once = one_replay(plan)?;
    let replays = |once: f64| {
        let wanted = budget.repetition.as_secs_f64() / once.max(1e-7);
        (wanted as u64).clamp(1, MAX_REPLAYS)
    };
    // One replay and its submit may take several times what a replay among many does.
    let few = replays(once).min(50);
    let replays = replays(plan.run_timed(few)?.wall.as_secs_f64() / few as f64);
    let mut timings = Timings { replays, ..Timings::default() };
    for _ in 0..budget.repetitions {
        let timing = plan.run_timed(replays)?;
        let per_step = |time: Duration| time.as_secs_f64() / (replays as f64 * steps as f64);
        timings.wall_ms.push(1e3 * per_step(timing.wall));
        timings.host_us.push(1e6 * per_step(timing.host));
        timings.gpu_ms.extend(timing.gpu.map(|time| 1e3 * per_step(time)));
    }
    Ok(timings)
}

/// What one dispatch of a replay takes.
#[derive(Clone, Debug, Serialize)]
pub struct DispatchTime {
    pub label: String,
    pub kernel: String,
    pub workgroups: [u32; 3],
    pub median_ms: f64,
}

/// The dispatches of a replay, each submitted alone.
pub fn single_dispatches(plan: &Plan, budget: &Budget) -> Result<Vec<DispatchTime>> {
    let timings = plan.run_dispatches_timed(budget.repetitions.into())?;
    let of_dispatch = |timing: gibbs::gpu::DispatchTiming| {
        let ms: Vec<f64> = timing.walls.iter().map(|wall| 1e3 * wall.as_secs_f64()).collect();
        let (label, kernel, workgroups) = (timing.label, timing.kernel, timing.workgroups);
        DispatchTime { label, kernel, workgroups, median_ms: Spread::of(&ms).median }
    };
    Ok(timings.into_iter().map(of_dispatch).collect())
}
