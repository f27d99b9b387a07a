//! Counters of what the host did: the proof that a step runs on the device.

use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of a context's counters. Subtract two to see what happened in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes from the host into device buffers.
    pub host_writes: u64,
    /// Readbacks that made the calling thread wait.
    pub blocking_readbacks: u64,
    /// Readbacks that were picked up later.
    pub async_readbacks: u64,
    /// Command buffers handed to the queue.
    pub submits: u64,
    /// Dispatches encoded.
    pub dispatches: u64,
    /// Waits for submitted work that keep the queue short; nothing is read.
    pub throttle_waits: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Buffers made.
    pub buffers: u64,
    /// Pipelines built.
    pub pipelines: u64,
}

impl std::ops::Sub for Counters {
    type Output = Counters;
    fn sub(self, earlier: Counters) -> Counters {
        Counters {
            host_writes: self.host_writes - earlier.host_writes,
            blocking_readbacks: self.blocking_readbacks - earlier.blocking_readbacks,
            async_readbacks: self.async_readbacks - earlier.async_readbacks,
            submits: self.submits - earlier.submits,
            dispatches: self.dispatches - earlier.dispatches,
            throttle_waits: self.throttle_waits - earlier.throttle_waits,
            bind_groups: self.bind_groups - earlier.bind_groups,
            buffers: self.buffers - earlier.buffers,
            pipelines: self.pipelines - earlier.pipelines,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct AtomicCounters {
    pub host_writes: AtomicU64,
    pub blocking_readbacks: AtomicU64,
    pub async_readbacks: AtomicU64,
    pub submits: AtomicU64,
    pub dispatches: AtomicU64,
    pub throttle_waits: AtomicU64,
    pub bind_groups: AtomicU64,
    pub buffers: AtomicU64,
    pub pipelines: AtomicU64,
}

impl AtomicCounters {
    pub(crate) fn snapshot(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            host_writes: read(&self.host_writes),
            blocking_readbacks: read(&self.blocking_readbacks),
            async_readbacks: read(&self.async_readbacks),
            submits: read(&self.submits),
            dispatches: read(&self.dispatches),
            throttle_waits: read(&self.throttle_waits),
            bind_groups: read(&self.bind_groups),
            buffers: read(&self.buffers),
            pipelines: read(&self.pipelines),
        }
    }
}

/// Adds to one of the counters.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
