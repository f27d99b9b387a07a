//! The metrics ring and the non-finite latch (`shaders/gpu/run/metrics.wgsl`).
//!
//! Kernels write the means of losses and the like into a ring on the device, stamped with the step.
//! The host copies the ring out at the end of a chunk and picks the rows up later, without waiting.
//! A value that is NaN or infinite latches its step: optimizers stop at once, the last good weights
//! survive, and the error names the step.

use std::collections::VecDeque;

use crate::gpu::{
    Bindings, DType, Gpu, KernelSource, Readback, Recording, RunState, Tensor, Value, embedded_kernel,
};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/metrics.wgsl");

/// Steps the ring remembers: the longest chunk between two copies.
pub const CAPACITY: usize = 1024;

crate::gpu::shared_struct! {
    /// The numbers in front of a row of the ring: step + 1, or 0 where nothing was written yet.
    pub struct RingHeader in "lib/ring.wgsl" {
        /// Its low half.
        stamp_low: u32,
        /// Its high half.
        stamp_high: u32,
    }
}

crate::gpu::shared_struct! {
    /// The latch of the first step that went bad.
    pub struct Latch in "lib/latch.wgsl" {
        /// 1 once a step went bad.
        is_set: u32,
        /// The step's low half.
        step_low: u32,
        /// The step's high half.
        step_high: u32,
        /// The slot of the metric that went bad.
        slot: u32,
    }
}

pub(in crate::gpu) fn shared_structs() -> Vec<crate::gpu::StructLayout> {
    vec![RingHeader::layout(), Latch::layout()]
}

/// One step's metrics, in the order of [`MetricsRing::names`].
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsRow {
    /// The step, counted from 0.
    pub step: u64,
    /// The values.
    pub values: Vec<f32>,
}

/// Metrics of a run: a ring on the device, its latch, and the copies under way.
#[derive(Debug)]
pub struct MetricsRing {
    gpu: Gpu,
    names: Vec<String>,
    ring: Tensor,
    latch: Tensor,
    pending: VecDeque<Readback<u32>>,
    /// Staging buffers that wait for their next copy.
    idle: Vec<wgpu::Buffer>,
    next_step: u64,
    /// Metric and step of the latch, once it was seen.
    bad: Option<(String, u64)>,
}

impl MetricsRing {
    /// Name of the ring's slot.
    pub const RING_SLOT: &'static str = "metrics/ring";
    /// Name of the latch's slot.
    pub const LATCH_SLOT: &'static str = "metrics/latch";

    /// A ring for the named metrics of a run that stands at `step`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn new(gpu: &Gpu, names: &[&str], step: u64) -> Result<Self> {
        let columns = RingHeader::WORDS + names.len();
        Ok(Self {
            gpu: gpu.clone(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ring: Tensor::zeros(gpu, Self::RING_SLOT, DType::U32, [CAPACITY, columns])?,
            latch: Tensor::zeros(gpu, Self::LATCH_SLOT, DType::U32, [Latch::WORDS])?,
            pending: VecDeque::new(),
            idle: Vec::new(),
            next_step: step,
            bad: None,
        })
    }

    /// The metrics' names, in the order of their slots.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The bindings of ring and latch.
    pub fn bindings(&self) -> Bindings {
        Bindings::new().with(Self::RING_SLOT, &self.ring).with(Self::LATCH_SLOT, &self.latch)
    }

    /// The slot of a metric.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name.
    pub fn slot(&self, name: &str) -> Result<u32> {
        self.names.iter().position(|known| known == name).map(|at| at as u32).ok_or_else(|| {
            Error::argument("metrics", format!("`{name}`"), "is not one of the ring's metrics")
        })
    }

    /// The latch as a value of a recording.
    ///
    /// # Errors
    /// [`Error::Shape`] if something else took the slot's name.
    pub fn latch_value(recording: &mut Recording) -> Result<Value> {
        recording.slot(Self::LATCH_SLOT, DType::U32, [Latch::WORDS])
    }

