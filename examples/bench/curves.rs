//! How the cost of a training step grows with its negatives and its batch.

use gibbs::Gpu;
use serde::Serialize;

use crate::Failure;
use crate::common::progress::Progress;
use crate::measure::{Budget, Spread, one_replay, repeat};
use crate::workloads::{Description, Size, small};

/// A curve: `rnce-small` in growing sizes, until it no longer fits the device or the time.
#[derive(Debug, Serialize)]
pub struct Curve {
    pub workload: &'static str,
    pub points: Vec<Point>,
    /// Why it ends before its last point; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A point of a curve.
#[derive(Debug, Serialize)]
pub struct Point {
    pub contexts: usize,
    pub negatives: usize,
    /// Candidates of the step: contexts x (negatives + 1).
    pub rows: usize,
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub gflops: f64,
}

/// The curves by name: numbers of contexts and negatives.
pub fn list() -> [(&'static str, Vec<(usize, usize)>); 2] {
    let negatives = (1..=10).map(|power| (128, (1 << power) - 1)).collect();
    let batch = (6..=16).map(|power| (1 << power, 63)).collect();
    [("negatives", negatives), ("batch", batch)]
}

/// Measures a curve. A point that takes more than `limit_s` per step, by what the one before took,
/// ends it, and so does one that the device refuses: those are findings, not errors.
pub fn measure(
    gpu: &Gpu,
    sizes: &[(usize, usize)],
    budget: &Budget,
    limit_s: f64,
    progress: &Progress,
) -> Curve {
    let mut curve = Curve { workload: "rnce-small", points: Vec::new(), stopped: None };
    for &(contexts, negatives) in sizes {
        let rows = contexts * (negatives + 1);
        if let Some(last) = curve.points.last() {
            let predicted = 1e-3 * last.median_ms * rows as f64 / last.rows as f64;
            if predicted > limit_s {
                let what = format!("{contexts} contexts with {negatives} negatives");
                curve.stopped = Some(format!("{what}: some {predicted:.1} s per step, over {limit_s:.1} s"));
                break;
            }
        }
        progress.say(&format!("  {contexts} contexts, {negatives} negatives"));
        match point(gpu, contexts, negatives, budget, limit_s) {
            Ok(point) => curve.points.push(point),
            Err(error) => {
                curve.stopped = Some(format!("{contexts} contexts with {negatives} negatives: {error}"));
                break;
            }
        }
    }
    curve
}

fn point(
    gpu: &Gpu,
    contexts: usize,
    negatives: usize,
    budget: &Budget,
    limit_s: f64,
) -> Result<Point, Failure> {
    let description: Description = small(contexts, negatives);
    let size = Size { rows: contexts, steps: 1 };
    let workload = description.build(gpu, size)?;
    let once = one_replay(workload.plan())?;
    if once > 2.0 * limit_s {
        return Err(format!("{once:.1} s per step, over {limit_s:.1} s").into());
    }
    let timings = repeat(workload.plan(), 1, budget)?;
    workload.check(gpu)?;
    let wall = Spread::of(&timings.wall_ms);
    Ok(Point {
        contexts,
        negatives,
        rows: contexts * (negatives + 1),
        median_ms: wall.median,
        min_ms: wall.min,
        max_ms: wall.max,
        gflops: description.flops_per_step(size)? * 1e-6 / wall.median,
    })
}
