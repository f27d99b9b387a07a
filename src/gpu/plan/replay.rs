//! Plans: recordings with memory, pipelines and bind groups. Running one is nothing but encoding.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::gpu::device::counters::count;
use crate::gpu::device::optional::OptionalPath;
use crate::gpu::device::pipeline::Pipeline;
use crate::gpu::device::tensor::Tensor;
use crate::gpu::device::tuning::VariantChoices;
use crate::gpu::record::bindings::Bindings;
use crate::gpu::record::reflect::Access;
use crate::gpu::record::value::ValueInfo;
use crate::gpu::run::throttle::Throttle;
use crate::gpu::{Gpu, Knob};
use crate::{Error, Result};

/// What a call of [`Plan::run_timed`] took.
#[derive(Clone, Copy, Debug)]
pub struct PlanTiming {
    /// Wall time from encoding to completion.
    pub wall: Duration,
    /// Host time for encoding and submitting.
    pub host: Duration,
    /// Time on the device between the first and the last dispatch, where the adapter can tell.
    pub gpu: Option<Duration>,
}

/// A compiled recording: dispatches with pipelines, bind groups and grid sizes made beforehand.
pub struct Plan {
    pub(in crate::gpu) gpu: Gpu,
    /// Number of the recording it was compiled from.
    pub(in crate::gpu) recording: u32,
    pub(in crate::gpu) label: String,
    pub(in crate::gpu) steps: Vec<Step>,
    pub(in crate::gpu) values: Vec<Place>,
    pub(in crate::gpu) slot_names: Vec<Option<String>>,
    pub(in crate::gpu) groups: Vec<Option<wgpu::BindGroup>>,
    pub(in crate::gpu) uniforms: Option<wgpu::Buffer>,
    pub(in crate::gpu) knobs: Vec<(String, Vec<u64>)>,
    pub(in crate::gpu) flops: u64,
    pub(in crate::gpu) variants: VariantChoices,
    pub(in crate::gpu) bytes: u64,
    /// Estimated seconds of one replay on a slow device.
    pub(in crate::gpu) cost: f64,
    /// By step and, for each slot that the host fills, its value, buffer and offset.
    pub(in crate::gpu) host_groups: Mutex<HostGroups>,
    pub(in crate::gpu) host_sets: Mutex<HostSets>,
    pub(in crate::gpu) pace: Mutex<Throttle>,
}

/// The bind groups of all steps, by the tensors in the slots that `encode` was given.
pub(in crate::gpu) type HostSets = HashMap<Vec<(usize, wgpu::Buffer, u64)>, Arc<Vec<wgpu::BindGroup>>>;

/// Bind groups for tensors passed to `encode`, by step and the buffers in its slots.
pub(in crate::gpu) type HostGroups = HashMap<(usize, Vec<(usize, wgpu::Buffer, u64)>), wgpu::BindGroup>;

#[derive(Debug)]
pub(in crate::gpu) struct Step {
    pub(in crate::gpu) label: String,
    pub(in crate::gpu) kernel: String,
    /// Names of the bound variables, in the order of `bound`.
    pub(in crate::gpu) names: Vec<String>,
    pub(in crate::gpu) pipeline: Arc<Pipeline>,
    pub(in crate::gpu) bound: Vec<BoundBytes>,
    pub(in crate::gpu) group: usize,
    /// Offsets into the uniform buffer in the order of the binding numbers.
    pub(in crate::gpu) offsets: Vec<u32>,
    /// Bindings that take a window of the uniform buffer: number and size.
    pub(in crate::gpu) windows: Vec<(u32, u64)>,
    /// Estimated seconds on a slow device.
    pub(in crate::gpu) cost: f64,
    pub(in crate::gpu) grid: [u32; 3],
}

/// What a step binds: bytes of a value that holds memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct BoundBytes {
    pub(in crate::gpu) binding: u32,
    pub(in crate::gpu) access: Access,
    pub(in crate::gpu) value: usize,
    pub(in crate::gpu) offset: u64,
    pub(in crate::gpu) bytes: u64,
}

/// Where a value's memory is.
#[derive(Clone, Debug)]
pub(in crate::gpu) enum Place {
    Owned { buffer: wgpu::Buffer },
    Bound(Tensor),
    Unbound(ValueInfo),
}

