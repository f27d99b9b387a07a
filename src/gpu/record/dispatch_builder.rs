//! A dispatch being recorded, checked against the kernel's own text.

use std::fmt::Write;

use super::dispatch::{BoundValue, Dispatch, KnobBlock, Param};
use super::recording::Recording;
use super::reflect::{Access, Interface, Specialization, UniformInfo, reflect};
use super::shape::DType;
use super::source::{Define, KernelSource};
use super::value::{Knob, Role, Value};
use crate::{Error, Result};

impl Recording {
    /// Begins a dispatch of `source`; `operation` names it in labels and errors.
    pub fn dispatch<'a>(&'a mut self, source: &KernelSource, operation: &str) -> DispatchBuilder<'a> {
        let mut label = String::new();
        for part in std::iter::once(&self.label).chain(&self.scope) {
            let _ = write!(label, "{part}/");
        }
        label.push_str(operation);
        DispatchBuilder::new(self, source, label)
    }
}

enum Grid {
    Unset,
    Invocations(u64),
    Folded(u64),
    Workgroups([u64; 3]),
}

/// Most workgroups per dimension that every device grants.
const FOLD: u64 = 65535;

/// A dispatch being recorded. Nothing is added before [`DispatchBuilder::finish`].
#[must_use = "a dispatch is recorded by `finish`"]
pub struct DispatchBuilder<'a> {
    recording: &'a mut Recording,
    label: String,
    special: Specialization,
    bound: Vec<(String, Value)>,
    params: Vec<(String, Param)>,
    knobs: Vec<(String, Knob)>,
    grid: Grid,
    flops: u64,
}

impl<'a> DispatchBuilder<'a> {
    pub(in crate::gpu) fn new(recording: &'a mut Recording, source: &KernelSource, label: String) -> Self {
        Self {
            recording,
            label,
            special: Specialization { source: source.clone(), defines: Vec::new(), overrides: Vec::new() },
            bound: Vec::new(),
            params: Vec::new(),
            knobs: Vec::new(),
            grid: Grid::Unset,
            flops: 0,
        }
    }

    /// Binds a tensor to the variable of this name.
    pub fn bind(mut self, name: &str, value: Value) -> Self {
        self.bound.push((name.into(), value));
        self
    }

