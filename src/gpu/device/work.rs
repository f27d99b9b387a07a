//! What is asked of a device: memory, writes and submits. Each fails on a lost device, which wgpu
//! itself passes over. And whether a host's encoder is of the device.

use super::counters::count;
use super::mark::LABEL;
use crate::Result;
use crate::gpu::Gpu;

impl Gpu {
    /// A buffer of at least 16 bytes, after a check against the device's limits.
    pub(crate) fn create_buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let operation = format!("buffer `{label}`");
        let granted = self.capabilities().limits.max_buffer_size;
        if bytes > granted {
            let hint = "use fewer rows, candidates or chains, or a device with larger limits";
            return Err(self.limit_error(&operation, "its size in bytes", bytes, granted, hint));
        }
        let size = bytes.max(16).next_multiple_of(4);
        count(&self.counting().buffers, 1);
        let buffer = self.scoped(&operation, || {
            self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })?;
        self.check_alive(&operation)?;
        Ok(buffer)
    }

    pub(crate) fn write_buffer(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        count(&self.counting().host_writes, 1);
        let operation = "write from the host";
        let Some(size) = wgpu::BufferSize::new(bytes.len() as u64) else {
            return self.check_health(operation);
        };
        let taken = self.scoped(operation, || {
            let view = self.queue().write_buffer_with(buffer, offset, size);
            view.map(|mut view| view.copy_from_slice(bytes)).is_some()
        })?;
        // Without an error only a lost device gives no room.
        if taken { Ok(()) } else { self.check_alive(operation) }
    }

    /// Hands a command buffer to the queue.
    pub(crate) fn submit(&self, label: &str, commands: wgpu::CommandBuffer) -> Result<wgpu::SubmissionIndex> {
        self.faults().submitted(label);
        count(&self.counting().submits, 1);
        if self.injected().at_submit() {
            self.device().destroy();
        }
        let submission = self.scoped(label, || self.queue().submit([commands]))?;
        self.check_taken(label, &submission)?;
        Ok(submission)
    }

    /// Fails if a pass is of an encoder of another instance's device.
    pub(in crate::gpu) fn check_pass(&self, operation: &str, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        self.mark().check(operation, pass)
    }

    /// As [`Gpu::check_pass`], for an encoder that gets no pass of ours.
    pub(in crate::gpu) fn check_encoder(
        &self,
        operation: &str,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<()> {
        let descriptor = wgpu::ComputePassDescriptor { label: Some(LABEL), timestamp_writes: None };
        self.check_pass(operation, &mut encoder.begin_compute_pass(&descriptor))
    }
}
