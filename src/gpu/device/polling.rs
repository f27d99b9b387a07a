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

    /// Fails if the device is lost. wgpu makes nothing on a lost device and says nothing of it;
    /// only a submission that is refused shows it. Submits nothing but that, and so is not for what
    /// a host does per frame.
    pub(crate) fn check_alive(&self, operation: &str) -> Result<()> {
        self.check_health(operation)?;
        let last = catch_unwind(AssertUnwindSafe(|| self.queue().submit([])));
        match last {
            Ok(last) => self.check_taken(operation, &last),
            Err(panic) => Err(self.device_error(operation, format!("wgpu panicked: {}", words_of(&*panic)))),
        }
    }

    /// Fails if a submission was refused because the device is lost; does not wait.
    pub(crate) fn check_taken(&self, operation: &str, submission: &wgpu::SubmissionIndex) -> Result<()> {
        let submission_index = Some(submission.clone());
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(Duration::ZERO) };
        if let Err(wgpu::PollError::WrongSubmissionIndex(..)) = self.poll(poll) {
            self.faults().infer_lost("the device takes no more work");
        }
        self.check_health(operation)
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
