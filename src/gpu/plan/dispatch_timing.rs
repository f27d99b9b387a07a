//! What each dispatch of a plan takes, in its place among the others.

use std::time::{Duration, Instant};

use super::replay::Plan;
use crate::Result;
use crate::gpu::record::bindings::Bindings;

/// What one dispatch of a plan took.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DispatchTiming {
    /// The operation's label.
    pub label: String,
    /// The kernel and its variant.
    pub kernel: String,
    /// Workgroups along the three axes.
    pub workgroups: [u32; 3],
    /// Wall time of each replay, from submitting the dispatch to its completion. The cost of a
    /// submit, which [`Plan::run_timed`] shares among all dispatches, is in it.
    pub walls: Vec<Duration>,
}

impl Plan {
    /// Replays the plan `times` times, each dispatch submitted alone and waited for. What the
    /// dispatches compute is what [`Plan::run`] computes, and each finds the caches as the one
    /// before it left them. For measuring.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run_dispatches_timed(&self, times: u64) -> Result<Vec<DispatchTiming>> {
        let groups = self.groups_for(&Bindings::new())?;
        let mut timings: Vec<DispatchTiming> = self
            .steps
            .iter()
            .map(|step| DispatchTiming {
                label: step.label.clone(),
                kernel: step.kernel.clone(),
                workgroups: step.grid,
                walls: Vec::new(),
            })
            .collect();
        for _ in 0..times {
            for (at, timing) in timings.iter_mut().enumerate() {
                let mut encoder = self.encoder();
                self.encode_pass(&mut encoder, &groups, at as u64..at as u64 + 1, None)?;
                let commands = self.finish(encoder)?;
                let begun = Instant::now();
                let submission = self.gpu.submit(&self.label, commands)?;
                self.gpu.wait_for(&self.label, Some(submission), self.gpu.timeout())?;
                timing.walls.push(begun.elapsed());
            }
        }
        Ok(timings)
    }
}