    /// Records `offset + scale * mean(values[first .. first + count])` as this step's value of a
    /// metric. A non-finite element latches the step. One dispatch.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name or a range outside `values`.
    pub fn record_mean(
        &self,
        recording: &mut Recording,
        name: &str,
        values: Value,
        range: std::ops::Range<usize>,
        (scale, offset): (f32, f32),
    ) -> Result<()> {
        let slot = self.slot(name)?;
        if range.is_empty() || range.end > recording.shape(values)?.len() {
            return Err(Error::argument(
                format!("metric `{name}`"),
                "the range",
                format!("{range:?} is empty or outside {}", recording.shape(values)?),
            ));
        }
        let columns = RingHeader::WORDS + self.names.len();
        let ring = recording.slot(Self::RING_SLOT, DType::U32, [CAPACITY, columns])?;
        let latch = Self::latch_value(recording)?;
        let state = RunState::value(recording)?;
        recording
            .dispatch(&KERNEL, name)
            .bind("state", state)
            .bind("values", values)
            .bind("ring", ring)
            .bind("latch", latch)
            .set("first", range.start as u32)
            .set("count", range.len() as u32)
            .set("slot", slot)
            .set("capacity", CAPACITY as u32)
            .set("columns", columns as u32)
            .set("scale", scale)
            .set("offset", offset)
            .workgroups([1, 1, 1])
            .finish()
    }

    /// Adds a copy of ring and latch to the encoder of a chunk; [`MetricsRing::collect`] picks it
    /// up later. Counted as an asynchronous readback.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`]; [`Error::Argument`] for an encoder of another
    /// instance's device.
    pub fn encode_copy(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.gpu.check_encoder("metrics", encoder)?;
        crate::gpu::device::counters::count(&self.gpu.counting().async_readbacks, 1);
        let ranges = [
            (self.latch.buffer(), self.latch.offset(), self.latch.bytes()),
            (self.ring.buffer(), self.ring.offset(), self.ring.bytes()),
        ];
        self.pending.push_back(self.gpu.copy_out("metrics", encoder, &ranges, self.idle.pop())?);
        Ok(())
    }

    /// The rows that have arrived since the last call, in order. With `all`, waits for every copy
    /// under way. The last row before the end of a run that went bad is that of the bad step; after
    /// it, see [`MetricsRing::check`].
    ///
    /// # Errors
    /// [`Error::NonFinite`] if the latch was seen in an earlier call; [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn collect(&mut self, all: bool) -> Result<Vec<MetricsRow>> {
        self.check()?;
        let mut rows = Vec::new();
        while let Some(mut front) = self.pending.pop_front() {
            let words = if all {
                front.wait(self.gpu.timeout())?
            } else {
                match front.try_take()? {
                    Some(words) => words,
                    None => {
                        self.pending.push_front(front);
                        break;
                    }
                }
            };
            self.idle.push(front.into_staging());
            self.unpack(&words, &mut rows);
            if self.bad.is_some() {
                self.pending.clear();
            }
        }
        Ok(rows)
    }

    /// Fails if a row that was collected belongs to a step that went bad.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the metric and the step.
    pub fn check(&self) -> Result<()> {
        match &self.bad {
            Some((metric, step)) => Err(Error::NonFinite { metric: metric.clone(), step: *step }),
            None => Ok(()),
        }
    }

    /// Reads the latch. A blocking readback: for checkpoints.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if it is set; [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn check_latch(&self) -> Result<()> {
        let latch: Vec<u32> = self.gpu.read(&self.latch)?;
        match self.latched(&latch) {
            Some((metric, step)) => Err(Error::NonFinite { metric, step }),
            None => Ok(()),
        }
    }

    fn latched(&self, words: &[u32]) -> Option<(String, u64)> {
        let latch: Latch = bytemuck::pod_read_unaligned(bytemuck::cast_slice(words));
        if latch.is_set == 0 {
            return None;
        }
        let metric = self.names.get(latch.slot as usize).cloned().unwrap_or_else(|| "a metric".into());
        Some((metric, u64::from(latch.step_low) | u64::from(latch.step_high) << 32))
    }

    fn unpack(&mut self, words: &[u32], rows: &mut Vec<MetricsRow>) {
        let (latch, ring) = words.split_at(Latch::WORDS);
        self.bad = self.latched(latch);
        let last = self.bad.as_ref().map_or(u64::MAX, |(_, step)| *step);
        let columns = RingHeader::WORDS + self.names.len();
        let stamp = |row: &[u32]| {
            let header: RingHeader =
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(&row[..RingHeader::WORDS]));
            u64::from(header.stamp_low) | u64::from(header.stamp_high) << 32
        };
        // Rows are stamped with step + 1. A step whose plan records no metric leaves a gap.
        let mut arrived: Vec<&[u32]> =
            ring.chunks_exact(columns).filter(|row| stamp(row) > self.next_step).collect();
        arrived.sort_by_key(|row| stamp(row));
        for row in arrived {
            let step = stamp(row) - 1;
            if step > last {
                break;
            }
            let values = row[RingHeader::WORDS..].iter().map(|&bits| f32::from_bits(bits)).collect();
            rows.push(MetricsRow { step, values });
            self.next_step = step + 1;
        }
    }
}