impl fmt::Debug for Plan {
    /// What it is, not all it holds: [`Recording::describe`](crate::gpu::Recording::describe)
    /// prints its dispatches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plan = f.debug_struct("Plan");
        plan.field("label", &self.label).field("gpu", &self.gpu).field("dispatches", &self.steps.len());
        plan.finish_non_exhaustive()
    }
}

impl Plan {
    /// The recording's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Dispatches of one replay.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// The kernel variants that were chosen, by shape class, of the operations that have several.
    pub fn variants(&self) -> &VariantChoices {
        &self.variants
    }

    /// Nominal floating-point operations of one replay.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// Bytes that the dispatches of one replay bind: a nominal memory traffic. Each binding counts
    /// in full, once, however often a kernel reads it and whatever caches keep.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of scratch memory and constants that the plan owns.
    pub fn owned_bytes(&self) -> u64 {
        let mut seen: Vec<&wgpu::Buffer> = Vec::new();
        for place in &self.values {
            if let Place::Owned { buffer } = place
                && !seen.contains(&buffer)
            {
                seen.push(buffer);
            }
        }
        seen.iter().map(|buffer| buffer.size()).sum()
    }

    /// Turns a knob: takes effect with the next submit. Counted as host writes.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value is not finite; [`Error::DeviceLost`].
    pub fn set_knob(&self, knob: Knob, value: f32) -> Result<()> {
        let own = (knob.recording == self.recording).then(|| self.knobs.get(knob.index)).flatten();
        let Some((name, places)) = own else {
            return Err(Error::argument(&self.label, "knob", "belongs to another recording"));
        };
        if !value.is_finite() {
            let problem = format!("is set to {value}; it must be finite");
            return Err(Error::argument(&self.label, format!("knob `{name}`"), problem));
        }
        let Some(buffer) = &self.uniforms else { return Ok(()) };
        for &offset in places {
            self.gpu.write_buffer(buffer, offset, &value.to_ne_bytes())?;
        }
        Ok(())
    }

