//! From a recording to a plan: checks against the device, memory, pipelines, uniforms, bind groups.

use std::collections::HashMap;
use std::sync::Mutex;

use super::memory_plan::{Life, assign};
use super::replay::{BoundBytes, Place, Plan, Step};
use crate::gpu::Gpu;
use crate::gpu::device::pipeline::Pipeline;
use crate::gpu::device::pipeline_build::build_all;
use crate::gpu::device::tensor::Tensor;
use crate::gpu::record::bindings::Bindings;
use crate::gpu::record::dispatch::{BoundValue, Dispatch};
use crate::gpu::record::recording::Recording;
use crate::gpu::record::reflect::Specialization;
use crate::gpu::record::shape::binding_hint;
use crate::gpu::record::value::{Role, ValueInfo};
use crate::gpu::run::throttle::estimate;
use crate::{Error, Result};

/// All parameters and knobs of a plan.
struct Uniforms {
    buffer: Option<wgpu::Buffer>,
    /// For each dispatch: binding number, bytes and offset of each of its uniforms.
    windows: Vec<Vec<(u32, u64, u32)>>,
    /// Names of the knobs and the byte offsets they fill.
    knobs: Vec<(String, Vec<u64>)>,
}

impl Recording {
    /// Turns the recording into a plan: checks it against the device, builds pipelines, assigns
    /// memory, uploads constants, makes bind groups. Slots that `bindings` leaves open must be
    /// given to each [`Plan::encode`].
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::OutOfMemory`], [`Error::Shape`] for a tensor that does not fit
    /// its slot, [`Error::Argument`] for one of another device, or for two under one name,
    /// [`Error::Binding`] for aliasing through shared buffers, [`Error::Device`] if the driver
    /// refuses a pipeline.
    pub fn compile(&self, gpu: &Gpu, bindings: &Bindings) -> Result<Plan> {
        bindings.check(|| format!("compile `{}`", self.label))?;
        for (name, _) in &bindings.entries {
            if !self.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name) {
                return Err(Error::argument(
                    format!("compile `{}`", self.label),
                    format!("binding `{name}`"),
                    "fits no slot of the recording",
                ));
            }
        }
        self.check_limits(gpu)?;
        let (values, memory) = self.place_values(gpu, bindings)?;
        let wanted: Vec<Specialization> =
            self.dispatches.iter().map(|dispatch| dispatch.special.clone()).collect();
        let pipelines = build_all(gpu, &wanted)?;
        let Uniforms { buffer: uniforms, windows, knobs } = self.lay_out_uniforms(gpu)?;
        let mut plan = Plan {
            gpu: gpu.clone(),
            recording: self.id,
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
            variants: self.variants.clone(),
            bytes: self.bytes(),
            cost: 0.0,
            host_groups: Mutex::default(),
            host_sets: Mutex::default(),
            pace: Mutex::default(),
        };
        // Steps with the same kernel and the same memory share a group: in a long solution, those
        // of all evaluations.
        type GroupKey = (*const Pipeline, Vec<(u32, usize, u64, u64)>);
        let mut known: HashMap<GroupKey, usize> = HashMap::new();
        for ((dispatch, pipeline), windows) in self.dispatches.iter().zip(pipelines).zip(windows) {
            let bound: Vec<_> = dispatch.bound.iter().map(|bound| self.bound_bytes(bound)).collect();
            let place = |b: &BoundBytes| (b.binding, memory[b.value], b.offset, b.bytes);
            let places = bound.iter().map(place).collect();
            let key: GroupKey = (std::sync::Arc::as_ptr(&pipeline), places);
            let mut step = Step {
                label: dispatch.label.clone(),
                kernel: dispatch.special.source.stem().to_owned(),
                names: dispatch.bound.iter().map(|b| b.name.clone()).collect(),
                pipeline,
                bound,
                group: 0,
                offsets: windows.iter().map(|&(_, _, offset)| offset).collect(),
                windows: windows.iter().map(|&(binding, bytes, _)| (binding, bytes)).collect(),
                cost: estimate(dispatch.flops, self.bytes_of(dispatch)),
                grid: dispatch.grid,
            };
            plan.cost += step.cost;
            step.group = match known.get(&key) {
                Some(&index) => index,
                None => {
                    let group = plan.make_group(&step, None)?;
                    plan.groups.push(group);
                    known.insert(key, plan.groups.len() - 1);
                    plan.groups.len() - 1
                }
            };
            plan.steps.push(step);
        }
        // Made now rather than in the first frame.
        gpu.mark();
        gpu.check_alive(&self.label)?;
        Ok(plan)
    }

    /// What a dispatch sees of a value: the whole, or a view's rows of the value that holds the
    /// memory.
    fn bound_bytes(&self, bound: &BoundValue) -> BoundBytes {
        let (value, offset) = self.root(bound.value);
        let bytes = self.values[bound.value].bytes();
        BoundBytes { binding: bound.binding, access: bound.access, value, offset, bytes }
    }

    /// Checks the sizes of all dispatches against a device, without making anything there.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(crate) fn check_limits(&self, gpu: &Gpu) -> Result<()> {
        let max = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        for dispatch in &self.dispatches {
            if let Some(&size) = dispatch.grid.iter().find(|&&size| size > max) {
                let what = "workgroups in one dimension";
                let hint = "use fewer rows";
                return Err(gpu.limit_error(&dispatch.label, what, size.into(), max.into(), hint));
            }
            for bound in &dispatch.bound {
                self.check_binding(gpu, dispatch, bound)?;
            }
        }
        Ok(())
    }

    fn check_binding(&self, gpu: &Gpu, dispatch: &Dispatch, bound: &BoundValue) -> Result<()> {
        let (asked, granted) = (self.values[bound.value].bytes(), gpu.capabilities().max_binding_bytes());
        if asked <= granted {
            return Ok(());
        }
        let what = format!("the bytes of `{}` bound to `{}`", self.values[bound.value].label, bound.name);
        let hint = match self.target().max_binding_bytes > granted {
            true => "record for the device's own target (`Gpu::record`, `Capabilities::target`)",
            false => "give fewer rows at once, or take a device with larger limits",
        };
        Err(gpu.limit_error(&dispatch.label, &what, asked, granted, hint))
    }

    /// Where each value is, and a number for its memory: scratch values that share a buffer share
    /// it.
    fn place_values(&self, gpu: &Gpu, bindings: &Bindings) -> Result<(Vec<Place>, Vec<usize>)> {
        let mut lives: Vec<Option<Life>> = vec![None; self.values.len()];
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            for bound in &dispatch.bound {
                let root = self.root(bound.value).0;
                let bytes = self.values[root].bytes();
                let life = lives[root].get_or_insert(Life { bytes, first: index, last: index });
                life.last = index;
            }
        }
        let scratch: Vec<usize> = (0..self.values.len())
            .filter(|&index| matches!(self.values[index].role, Role::Scratch) && lives[index].is_some())
            .collect();
        let scratch_lives: Vec<Life> = scratch.iter().filter_map(|&index| lives[index]).collect();
        let assignment = assign(&scratch_lives);
        let buffer_of: HashMap<usize, usize> = scratch.into_iter().zip(assignment.buffer_of).collect();
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
                    Some(tensor) => Place::Bound(fitting(gpu, &self.label, info, tensor)?.clone()),
                    None => Place::Unbound(info.clone()),
                },
                Role::Constant(bytes) => {
                    let label = format!("{}/{}", self.label, info.label);
                    let buffer = gpu.create_buffer(&label, info.bytes(), Gpu::TENSOR_USAGES)?;
                    gpu.write_buffer(&buffer, 0, bytes)?;
                    Place::Owned { buffer }
                }
                Role::Scratch => match buffer_of.get(&index) {
                    Some(&buffer) => Place::Owned { buffer: buffers[buffer].clone() },
                    // Never touched by a dispatch: nothing will bind it.
                    None => Place::Unbound(info.clone()),
                },
                // Dispatches bind the value that holds its memory.
                Role::View { .. } => Place::Unbound(info.clone()),
            });
        }
        let memory = (0..places.len())
            .map(|index| buffer_of.get(&index).map_or(index, |buffer| places.len() + buffer))
            .collect();
        Ok((places, memory))
    }

    /// One uniform buffer for all parameters and knobs; equal parameter blocks share their window.
    fn lay_out_uniforms(&self, gpu: &Gpu) -> Result<Uniforms> {
        let align = gpu.capabilities().limits.min_uniform_buffer_offset_alignment.max(16) as usize;
        let mut bytes: Vec<u8> = Vec::new();
        type Block = (Vec<u8>, Vec<(u32, usize)>);
        let mut known: HashMap<Block, u32> = HashMap::new();
        let mut knobs: Vec<(String, Vec<u64>)> =
            self.knobs.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        // The offset of a block, and whether it is new. Blocks that hold the same bytes and knobs
        // share their window.
        let mut place = |block: &[u8], places: &[(u32, usize)]| -> (u32, bool) {
            let key = (block.to_vec(), places.to_vec());
            if let Some(&offset) = known.get(&key) {
                return (offset, false);
            }
            bytes.resize(bytes.len().next_multiple_of(align), 0);
            let offset = bytes.len() as u32;
            bytes.extend_from_slice(block);
            known.insert(key, offset);
            (offset, true)
        };
        let mut windows = Vec::new();
        for dispatch in &self.dispatches {
            let interface = crate::gpu::record::reflect::reflect(&dispatch.special)?;
            let mut own = Vec::new();
            if let (Some(info), Some(block)) = (&interface.params, &dispatch.params) {
                own.push((info.binding, info.bytes, place(block, &[]).0));
            }
            if let (Some(info), Some(block)) = (&interface.knobs, &dispatch.knobs) {
                let (offset, fresh) = place(&block.bytes, &block.places);
                own.push((info.binding, info.bytes, offset));
                for &(member, knob) in block.places.iter().filter(|_| fresh) {
                    knobs[knob].1.push(u64::from(offset) + u64::from(member));
                }
            }
            own.sort_by_key(|&(binding, ..)| binding);
            windows.push(own);
        }
        if bytes.is_empty() {
            return Ok(Uniforms { buffer: None, windows, knobs });
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let label = format!("{}/params", self.label);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        let buffer = gpu.create_buffer(&label, bytes.len() as u64, usage)?;
        gpu.write_buffer(&buffer, 0, &bytes)?;
        Ok(Uniforms { buffer: Some(buffer), windows, knobs })
    }
}

/// The tensor, if it has the slot's shape and element type.
pub(in crate::gpu) fn fitting<'a>(
    gpu: &Gpu,
    plan: &str,
    info: &ValueInfo,
    tensor: &'a Tensor,
) -> Result<&'a Tensor> {
    tensor.check_home(gpu, || format!("bind slot `{}` of plan `{plan}`", info.label))?;
    if tensor.shape() == &info.shape && tensor.dtype() == info.dtype {
        return Ok(tensor);
    }
    Err(Error::shape(
        format!("bind slot `{}` of plan `{plan}`", info.label),
        tensor.label(),
        format!("{} {}", tensor.shape(), tensor.dtype()),
        format!("{} {}", info.shape, info.dtype),
        binding_hint(tensor.shape(), &info.shape),
    ))
}
