//! Plans: recordings with memory, pipelines and bind groups. Running one is nothing but encoding.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counters::count;
use super::kernel::{Pipeline, build_all};
use super::memory::{Life, assign};
use super::recording::{Recording, Role, ValueInfo};
use super::reflect::{Access, Specialisation};
use super::tensor::Tensor;
use super::{Gpu, Knob};
use crate::{Error, Result};

/// The tensors that fill a plan's named slots.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    entries: Vec<(String, Tensor)>,
}

impl Bindings {
    /// No tensor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor for the slot `name`; the last one given for a name counts.
    pub fn with(mut self, name: &str, tensor: &Tensor) -> Self {
        self.insert(name, tensor);
        self
    }

    /// As [`Bindings::with`], in place.
    pub fn insert(&mut self, name: &str, tensor: &Tensor) {
        self.entries.retain(|(known, _)| known != name);
        self.entries.push((name.into(), tensor.clone()));
    }

    /// Adds all of another set.
    pub fn merge(mut self, other: &Bindings) -> Self {
        for (name, tensor) in &other.entries {
            self.insert(name, tensor);
        }
        self
    }

    /// Those whose names are slots of the recording.
    pub fn only(&self, recording: &Recording) -> Bindings {
        let is_slot = |name: &str| {
            recording.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name)
        };
        Bindings { entries: self.entries.iter().filter(|(name, _)| is_slot(name)).cloned().collect() }
    }

    fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }
}

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
#[derive(Debug)]
pub struct Plan {
    gpu: Gpu,
    label: String,
    steps: Vec<Step>,
    values: Vec<Place>,
    slot_names: Vec<Option<String>>,
    groups: Vec<Option<wgpu::BindGroup>>,
    uniforms: Option<wgpu::Buffer>,
    knobs: Vec<(String, Vec<u64>)>,
    flops: u64,
    host_groups: Mutex<HashMap<(usize, Vec<(wgpu::Buffer, u64)>), wgpu::BindGroup>>,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Step {
    label: String,
    pipeline: Arc<Pipeline>,
    bound: Vec<(u32, Access, usize)>,
    group: usize,
    /// Offsets into the uniform buffer in the order of the binding numbers.
    offsets: Vec<u32>,
    /// Bindings that take a window of the uniform buffer: number and size.
    windows: Vec<(u32, u64)>,
    grid: [u32; 3],
}

/// Where a value's memory is.
#[derive(Clone, Debug)]
enum Place {
    Owned { buffer: wgpu::Buffer, bytes: u64 },
    Bound(Tensor),
    Unbound(ValueInfo),
}

/// What is known about the time of one replay, and the submits still under way.
#[derive(Debug, Default)]
struct Pace {
    seconds_per_replay: Option<f64>,
    outstanding: VecDeque<(wgpu::SubmissionIndex, Instant, u64)>,
}

/// Longest chunk in seconds: far below any watchdog, long enough to hide the submit.
const CHUNK_SECONDS: f64 = 0.1;
/// Submits that may be under way before the host waits for the oldest.
const OUTSTANDING: usize = 3;
/// Bind groups kept for tensors that hosts pass to `encode`.
const KEPT_HOST_GROUPS: usize = 1024;

impl Recording {
    /// Turns the recording into a plan: checks it against the device, builds pipelines, assigns memory, uploads
    /// constants, makes bind groups. Slots that `bindings` leaves open must be given to each [`Plan::encode`].
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::OutOfMemory`], [`Error::Shape`] for a tensor that does not fit its slot,
    /// [`Error::Binding`] for aliasing through shared buffers, [`Error::Device`] if the driver refuses a pipeline.
    pub fn compile(&self, gpu: &Gpu, bindings: &Bindings) -> Result<Plan> {
        for (name, _) in &bindings.entries {
            if !self.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name) {
                return Err(Error::argument(
                    format!("compile `{}`", self.label),
                    format!("binding `{name}`"),
                    "fits no slot of the recording",
                ));
            }
        }
        let most = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        for dispatch in &self.dispatches {
            if let Some(&size) = dispatch.grid.iter().find(|&&size| size > most) {
                let what = "workgroups in one dimension";
                let hint = "use fewer rows";
                return Err(gpu.limit_error(&dispatch.label, what, size.into(), most.into(), hint));
            }
        }
        let values = self.place_values(gpu, bindings)?;
        let wanted: Vec<Specialisation> =
            self.dispatches.iter().map(|dispatch| dispatch.special.clone()).collect();
        let pipelines = build_all(gpu, &wanted)?;
        let (uniforms, windows, knobs) = self.lay_out_uniforms(gpu)?;
        let mut plan = Plan {
            gpu: gpu.clone(),
            label: self.label.clone(),
            steps: Vec::with_capacity(self.dispatches.len()),
            slot_names: self
                .values
                .iter()
                .map(|info| matches!(info.role, Role::Slot).then(|| info.label.clone()))
                .collect(),
            values,
            groups: Vec::new(),
            uniforms,
            knobs,
            flops: self.flops(),
            host_groups: Mutex::default(),
            pace: Mutex::default(),
        };
        let mut known: HashMap<(wgpu::BindGroupLayout, Vec<(u32, usize)>), usize> = HashMap::new();
        for ((dispatch, pipeline), windows) in self.dispatches.iter().zip(pipelines).zip(windows) {
            let bound: Vec<_> = dispatch.bound.iter().map(|b| (b.binding, b.access, b.value)).collect();
            let key = bound.iter().map(|&(binding, _, value)| (binding, value)).collect();
            let layout = pipeline.layout.clone();
            let mut step = Step {
                label: dispatch.label.clone(),
                pipeline,
                bound,
                group: 0,
                offsets: windows.iter().map(|&(_, _, offset)| offset).collect(),
                windows: windows.iter().map(|&(binding, bytes, _)| (binding, bytes)).collect(),
                grid: dispatch.grid,
            };
            step.group = match known.get(&(layout.clone(), Vec::clone(&key))) {
                Some(&index) => index,
                None => {
                    let group = plan.make_group(&step, None)?;
                    plan.groups.push(group);
                    known.insert((layout, key), plan.groups.len() - 1);
                    plan.groups.len() - 1
                }
            };
            plan.steps.push(step);
        }
        Ok(plan)
    }

    fn place_values(&self, gpu: &Gpu, bindings: &Bindings) -> Result<Vec<Place>> {
        let mut lives: Vec<Option<Life>> = vec![None; self.values.len()];
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            for bound in &dispatch.bound {
                let bytes = self.values[bound.value].bytes();
                let life = lives[bound.value].get_or_insert(Life { bytes, first: index, last: index });
                life.last = index;
            }
        }
        let scratch: Vec<usize> = (0..self.values.len())
            .filter(|&index| matches!(self.values[index].role, Role::Scratch) && lives[index].is_some())
            .collect();
        let scratch_lives: Vec<Life> = scratch.iter().filter_map(|&index| lives[index]).collect();
        let assignment = assign(&scratch_lives);
        let mut buffers = Vec::new();
        for (index, &bytes) in assignment.sizes.iter().enumerate() {
            let label = format!("{}/scratch {index}", self.label);
            let buffer = gpu.create_buffer(&label, bytes, Gpu::TENSOR_USAGES)?;
            if gpu.poisons() {
                let pattern = vec![0x7fc0_deadu32; buffer.size() as usize / 4];
                gpu.write_buffer(&buffer, 0, bytemuck::cast_slice(&pattern))?;
            }
            buffers.push(buffer);
        }
        let mut places = Vec::with_capacity(self.values.len());
        for (index, info) in self.values.iter().enumerate() {
            places.push(match &info.role {
                Role::Slot => match bindings.get(&info.label) {
                    Some(tensor) => Place::Bound(fitting(&self.label, info, tensor)?.clone()),
                    None => Place::Unbound(info.clone()),
                },
                Role::Constant(bytes) => {
                    let label = format!("{}/{}", self.label, info.label);
                    let buffer = gpu.create_buffer(&label, info.bytes(), Gpu::TENSOR_USAGES)?;
                    gpu.write_buffer(&buffer, 0, bytes)?;
                    Place::Owned { buffer, bytes: info.bytes() }
                }
                Role::Scratch => match scratch.iter().position(|&known| known == index) {
                    Some(at) => Place::Owned {
                        buffer: buffers[assignment.buffer_of[at]].clone(),
                        bytes: info.bytes(),
                    },
                    // Never touched by a dispatch: nothing will bind it.
                    None => Place::Unbound(info.clone()),
                },
            });
        }
        Ok(places)
    }

    /// One uniform buffer for all parameters and knobs; equal parameter blocks share their window.
    #[allow(clippy::type_complexity)]
    fn lay_out_uniforms(
        &self,
        gpu: &Gpu,
    ) -> Result<(Option<wgpu::Buffer>, Vec<Vec<(u32, u64, u32)>>, Vec<(String, Vec<u64>)>)> {
        let align = gpu.capabilities().limits.min_uniform_buffer_offset_alignment.max(16) as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut knobs: Vec<(String, Vec<u64>)> =
            self.knobs.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        let mut place = |block: &[u8], share: bool| -> u32 {
            if share && let Some(&offset) = known.get(block) {
                return offset;
            }
            bytes.resize(bytes.len().next_multiple_of(align), 0);
            let offset = bytes.len() as u32;
            bytes.extend_from_slice(block);
            if share {
                known.insert(block.to_vec(), offset);
            }
            offset
        };
        let mut windows = Vec::new();
        for dispatch in &self.dispatches {
            let interface = super::reflect::reflect(&dispatch.special)?;
            let mut own = Vec::new();
            if let (Some(info), Some(block)) = (&interface.params, &dispatch.params) {
                own.push((info.binding, info.bytes, place(block, true)));
            }
            if let (Some(info), Some((block, places))) = (&interface.knobs, &dispatch.knobs) {
                let offset = place(block, false);
                own.push((info.binding, info.bytes, offset));
                for &(member, knob) in places {
                    knobs[knob].1.push(u64::from(offset) + u64::from(member));
                }
            }
            own.sort_by_key(|&(binding, ..)| binding);
            windows.push(own);
        }
        if bytes.is_empty() {
            return Ok((None, windows, knobs));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let label = format!("{}/params", self.label);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        let buffer = gpu.create_buffer(&label, bytes.len() as u64, usage)?;
        gpu.write_buffer(&buffer, 0, &bytes)?;
        Ok((Some(buffer), windows, knobs))
    }
}

fn fitting<'a>(plan: &str, info: &ValueInfo, tensor: &'a Tensor) -> Result<&'a Tensor> {
    if tensor.shape() == &info.shape && tensor.dtype() == info.dtype {
        return Ok(tensor);
    }
    Err(Error::shape(
        format!("bind slot `{}` of plan `{plan}`", info.label),
        tensor.label(),
        format!("{} {}", tensor.shape(), tensor.dtype()),
        format!("{} {}", info.shape, info.dtype),
        "bind a tensor of exactly that shape",
    ))
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

    /// Nominal floating-point operations of one replay.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// Bytes of scratch memory and constants that the plan owns.
    pub fn owned_bytes(&self) -> u64 {
        let mut seen: Vec<&wgpu::Buffer> = Vec::new();
        for place in &self.values {
            if let Place::Owned { buffer, .. } = place
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
        let Some((name, places)) = self.knobs.get(knob.0) else {
            return Err(Error::argument(&self.label, "knob", "belongs to another recording"));
        };
        if !value.is_finite() {
            return Err(Error::argument(&self.label, format!("knob `{name}`"), "must be finite"));
        }
        let Some(buffer) = &self.uniforms else { return Ok(()) };
        for &offset in places {
            self.gpu.write_buffer(buffer, offset, &value.to_ne_bytes())?;
        }
        Ok(())
    }

    fn source<'a>(
        &'a self,
        value: usize,
        host: Option<&'a Bindings>,
    ) -> Result<Option<(&'a wgpu::Buffer, u64, u64)>> {
        let given = self.slot_names[value].as_deref().and_then(|name| host.and_then(|h| h.get(name)));
        Ok(match (&self.values[value], given) {
            (Place::Owned { buffer, bytes }, _) => Some((buffer, 0, *bytes)),
            (Place::Bound(own), Some(tensor)) => {
                if tensor.shape() != own.shape() || tensor.dtype() != own.dtype() {
                    return Err(Error::shape(
                        format!("encode `{}`", self.label),
                        tensor.label(),
                        tensor.shape(),
                        own.shape(),
                        "bind a tensor of exactly that shape",
                    ));
                }
                Some((tensor.buffer(), tensor.offset(), tensor.bytes()))
            }
            (Place::Bound(own), None) => Some((own.buffer(), own.offset(), own.bytes())),
            (Place::Unbound(info), Some(tensor)) => {
                let tensor = fitting(&self.label, info, tensor)?;
                Some((tensor.buffer(), tensor.offset(), tensor.bytes()))
            }
            (Place::Unbound(_), None) => None,
        })
    }

    /// The bind group of a step, or nothing while one of its slots is open.
    fn make_group(&self, step: &Step, host: Option<&Bindings>) -> Result<Option<wgpu::BindGroup>> {
        let mut sources = Vec::new();
        for &(binding, access, value) in &step.bound {
            match self.source(value, host)? {
                Some((buffer, offset, bytes)) => sources.push((binding, access, buffer, offset, bytes)),
                None => return Ok(None),
            }
        }
        for (at, a) in sources.iter().enumerate() {
            for b in &sources[at + 1..] {
                let writes = a.1 == Access::ReadWrite || b.1 == Access::ReadWrite;
                if writes && a.2 == b.2 {
                    return Err(Error::Binding {
                        operation: step.label.clone(),
                        kernel: self.label.clone(),
                        name: format!("bindings {} and {}", a.0, b.0),
                        problem:
                            "lie in one buffer and one of them is written; wgpu tracks whole buffers, so \
                                  put them into different buffers"
                                .into(),
                    });
                }
            }
        }
        let mut entries: Vec<wgpu::BindGroupEntry<'_>> = sources
            .iter()
            .map(|&(binding, _, buffer, offset, bytes)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(bytes.max(4)),
                }),
            })
            .collect();
        if let Some(uniforms) = &self.uniforms {
            entries.extend(step.windows.iter().map(|&(binding, bytes)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: uniforms,
                    offset: 0,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            }));
        }
        count(&self.gpu.counting().bind_groups, 1);
        let group = self.gpu.scoped(&step.label, || {
            self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&step.label),
                layout: &step.pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok(Some(group))
    }

    /// Bind groups for the steps that touch a slot given by the host; made once per set of buffers.
    fn host_groups(&self, host: &Bindings) -> Result<HashMap<usize, wgpu::BindGroup>> {
        let mut cache = self.host_groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = HashMap::new();
        for (name, _) in &host.entries {
            if !self.slot_names.iter().flatten().any(|known| known == name) {
                return Err(Error::argument(
                    format!("encode `{}`", self.label),
                    format!("binding `{name}`"),
                    "fits no slot of the plan",
                ));
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            let mut key = Vec::new();
            for &(_, _, value) in &step.bound {
                if let Some(name) = &self.slot_names[value]
                    && host.get(name).is_some()
                    && let Some((buffer, offset, _)) = self.source(value, Some(host))?
                {
                    key.push((buffer.clone(), offset));
                }
            }
            if key.is_empty() {
                continue;
            }
            if let Some(group) = cache.get(&(index, key.clone())) {
                result.insert(index, group.clone());
                continue;
            }
            if let Some(group) = self.make_group(step, Some(host))? {
                if cache.len() >= KEPT_HOST_GROUPS {
                    cache.clear();
                }
                cache.insert((index, key), group.clone());
                result.insert(index, group);
            }
        }
        Ok(result)
    }

    fn resolve<'a>(&'a self, host: &'a HashMap<usize, wgpu::BindGroup>) -> Result<Vec<&'a wgpu::BindGroup>> {
        let mut groups = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let Some(group) = host.get(&index).or(self.groups[step.group].as_ref()) else {
                let open = step.bound.iter().filter_map(|&(_, _, value)| {
                    matches!(self.values[value], Place::Unbound(_))
                        .then(|| self.slot_names[value].clone())
                        .flatten()
                });
                return Err(Error::argument(
                    &step.label,
                    format!("slot `{}`", open.collect::<Vec<_>>().join("`, `")),
                    "is not bound; give a tensor at `compile` or at `encode`",
                ));
            };
            groups.push(group);
        }
        Ok(groups)
    }

    fn encode_pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        groups: &[&wgpu::BindGroup],
        times: u64,
        timestamps: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(&self.label),
            timestamp_writes: timestamps,
        });
        let mut current: Option<&Arc<Pipeline>> = None;
        for _ in 0..times {
            for (step, group) in self.steps.iter().zip(groups) {
                if !current.is_some_and(|known| Arc::ptr_eq(known, &step.pipeline)) {
                    pass.set_pipeline(&step.pipeline.pipeline);
                    current = Some(&step.pipeline);
                }
                pass.set_bind_group(0, *group, &step.offsets);
                let [x, y, z] = step.grid;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        count(&self.gpu.counting().dispatches, times * self.steps.len() as u64);
    }

    /// Adds one replay to somebody's encoder, as one compute pass. `host` fills open slots, or replaces tensors
    /// given at `compile`; bind groups are made once per set of buffers.
    ///
    /// # Errors
    /// [`Error::Argument`] for an open slot or an unknown name, [`Error::Shape`], [`Error::DeviceLost`].
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, host: &Bindings) -> Result<()> {
        self.gpu.check_health(&self.label)?;
        let own = self.host_groups(host)?;
        let groups = self.resolve(&own)?;
        self.encode_pass(encoder, &groups, 1, None);
        self.gpu.faults().submitted(&self.label);
        Ok(())
    }

    /// Replays the plan `times` times, submitted in chunks of about 0.1 s. Returns when all is submitted; at most
    /// three chunks are under way at a time.
    ///
    /// # Errors
    /// [`Error::Argument`] for an open slot, [`Error::Timeout`], [`Error::DeviceLost`], [`Error::Device`].
    pub fn run(&self, times: u64) -> Result<()> {
        self.run_chunked(times, u64::MAX, |_, _| Ok(()))
    }

    /// As [`Plan::run`], in chunks of at most `most` replays; `after` may add copies to the encoder of each chunk
    /// and is told how many replays are submitted with it.
    ///
    /// # Errors
    /// As [`Plan::run`], and those of `after`.
    pub fn run_chunked(
        &self,
        times: u64,
        most: u64,
        mut after: impl FnMut(&mut wgpu::CommandEncoder, u64) -> Result<()>,
    ) -> Result<()> {
        let none = HashMap::new();
        let groups = self.resolve(&none)?;
        let mut left = times;
        while left > 0 {
            let chunk = self.next_chunk()?.min(left).min(most.max(1));
            let mut encoder = self.encoder();
            self.encode_pass(&mut encoder, &groups, chunk, None);
            after(&mut encoder, chunk)?;
            let begun = Instant::now();
            let commands = self.finish(encoder)?;
            let submission = self.gpu.submit(&self.label, commands)?;
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.outstanding.push_back((submission, begun, chunk));
            drop(pace);
            left -= chunk;
        }
        Ok(())
    }

    /// Replays that fit the next chunk. The first call on a fresh plan answers 1.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn pace(&self) -> Result<u64> {
        self.next_chunk()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(&self.label) };
        self.gpu.device().create_command_encoder(&descriptor)
    }

    fn finish(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::CommandBuffer> {
        self.gpu.scoped(&self.label, || encoder.finish())
    }

    /// Replays of the next chunk. The first is a single replay that is waited for, so that the pace is known before
    /// anything long is submitted; afterwards the pace follows the chunks that end.
    fn next_chunk(&self) -> Result<u64> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let wait_for_all = pace.seconds_per_replay.is_none();
        while pace.outstanding.len() >= OUTSTANDING || (wait_for_all && !pace.outstanding.is_empty()) {
            let Some((submission, begun, chunk)) = pace.outstanding.pop_front() else { break };
            count(&self.gpu.counting().throttle_waits, 1);
            self.gpu.wait_for(&self.label, Some(submission), self.gpu.timeout())?;
            let elapsed = begun.elapsed().as_secs_f64() / chunk as f64;
            // With several chunks queued the span includes waiting for the earlier ones: an overestimate, hence
            // shorter chunks, never longer.
            let shared = if wait_for_all { elapsed } else { elapsed / (pace.outstanding.len() + 1) as f64 };
            pace.seconds_per_replay = Some(match pace.seconds_per_replay {
                None => shared,
                Some(known) => 0.5 * (known + shared),
            });
        }
        Ok(match pace.seconds_per_replay {
            None => 1,
            Some(seconds) => ((CHUNK_SECONDS / seconds.max(1e-7)) as u64).clamp(1, 4096),
        })
    }

    /// Replays the plan `times` times in one pass, waits, and says what it took. For measuring: use few replays.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run_timed(&self, times: u64) -> Result<PlanTiming> {
        let none = HashMap::new();
        let groups = self.resolve(&none)?;
        let device = self.gpu.device();
        let query = match self.gpu.capabilities().timestamps {
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
        self.encode_pass(&mut encoder, &groups, times, writes);
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