    /// Sets a member of the kernel's `params` uniform.
    pub fn set(mut self, name: &str, value: impl Into<Param>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Lets a knob fill a member of the kernel's `knobs` uniform.
    pub fn knob(mut self, name: &str, knob: Knob) -> Self {
        self.knobs.push((name.into(), knob));
        self
    }

    /// Puts `const name: u32 = value;` in front of the kernel.
    pub fn define(mut self, name: &'static str, value: u32) -> Self {
        self.special.defines.push(Define { name, value });
        self
    }

    /// Several [`DispatchBuilder::define`]s.
    pub fn defines(self, defines: &[(&'static str, u32)]) -> Self {
        defines.iter().fold(self, |builder, &(name, value)| builder.define(name, value))
    }

    /// Sets a WGSL `override`.
    pub fn override_constant(mut self, name: &str, value: f64) -> Self {
        self.special.overrides.push((name.into(), value.to_bits()));
        self
    }

    /// At least this many invocations: workgroups of the kernel's size, folded over x and y.
    pub fn invocations(mut self, count: usize) -> Self {
        self.grid = Grid::Invocations(count as u64);
        self
    }

    /// At least this many workgroups, folded over x and y.
    pub fn workgroups_folded(mut self, count: usize) -> Self {
        self.grid = Grid::Folded(count as u64);
        self
    }

    /// Exactly these workgroups.
    pub fn workgroups(mut self, grid: [usize; 3]) -> Self {
        self.grid = Grid::Workgroups(grid.map(|size| size as u64));
        self
    }

    /// Nominal floating-point operations, for estimates and reports.
    pub fn flops(mut self, flops: u64) -> Self {
        self.flops = flops;
        self
    }

    /// Checks the dispatch against the kernel's own text and records it.
    ///
    /// # Errors
    /// [`Error::Shader`] if the kernel does not compile; [`Error::Binding`] for a missing, extra,
    /// mistyped, aliased or too small binding, a scratch value read before it was written, a
    /// missing or mistyped parameter; [`Error::Argument`] for an empty grid; [`Error::Limit`] for
    /// one that no device can run.
    pub fn finish(self) -> Result<()> {
        let interface = reflect(&self.special)?;
        let bound = self.resolve_bindings(&interface)?;
        let params = match &interface.params {
            Some(info) => Some(self.fill_params(info)?),
            None if self.params.is_empty() => None,
            None => {
                let name = &self.params[0].0;
                return Err(self.fault(name, "is set, but the kernel has no `params` uniform"));
            }
        };
        let knobs = self.fill_knobs(&interface)?;
        let grid = self.resolve_grid(interface.workgroup_size)?;
        for item in &bound {
            if item.access == Access::ReadWrite {
                self.recording.mark_written(item.value);
            }
        }
        self.recording.dispatches.push(Dispatch {
            label: self.label,
            special: self.special,
            bound,
            params,
            knobs,
            grid,
            flops: self.flops,
        });
        Ok(())
    }

    fn fault(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Binding {
            operation: self.label.clone(),
            kernel: self.special.source.stem().into(),
            name: name.into(),
            problem: problem.into(),
        }
    }

    fn resolve_bindings(&self, interface: &Interface) -> Result<Vec<BoundValue>> {
        for (name, _) in &self.bound {
            let known = interface.bindings.iter().any(|info| info.name == *name);
            if !known {
                let names: Vec<_> = interface.bindings.iter().map(|i| i.name.as_str()).collect();
                let words = format!("is not a binding of the kernel; it has {}", names.join(", "));
                return Err(self.fault(name, words));
            }
            if self.bound.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(self.fault(name, "is bound twice"));
            }
        }
        let mut resolved: Vec<BoundValue> = Vec::new();
        for info in &interface.bindings {
            let Some((_, value)) = self.bound.iter().find(|(name, _)| *name == info.name) else {
                return Err(self.fault(&info.name, "is missing; bind a tensor to it"));
            };
            if value.recording != self.recording.id {
                return Err(self.fault(&info.name, "is bound to a value of another recording"));
            }
            let index = value.index as usize;
            let found = &self.recording.values[index];
            if found.dtype != info.dtype {
                let words = format!("holds {}, but `{}` holds {}", info.dtype, found.label, found.dtype);
                return Err(self.fault(&info.name, words));
            }
            if found.bytes() < info.min_bytes {
                let words = format!(
                    "needs at least {} bytes, `{}` {} has {}",
                    info.min_bytes,
                    found.label,
                    found.shape,
                    found.bytes()
                );
                return Err(self.fault(&info.name, words));
            }
            if info.stride > 0 && !found.bytes().is_multiple_of(info.stride) {
                let words = format!(
                    "is an array of {}-byte elements, `{}` {} has {} bytes; use a packed shape",
                    info.stride,
                    found.label,
                    found.shape,
                    found.bytes()
                );
                return Err(self.fault(&info.name, words));
            }
            let root = self.recording.root(index).0;
            let memory = &self.recording.values[root];
            if info.access == Access::ReadWrite && matches!(memory.role, Role::Constant(_)) {
                return Err(self.fault(&info.name, "is written, but bound to a constant"));
            }
            if info.access != Access::ReadWrite && !self.recording.is_index_written(index) {
                let words = format!("reads `{}` before any dispatch wrote it", found.label);
                return Err(self.fault(&info.name, words));
            }
            for other in resolved.iter().filter(|other| self.recording.root(other.value).0 == root) {
                if other.access == Access::ReadWrite || info.access == Access::ReadWrite {
                    let words = format!(
                        "and `{}` are bound to the same tensor `{}` and one of them writes it",
                        other.name, memory.label
                    );
                    return Err(self.fault(&info.name, words));
                }
            }
            resolved.push(BoundValue {
                binding: info.binding,
                name: info.name.clone(),
                access: info.access,
                value: index,
            });
        }
        Ok(resolved)
    }

    fn fill_params(&self, info: &UniformInfo) -> Result<Vec<u8>> {
        let mut bytes = vec![0u8; info.bytes as usize];
        for (name, _) in &self.params {
            if !info.members.iter().any(|(member, ..)| member == name) {
                return Err(self.fault(name, "is not a member of the kernel's `params`"));
            }
        }
        for (member, offset, dtype) in &info.members {
            let mut given = self.params.iter().filter(|(name, _)| name == member);
            let Some((_, value)) = given.next() else {
                return Err(self.fault(member, "is a member of `params` and was not set"));
            };
            if given.next().is_some() {
                return Err(self.fault(member, "is set twice"));
            }
            let (found, raw) = value.parts();
            if found != *dtype {
                return Err(self.fault(member, format!("is a {dtype}, it was set to a {found}")));
            }
            bytes[*offset as usize..*offset as usize + 4].copy_from_slice(&raw);
        }
        Ok(bytes)
    }

    fn fill_knobs(&self, interface: &Interface) -> Result<Option<KnobBlock>> {
        let Some(info) = &interface.knobs else {
            return match self.knobs.first() {
                Some((name, _)) => Err(self.fault(name, "is turned, but the kernel has no `knobs` uniform")),
                None => Ok(None),
            };
        };
        let mut bytes = vec![0u8; info.bytes as usize];
        let mut places = Vec::new();
        for (name, _) in &self.knobs {
            if !info.members.iter().any(|(member, ..)| member == name) {
                return Err(self.fault(name, "is not a member of the kernel's `knobs`"));
            }
        }
        for (member, offset, dtype) in &info.members {
            let mut given = self.knobs.iter().filter(|(name, _)| name == member);
            let Some((_, knob)) = given.next() else {
                return Err(self.fault(member, "is a member of `knobs` and has no knob"));
            };
            if given.next().is_some() {
                return Err(self.fault(member, "is turned by two knobs"));
            }
            if *dtype != DType::F32 {
                return Err(self.fault(member, "must be an f32 to be a knob"));
            }
            let initial = match self.recording.knobs.get(knob.index) {
                Some(&(_, initial)) if knob.recording == self.recording.id => initial,
                _ => return Err(self.fault(member, "is turned by a knob of another recording")),
            };
            if !initial.is_finite() {
                return Err(self.fault(member, format!("begins at {initial}; a knob must be finite")));
            }
            bytes[*offset as usize..*offset as usize + 4].copy_from_slice(&initial.to_ne_bytes());
            places.push((*offset, knob.index));
        }
        Ok(Some(KnobBlock { bytes, places }))
    }

    fn resolve_grid(&self, workgroup: [u32; 3]) -> Result<[u32; 3]> {
        let fold = |groups: u64| {
            let x = groups.min(FOLD);
            [x, groups.div_ceil(x.max(1)), 1]
        };
        let grid = match self.grid {
            Grid::Unset => return Err(self.fault("grid", "was not given")),
            Grid::Invocations(count) => {
                let size: u64 = workgroup.iter().map(|&size| u64::from(size)).product();
                fold(count.div_ceil(size))
            }
            Grid::Folded(count) => fold(count),
            Grid::Workgroups(grid) => grid,
        };
        if grid.contains(&0) {
            return Err(Error::argument(
                &self.label,
                "the grid",
                format!("is empty: {grid:?}; every size must be at least 1"),
            ));
        }
        match grid.iter().find(|&&size| size > FOLD) {
            Some(&size) => Err(Error::Limit {
                operation: self.label.clone(),
                what: "workgroups in one dimension".into(),
                asked: size,
                granted: FOLD,
                adapter: "any adapter".into(),
                hint: "use fewer rows".into(),
            }),
            None => Ok(grid.map(|size| size as u32)),
        }
    }
}
