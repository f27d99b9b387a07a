//! How much work fits a submit: chunks far below any watchdog, long enough to hide the cost of
//! submitting.

use std::collections::VecDeque;
use std::time::Instant;

use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::device::counters::count;

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
pub(in crate::gpu) fn estimate(flops: u64, bytes: u64) -> f64 {
    DISPATCH_SECONDS + flops as f64 / SLOW_FLOPS + bytes as f64 / SLOW_BYTES
}

/// How fast the device is against the estimate, and the submits still under way.
#[derive(Debug, Default)]
pub(in crate::gpu) struct Throttle {
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

impl Throttle {
    /// Notes a chunk that was just submitted.
    pub(in crate::gpu) fn submitted(
        &mut self,
        submission: wgpu::SubmissionIndex,
        begun: Instant,
        estimate: f64,
    ) {
        self.outstanding.push_back(Chunk { submission, begun, estimate });
    }

    /// Whether the speed of the device is known from a chunk that ended.
    pub(in crate::gpu) fn is_known(&self) -> bool {
        self.scale.is_some()
    }

    /// Estimated seconds that the next chunk may hold; waits for the oldest chunk while too many
    /// are under way. The first chunk is waited for, so that the speed is known before anything
    /// long is queued.
    pub(in crate::gpu) fn budget(&mut self, gpu: &Gpu, label: &str) -> Result<f64> {
        let unknown = self.scale.is_none();
        while self.outstanding.len() >= OUTSTANDING || (unknown && !self.outstanding.is_empty()) {
            let Some(chunk) = self.outstanding.pop_front() else { break };
            count(&gpu.counting().throttle_waits, 1);
            let over = gpu.is_done(&chunk.submission);
            gpu.wait_for(label, Some(chunk.submission), gpu.timeout())?;
            self.ended(chunk.begun, chunk.estimate, over, Instant::now());
        }
        Ok(CHUNK_SECONDS / self.scale.unwrap_or(1.0).max(1e-6))
    }

    /// Learns from a chunk that was submitted at `begun` and was over by `now`; `over`: it had
    /// ended some time before.
    ///
    /// A chunk must never seem shorter than it was, or the next ones grow past every time limit.
    /// When its end was seen, it began when it was submitted or, if that was seen too, when the one
    /// before it ended. Otherwise the time since its submission is all that is known: an upper
    /// bound.
    fn ended(&mut self, begun: Instant, estimate: f64, over: bool, now: Instant) {
        let start = if over { begun } else { self.last_end.map_or(begun, |end| end.max(begun)) };
        let measured = now.duration_since(start).as_secs_f64() / estimate;
        self.last_end = (!over).then_some(now);
        self.scale = Some(match self.scale {
            None => measured,
            Some(known) if over => known.min(measured),
            Some(known) => 0.5 * (known + measured),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Chunks of one second each, estimated right, of which the host sees the ends late.
    #[test]
    fn a_host_that_sleeps_does_not_take_the_device_for_fast() {
        let begun = Instant::now();
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        let mut pace = Throttle::default();
        pace.ended(at(0.0), 1.0, false, at(1.0));
        assert_eq!(pace.scale, Some(1.0));
        // Three were queued at second 1 and are over when the host wakes up.
        for (order, submitted) in [1.0, 1.01, 1.02].into_iter().enumerate() {
            pace.ended(at(submitted), 1.0, true, at(30.0 + 1e-3 * order as f64));
        }
        assert_eq!(pace.scale, Some(1.0));
        // One ended while the host slept, the next is just ending.
        pace.ended(at(40.0), 1.0, true, at(50.0));
        pace.ended(at(49.5), 1.0, false, at(50.5));
        assert_eq!(pace.scale, Some(1.0));
        // The host sleeps when it is to see an end; the next chunk is long over when it wakes up,
        // not run in a millisecond.
        pace.ended(at(51.0), 1.0, false, at(52.0));
        pace.ended(at(52.0), 1.0, false, at(56.0));
        pace.ended(at(52.1), 1.0, true, at(56.001));
        assert_eq!(pace.scale, Some(2.5));
        pace.scale = Some(1.0);
        // A device that really is faster is noticed at once.
        pace.ended(at(60.0), 1.0, true, at(60.25));
        assert_eq!(pace.scale, Some(0.25));
    }
}
