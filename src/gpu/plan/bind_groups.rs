//! Bind groups of a plan: made once, for tensors given at `compile` and for those a host passes to
//! `encode`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::compile::fitting;
use super::replay::{Place, Plan, Step};
use crate::gpu::device::counters::count;
use crate::gpu::record::bindings::Bindings;
use crate::gpu::record::reflect::Access;
use crate::gpu::record::shape::binding_hint;
use crate::{Error, Result};

/// Sets of tensors from hosts whose bind groups are kept. They keep the host's memory alive: one
/// that comes with a fresh tensor each frame must not pile up many.
const KEPT_HOST_SETS: usize = 64;

impl Plan {
    fn source<'a>(
        &'a self,
        value: usize,
        host: Option<&'a Bindings>,
    ) -> Result<Option<(&'a wgpu::Buffer, u64)>> {
        let given = self.slot_names[value].as_deref().and_then(|name| host.and_then(|h| h.get(name)));
        Ok(match (&self.values[value], given) {
            (Place::Owned { buffer }, _) => Some((buffer, 0)),
            (Place::Bound(own), Some(tensor)) => {
                tensor.check_home(&self.gpu, || format!("encode `{}`", self.label))?;
                if tensor.shape() != own.shape() || tensor.dtype() != own.dtype() {
                    return Err(Error::shape(
                        format!("encode `{}`", self.label),
                        tensor.label(),
                        tensor.shape(),
                        own.shape(),
                        binding_hint(tensor.shape(), own.shape()),
                    ));
                }
                Some((tensor.buffer(), tensor.offset()))
            }
            (Place::Bound(own), None) => Some((own.buffer(), own.offset())),
            (Place::Unbound(info), Some(tensor)) => {
                let tensor = fitting(&self.gpu, &self.label, info, tensor)?;
                Some((tensor.buffer(), tensor.offset()))
            }
            (Place::Unbound(_), None) => None,
        })
    }

    /// The bind group of a step, or nothing while one of its slots is open.
    pub(in crate::gpu) fn make_group(
        &self,
        step: &Step,
        host: Option<&Bindings>,
    ) -> Result<Option<wgpu::BindGroup>> {
        let mut sources = Vec::new();
        for bytes in &step.bound {
            match self.source(bytes.value, host)? {
                Some((buffer, offset)) => sources.push((bytes, buffer, offset + bytes.offset)),
                None => return Ok(None),
            }
        }
        for (at, (bytes, buffer, _)) in sources.iter().enumerate() {
            if bytes.access == Access::Uniform && !buffer.usage().contains(wgpu::BufferUsages::UNIFORM) {
                return Err(Error::Binding {
                    operation: step.label.clone(),
                    kernel: step.kernel.clone(),
                    name: step.names[at].clone(),
                    problem: format!("has usages {:?}; add UNIFORM", buffer.usage()),
                });
            }
        }
        for (at, a) in sources.iter().enumerate() {
            for (offset, b) in sources[at + 1..].iter().enumerate() {
                let writes = a.0.access == Access::ReadWrite || b.0.access == Access::ReadWrite;
                if writes && a.1 == b.1 {
                    return Err(Error::Binding {
                        operation: step.label.clone(),
                        kernel: step.kernel.clone(),
                        name: step.names[at].clone(),
                        problem: format!(
                            "lies in one buffer with `{}` and one of them is written; wgpu tracks whole buffers, \
                             so put them into different buffers",
                            step.names[at + 1 + offset]
                        ),
                    });
                }
            }
        }
        let mut entries: Vec<wgpu::BindGroupEntry<'_>> = sources
            .iter()
            .map(|&(bytes, buffer, offset)| wgpu::BindGroupEntry {
                binding: bytes.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(bytes.bytes.max(4)),
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

    /// The bind group of every step, for tensors given at `compile` and those in `host`. Worked out
    /// once per set of tensors; afterwards one look-up.
    pub(in crate::gpu) fn groups_for(&self, host: &Bindings) -> Result<Arc<Vec<wgpu::BindGroup>>> {
        host.check(|| format!("encode `{}`", self.label))?;
        let mut key = Vec::with_capacity(host.entries.len());
        for (name, tensor) in &host.entries {
            let Some(value) = self.slot_names.iter().position(|slot| slot.as_ref() == Some(name)) else {
                return Err(Error::argument(
                    format!("encode `{}`", self.label),
                    format!("binding `{name}`"),
                    "fits no slot of the plan",
                ));
            };
            // Also on a hit: the same buffer may come back under another shape.
            self.source(value, Some(host))?;
            key.push((value, tensor.buffer().clone(), tensor.offset()));
        }
        key.sort_unstable_by_key(|(value, ..)| *value);
        let mut sets = self.host_sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sets.get(&key) {
            return Ok(known.clone());
        }
        let groups = Arc::new(self.resolve(&self.host_groups(host)?)?);
        if sets.len() >= KEPT_HOST_SETS {
            sets.clear();
        }
        sets.insert(key, groups.clone());
        Ok(groups)
    }

    /// Bind groups for the steps that touch a slot given by the host; shared between sets that
    /// agree on a step.
    fn host_groups(&self, host: &Bindings) -> Result<HashMap<usize, wgpu::BindGroup>> {
        let mut cache = self.host_groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = HashMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            let mut key = Vec::new();
            for bytes in &step.bound {
                if let Some(name) = &self.slot_names[bytes.value]
                    && host.get(name).is_some()
                    && let Some((buffer, offset)) = self.source(bytes.value, Some(host))?
                {
                    key.push((bytes.value, buffer.clone(), offset));
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
                if cache.len() >= KEPT_HOST_SETS * self.steps.len() {
                    cache.clear();
                }
                cache.insert((index, key), group.clone());
                result.insert(index, group);
            }
        }
        Ok(result)
    }

    fn resolve(&self, host: &HashMap<usize, wgpu::BindGroup>) -> Result<Vec<wgpu::BindGroup>> {
        let mut groups = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let Some(group) = host.get(&index).or(self.groups[step.group].as_ref()) else {
                let open = step.bound.iter().filter_map(|bytes| {
                    matches!(self.values[bytes.value], Place::Unbound(_))
                        .then(|| self.slot_names[bytes.value].clone())
                        .flatten()
                });
                return Err(Error::argument(
                    &step.label,
                    format!("slot `{}`", open.collect::<Vec<_>>().join("`, `")),
                    "is not bound; give a tensor at `compile` or at `encode`",
                ));
            };
            groups.push(group.clone());
        }
        Ok(groups)
    }
}
