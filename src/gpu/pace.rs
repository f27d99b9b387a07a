//! How much work fits a submit: chunks far below any watchdog, long enough to hide the cost of submitting.

use std::collections::VecDeque;
use std::time::Instant;

use super::Gpu;
use super::counters::count;
use crate::Result;

/// Length of a chunk in seconds. Drivers reset a device after as little as 2 s in one submit.
const CHUNK_SECONDS: f64 = 0.1;
/// Submits that may be under way before the host waits for the oldest.
const OUTSTANDING: usize = 3;
/// Rates that the slowest supported device exceeds: the first chunk is planned with them.
const SLOW_FLOPS: f64 = 4e9;
const SLOW_BYTES: f64 = 4e9;
/// Cost of a dispatch that does nothing.
const DISPATCH_SECONDS: f64 = 1e-5;

/// Seconds that a dispatch takes on a slow device.
pub(super) fn estimate(flops: u64, bytes: u64) -> f64 {
    DISPATCH_SECONDS + flops as f64 / SLOW_FLOPS + bytes as f64 / SLOW_BYTES
}

/// How fast the device is against the estimate, and the submits still under way.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Measured over estimated seconds.
    scale: Option<f64>,
    outstanding: VecDeque<Chunk>,
    last_end: Option<Instant>,
}

#[derive(Debug)]
struct Chunk {
    submission: wgpu::SubmissionIndex,
    begun: Instant,
    estimate: f64,
}

impl Pace {
    /// Notes a chunk that was just submitted.
    pub(super) fn submitted(&mut self, submission: wgpu::SubmissionIndex, begun: Instant, estimate: f64) {
        self.outstanding.push_back(Chunk { submission, begun, estimate });
    }

    /// Whether the speed of the device is known from a chunk that ended.
    pub(super) fn is_known(&self) -> bool {
        self.scale.is_some()
    }

    /// Estimated seconds that the next chunk may hold; waits for the oldest chunk while too many are under way. The first
    /// chunk is waited for, so that the speed is known before anything long is queued.
    pub(super) fn budget(&mut self, gpu: &Gpu, label: &str) -> Result<f64> {
        let unknown = self.scale.is_none();
        let mut queued_behind = false;
        while self.outstanding.len() >= OUTSTANDING || (unknown && !self.outstanding.is_empty()) {
            let Some(chunk) = self.outstanding.pop_front() else { break };
            count(&gpu.counting().throttle_waits, 1);
            let over = gpu.is_done(&chunk.submission);
            gpu.wait_for(label, Some(chunk.submission), gpu.timeout())?;
            // A chunk begins when it is submitted or when the one before it ends.
            let begun = self.last_end.map_or(chunk.begun, |end| end.max(chunk.begun));
            let measured = begun.elapsed().as_secs_f64() / chunk.estimate;
            self.last_end = Some(Instant::now());
            self.scale = match (self.scale, over) {
                (None, _) => Some(measured),
                (Some(known), false) => Some(0.5 * (known + measured)),
                // It ended some time ago: what elapsed since is only an upper bound, and none if it ended
                // together with the one before it.
                (Some(known), true) if queued_behind => Some(known),
                (Some(known), true) => Some(known.min(measured)),
            };
            queued_behind = true;
        }
        Ok(CHUNK_SECONDS / self.scale.unwrap_or(1.0).max(1e-6))
    }
}
