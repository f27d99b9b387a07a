//! Where a run of training stands: what all training loops share.

use std::time::Instant;

use crate::gpu::run::metrics::CAPACITY;
use crate::gpu::{MetricsRing, MetricsRow, Plan};
use crate::{Error, Result};

/// The metrics of a run, its step and its clock.
#[derive(Debug)]
pub(super) struct Progress {
    pub ring: MetricsRing,
    /// Steps submitted so far.
    pub step: u64,
    clock: Option<(Instant, u64)>,
}

impl Progress {
    pub fn new(ring: MetricsRing, step: u64) -> Self {
        Self { ring, step, clock: None }
    }

    /// Submits a few chunks of a plan, at most up to the step `stop`, and returns the metrics that
    /// have arrived: a few at a time, so that they do while training goes on.
    pub fn submit(&mut self, plan: &Plan, stop: u64) -> Result<Vec<MetricsRow>> {
        let from = self.step;
        self.clock.get_or_insert_with(|| (Instant::now(), from));
        let times = stop.saturating_sub(from).min(plan.replays_per_chunk()?.saturating_mul(2));
        let ring = &mut self.ring;
        let mut submitted = 0;
        let outcome = plan.run_chunked(times, CAPACITY as u64 / 4, |encoder, ended| {
            submitted += ended;
            if ended == 0 { Ok(()) } else { ring.encode_copy(encoder) }
        });
        // What went out before an error runs all the same.
        self.step += submitted;
        outcome?;
        self.ring.collect(false)
    }

    /// The step that went bad.
    pub fn bad_step(&self) -> Result<u64> {
        match self.ring.check_latch() {
            Err(Error::NonFinite { step, .. }) => Ok(step),
            Err(other) => Err(other),
            Ok(()) => {
                Err(Error::argument("save the last good weights", "the run", "has no bad step; use `save`"))
            }
        }
    }

    /// Leaves the time since `begun` out of the clock.
    pub fn leave_out(&mut self, begun: Instant) {
        if let Some((start, _)) = &mut self.clock {
            *start += begun.elapsed();
        }
    }

    /// Steps per second since training began or went on, as of the end of `step`.
    pub fn steps_per_second(&self, step: u64) -> f64 {
        self.clock.map_or(0.0, |(begun, from)| {
            (step + 1).saturating_sub(from) as f64 / begun.elapsed().as_secs_f64().max(1e-9)
        })
    }
}