    pub(super) fn encode_pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        groups: &[wgpu::BindGroup],
        dispatches: std::ops::Range<u64>,
        timestamps: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> Result<()> {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(&self.label),
            timestamp_writes: timestamps,
        });
        self.gpu.check_pass(&self.label, &mut pass)?;
        let mut current: Option<&Arc<Pipeline>> = None;
        count(&self.gpu.counting().dispatches, dispatches.end - dispatches.start);
        for index in dispatches {
            let index = (index % self.steps.len() as u64) as usize;
            let step = &self.steps[index];
            if !current.is_some_and(|known| Arc::ptr_eq(known, &step.pipeline)) {
                pass.set_pipeline(&step.pipeline.pipeline);
                current = Some(&step.pipeline);
            }
            pass.set_bind_group(0, &groups[index], &step.offsets);
            let [x, y, z] = step.grid;
            pass.dispatch_workgroups(x, y, z);
        }
        Ok(())
    }

    /// Adds one replay to somebody's encoder, as one compute pass. `host` fills open slots, or
    /// replaces tensors given at `compile`; bind groups are made once per set of buffers.
    ///
    /// The encoder must be of the device that the plan was compiled for. One of another device of
    /// the same wgpu instance cannot be told from it here: wgpu refuses it when it is finished,
    /// with the labels of both devices.
    ///
    /// # Errors
    /// [`Error::Argument`] for an open slot, an unknown name or an encoder of another instance's
    /// device, [`Error::Shape`]; [`Error::DeviceLost`], once the loss is known: encoding submits
    /// nothing and cannot find out.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, host: &Bindings) -> Result<()> {
        self.gpu.check_health(&self.label)?;
        let groups = self.groups_for(host)?;
        self.encode_pass(encoder, &groups, 0..self.steps.len() as u64, None)?;
        self.gpu.faults().submitted(&self.label);
        Ok(())
    }

    /// Replays the plan `times` times, submitted in chunks of about 0.1 s; a longer replay is cut
    /// between dispatches. Returns when all is submitted; at most three chunks are under way at a
    /// time.
    ///
    /// # Errors
    /// [`Error::Argument`] for an open slot, [`Error::Timeout`], [`Error::DeviceLost`],
    /// [`Error::Device`].
    pub fn run(&self, times: u64) -> Result<()> {
        self.run_chunked(times, u64::MAX, |_, _| Ok(()))
    }

    /// As [`Plan::run`], in chunks of at most `most` replays; `after` may add copies to the encoder
    /// of each chunk and is told how many replays end with it (none when a long replay is cut into
    /// several chunks).
    ///
    /// # Errors
    /// As [`Plan::run`], and those of `after`.
    pub fn run_chunked(
        &self,
        times: u64,
        max: u64,
        mut after: impl FnMut(&mut wgpu::CommandEncoder, u64) -> Result<()>,
    ) -> Result<()> {
        let groups = self.groups_for(&Bindings::new())?;
        let length = self.steps.len() as u64;
        let end = times.saturating_mul(length);
        let mut at = 0;
        while at < end {
            let (chunk_end, cost) = self.chunk(at, end, max)?;
            let mut encoder = self.encoder();
            self.encode_pass(&mut encoder, &groups, at..chunk_end, None)?;
            after(&mut encoder, chunk_end / length - at / length)?;
            let begun = Instant::now();
            let commands = self.finish(encoder)?;
            let submission = self.gpu.submit(&self.label, commands)?;
            self.lock_pace().submitted(submission, begun, cost);
            at = chunk_end;
        }
        Ok(())
    }

    /// The end of the next chunk, counted in dispatches over all replays, and its estimated cost.
    /// Whole replays where they fit, else a part of one; never more than one replay before the
    /// device's speed is known.
    fn chunk(&self, at: u64, end: u64, max: u64) -> Result<(u64, f64)> {
        let length = self.steps.len() as u64;
        let mut pace = self.lock_pace();
        let budget = pace.budget(&self.gpu, &self.label)?;
        let replays = if pace.is_known() { max.max(1) } else { 1 };
        let end = end.min((at / length).saturating_add(replays).saturating_mul(length));
        let (mut to, mut cost) = (at, 0.0);
        while to < end {
            if to % length == 0 && to > at && cost + self.cost > budget {
                break;
            }
            let next = self.steps[(to % length) as usize].cost;
            if to > at && cost + next > budget {
                break;
            }
            cost += next;
            to += 1;
        }
        Ok((to, cost))
    }

    /// Replays that fit the next chunk, at least 1.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn replays_per_chunk(&self) -> Result<u64> {
        let budget = self.lock_pace().budget(&self.gpu, &self.label)?;
        Ok(((budget / self.cost.max(1e-9)) as u64).max(1))
    }

    fn lock_pace(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(&self.label) };
        self.gpu.device().create_command_encoder(&descriptor)
    }

    pub(super) fn finish(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::CommandBuffer> {
        self.gpu.scoped(&self.label, || encoder.finish())
    }

    /// Replays the plan `times` times in one pass, waits, and says what it took. For measuring: use
    /// few replays.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run_timed(&self, times: u64) -> Result<PlanTiming> {
        let groups = self.groups_for(&Bindings::new())?;
        let device = self.gpu.device();
        let query = match self.gpu.capabilities().on().contains(OptionalPath::Timestamps) {
            false => None,
            true => {
                let set = self.gpu.scoped(&self.label, || {
                    device.create_query_set(&wgpu::QuerySetDescriptor {
                        label: Some(&self.label),
                        ty: wgpu::QueryType::Timestamp,
                        count: 2,
                    })
                })?;
                let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
                Some((set, self.gpu.create_buffer("timestamps", 256, usage)?))
            }
        };
        let begun = Instant::now();
        let mut encoder = self.encoder();
        let writes = query.as_ref().map(|(set, _)| wgpu::ComputePassTimestampWrites {
            query_set: set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        self.encode_pass(&mut encoder, &groups, 0..times.saturating_mul(self.steps.len() as u64), writes)?;
        if let Some((set, buffer)) = &query {
            encoder.resolve_query_set(set, 0..2, buffer, 0);
        }
        let commands = self.finish(encoder)?;
        let submission = self.gpu.submit(&self.label, commands)?;
        let host = begun.elapsed();
        self.gpu.wait_for(&self.label, Some(submission), self.gpu.timeout())?;
        let wall = begun.elapsed();
        let gpu = match query {
            None => None,
            Some((_, buffer)) => {
                let ticks: Vec<u32> = self.gpu.read_buffer(&buffer, 0, 16)?;
                let tick = |at: usize| u64::from(ticks[at]) | u64::from(ticks[at + 1]) << 32;
                let span = tick(2).saturating_sub(tick(0));
                let period = f64::from(self.gpu.queue().get_timestamp_period());
                (span > 0).then(|| Duration::from_secs_f64(span as f64 * period * 1e-9))
            }
        };
        Ok(PlanTiming { wall, host, gpu })
    }
}
