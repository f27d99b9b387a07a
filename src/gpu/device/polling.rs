//! Waiting for a device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::gpu::{Gpu, words_of};
use crate::{Error, Result};

/// Looks at the queue before a poll that others keep disturbing counts as too long.
const MAX_RACES: u32 = 1000;

impl Gpu {
    /// Polls the device. A lost one makes wgpu panic here; that is a loss like any other.
    ///
    /// wgpu 30 also panics where another thread takes note of finished work between two looks of
    /// this one at the queue. Nothing is lost then, and the next look sees the same as that thread.
    pub(crate) fn poll(&self, poll: wgpu::PollType) -> Result<wgpu::PollStatus, wgpu::PollError> {
        for _ in 0..MAX_RACES {
            let polled = catch_unwind(AssertUnwindSafe(|| self.device().poll(poll.clone())));
            match polled.map_err(|panic| words_of(&*panic).to_owned()) {
                Ok(status) => return status,
                Err(words) if words.contains("If the queue is empty") => {
                    log::debug!("two threads polled at a time: {words}");
                    std::thread::yield_now();
                }
                Err(words) => {
                    self.faults().infer_lost(format!("wgpu panicked while polling: {words}"));
                    return Ok(wgpu::PollStatus::QueueEmpty);
                }
            }
        }
        Err(wgpu::PollError::Timeout)
    }

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Timeout`] after [`Gpu::timeout`], [`Error::DeviceLost`].
    pub fn wait(&self) -> Result<()> {
        let operation = "wait for submitted work";
        if self.home().own {
            return self.wait_for(operation, None, self.timeout());
        }
        // A lost device takes no work and says nothing; without a callback of ours only the number
        // of a refused submission shows it.
        let last = self.scoped(operation, || self.queue().submit([]))?;
        self.wait_for(operation, Some(last), self.timeout())
    }

    /// Whether a submission has ended; does not wait.
    pub(crate) fn is_done(&self, submission: &wgpu::SubmissionIndex) -> bool {
        let submission_index = Some(submission.clone());
        self.poll(wgpu::PollType::Wait { submission_index, timeout: Some(Duration::ZERO) }).is_ok()
    }

    pub(crate) fn wait_for(
        &self,
        operation: &str,
        submission: Option<wgpu::SubmissionIndex>,
        timeout: Duration,
    ) -> Result<()> {
        self.check_health(operation)?;
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: Some(timeout) };
        match self.poll(poll) {
            Ok(_) => self.check_health(operation),
            Err(wgpu::PollError::Timeout) => {
                self.check_health(operation)?;
                Err(Error::Timeout {
                    operation: operation.into(),
                    seconds: timeout.as_secs_f64(),
                    adapter: self.info().name.clone(),
                    last: self.faults().last(),
                })
            }
            Err(wgpu::PollError::WrongSubmissionIndex(..)) => {
                // Only a lost device refuses what passed validation. Our own callback, if there is
                // one, runs in a poll.
                let _ = self.poll(wgpu::PollType::Poll);
                self.faults().infer_lost("the device takes no more work");
                self.check_health(operation)
            }
        }
    }
}
