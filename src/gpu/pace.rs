//! How many replays fit a submit: chunks far below any watchdog, long enough to hide the cost of submitting.

use std::collections::VecDeque;
use std::time::Instant;

use super::Gpu;
use super::counters::count;
use crate::Result;

/// Length of a chunk in seconds.
const CHUNK_SECONDS: f64 = 0.1;
/// Submits that may be under way before the host waits for the oldest.
const OUTSTANDING: usize = 3;
/// Most replays of one chunk.
const MAX_REPLAYS: u64 = 4096;

/// What is known about the time of one replay, and the submits still under way.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seconds_per_replay: Option<f64>,
    outstanding: VecDeque<Chunk>,
    last_end: Option<Instant>,
}

#[derive(Debug)]
struct Chunk {
    submission: wgpu::SubmissionIndex,
    begun: Instant,
    replays: u64,
}

impl Pace {
    /// Notes a chunk that was just submitted.
    pub(super) fn submitted(&mut self, submission: wgpu::SubmissionIndex, begun: Instant, replays: u64) {
        self.outstanding.push_back(Chunk { submission, begun, replays });
    }

    /// Replays of the next chunk; waits for the oldest chunk while too many are under way. The first chunk is a single
    /// replay that is waited for, so that the pace is known before anything long is submitted.
    pub(super) fn next_chunk(&mut self, gpu: &Gpu, label: &str) -> Result<u64> {
        let unknown = self.seconds_per_replay.is_none();
        while self.outstanding.len() >= OUTSTANDING || (unknown && !self.outstanding.is_empty()) {
            let Some(chunk) = self.outstanding.pop_front() else { break };
            count(&gpu.counting().throttle_waits, 1);
            gpu.wait_for(label, Some(chunk.submission), gpu.timeout())?;
            // The chunk began when it was submitted or when the one before it ended.
            let begun = self.last_end.map_or(chunk.begun, |end| end.max(chunk.begun));
            let seconds = begun.elapsed().as_secs_f64() / chunk.replays as f64;
            self.last_end = Some(Instant::now());
            self.seconds_per_replay = Some(match self.seconds_per_replay {
                None => seconds,
                Some(known) => 0.5 * (known + seconds),
            });
        }
        Ok(match self.seconds_per_replay {
            None => 1,
            Some(seconds) => ((CHUNK_SECONDS / seconds.max(1e-7)) as u64).clamp(1, MAX_REPLAYS),
        })
    }
}
