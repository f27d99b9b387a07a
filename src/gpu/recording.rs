//! Recordings: what a plan will do, as plain data. Needs no device.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::reflect::{Access, Interface, Specialisation, UniformInfo, reflect};
use super::source::{Define, KernelSource};
use super::tensor::{DType, Element, Shape, bytes_of};
use crate::{Error, Result};

/// A tensor of a recording: a name for memory that a plan will provide. Only valid in the recording it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    recording: u32,
    index: u32,
}

/// A number that the host may turn between submits ([`super::Plan::set_knob`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob(pub(crate) usize);

/// Where the memory of a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Bound by name when the plan is compiled or encoded.
    Slot,
    /// Memory of the plan, shared by values whose lives do not overlap.
    Scratch,
    /// Uploaded once when the plan is compiled.
    Constant(Arc<[u8]>),
}

#[derive(Clone, Debug)]
pub(crate) struct ValueInfo {
    pub label: String,
    pub dtype: DType,
    pub shape: Shape,
    pub role: Role,
}

impl ValueInfo {
    pub(crate) fn bytes(&self) -> u64 {
        bytes_of(&self.shape, self.dtype)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct BoundValue {
    pub binding: u32,
    pub name: String,
    pub access: Access,
    pub value: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub label: String,
    pub special: Specialisation,
    pub bound: Vec<BoundValue>,
    /// Bytes of the `params` uniform.
    pub params: Option<Vec<u8>>,
    /// Bytes of the `knobs` uniform, and which knob fills which byte offset.
    pub knobs: Option<(Vec<u8>, Vec<(u32, usize)>)>,
    pub grid: [u32; 3],
    pub flops: u64,
}

/// A list of dispatches over named tensors: built, checked, printed and estimated without a device, then
/// [compiled](Recording::compile) into a [`super::Plan`].
#[derive(Clone, Debug)]
pub struct Recording {
    id: u32,
    pub(crate) label: String,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) knobs: Vec<(String, f32)>,
    written: Vec<bool>,
    slots: BTreeMap<String, Value>,
    streams: BTreeMap<u16, String>,
    scope: Vec<String>,
}

impl Recording {
    /// An empty recording. The label stands in front of all of its dispatches' labels.
    pub fn new(label: impl Into<String>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: label.into(),
            values: Vec::new(),
            dispatches: Vec::new(),
            knobs: Vec::new(),
            written: Vec::new(),
            slots: BTreeMap::new(),
            streams: BTreeMap::new(),
            scope: Vec::new(),
        }
    }

    /// The label given at the start.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Records `work` with `name` added to the labels of its dispatches.
    pub fn scoped<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.scope.push(name.into());
        let result = work(self);
        self.scope.pop();
        result
    }

    /// An external slot: memory that its owner binds by this name. Asking again for the same name gives the same
    /// value.
    ///
    /// # Errors
    /// [`Error::Shape`] if the name is known with another shape or element type.
    pub fn slot(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> Result<Value> {
        let shape = shape.into();
        if let Some(&known) = self.slots.get(name) {
            let info = &self.values[known.index as usize];
            if info.shape == shape && info.dtype == dtype {
                return Ok(known);
            }
            return Err(Error::shape(
                format!("{}: slot", self.label),
                name,
                format!("{shape} {dtype}"),
                format!("{} {} (as recorded before)", info.shape, info.dtype),
                "use another name, or the same shape everywhere",
            ));
        }
        let value = self.add(name.into(), dtype, shape, Role::Slot, true);
        self.slots.insert(name.into(), value);
        Ok(value)
    }

    /// Memory of the plan that lives from its first writer to its last reader.
    pub fn scratch(&mut self, label: &str, dtype: DType, shape: impl Into<Shape>) -> Value {
        self.add(label.into(), dtype, shape.into(), Role::Scratch, false)
    }

    /// Turns a scratch value into an external slot, so that its owner can read it after a run.
    ///
    /// # Errors
    /// [`Error::Argument`] if the name is taken, or the value is not scratch memory of this recording.
    pub fn expose(&mut self, value: Value, name: &str) -> Result<()> {
        self.shape(value)?;
        let info = &mut self.values[value.index as usize];
        if !matches!(info.role, Role::Scratch) || self.slots.contains_key(name) {
            let problem = "is taken, or the value is not scratch memory";
            return Err(Error::argument(&self.label, format!("slot name `{name}`"), problem));
        }
        info.role = Role::Slot;
        info.label = name.into();
        self.slots.insert(name.into(), value);
        Ok(())
    }

    /// Values uploaded once when the plan is compiled. Equal constants of one label share their memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not that of the shape.
    pub fn constant<T: Element>(
        &mut self,
        label: &str,
        shape: impl Into<Shape>,
        values: &[T],
    ) -> Result<Value> {
        let shape = shape.into();
        if shape.len() != values.len() {
            return Err(Error::shape(
                format!("{}: constant", self.label),
                label,
                format!("{} values", values.len()),
                format!("{} for {shape}", shape.len()),
                "pass every element in memory order",
            ));
        }
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let known = self.values.iter().position(|info| {
            let same = info.label == label && info.dtype == T::DTYPE && info.shape == shape;
            same && matches!(&info.role, Role::Constant(other) if **other == *bytes)
        });
        if let Some(index) = known {
            return Ok(Value { recording: self.id, index: index as u32 });
        }
        Ok(self.add(label.into(), T::DTYPE, shape, Role::Constant(bytes.into()), true))
    }

    /// A number that the host may turn between submits; asking again for the same name gives the same knob.
    pub fn knob(&mut self, name: &str, initial: f32) -> Knob {
        if let Some(index) = self.knobs.iter().position(|(known, _)| known == name) {
            return Knob(index);
        }
        self.knobs.push((name.into(), initial));
        Knob(self.knobs.len() - 1)
    }

    /// Registers a random stream and returns its number. The number depends on the name alone, so that the same
    /// operation draws the same numbers in every recording.
    ///
    /// # Errors
    /// [`Error::Argument`] if this recording already uses the name, or another name with the same number.
    pub fn stream(&mut self, name: &str) -> Result<u32> {
        let id = super::random::stream_id(name);
        let problem = match self.streams.get(&id) {
            None => {
                self.streams.insert(id, name.into());
                return Ok(u32::from(id));
            }
            Some(known) if known == name => {
                "is already used by this recording: two operations would draw the same numbers".into()
            }
            Some(known) => format!("has the same number as `{known}`; choose another name"),
        };
        Err(Error::argument(format!("{}: random stream", self.label), format!("`{name}`"), problem))
    }

    fn add(&mut self, label: String, dtype: DType, shape: Shape, role: Role, written: bool) -> Value {
        self.values.push(ValueInfo { label, dtype, shape, role });
        self.written.push(written);
        Value { recording: self.id, index: self.values.len() as u32 - 1 }
    }

    /// The shape of a value.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value belongs to another recording.
    pub fn shape(&self, value: Value) -> Result<&Shape> {
        if value.recording == self.id {
            return Ok(&self.values[value.index as usize].shape);
        }
        Err(Error::argument(
            &self.label,
            "a value",
            "belongs to another recording; values live in the recording that made them",
        ))
    }

    /// Checks that a value has the shape an operation expects.
    ///
    /// # Errors
    /// [`Error::Shape`] with both shapes.
    pub fn expect_shape(&self, operation: &str, value: Value, expected: impl Into<Shape>) -> Result<()> {
        let (found, expected) = (self.shape(value)?, expected.into());
        if *found == expected {
            return Ok(());
        }
        Err(Error::shape(
            format!("{}/{operation}", self.label),
            &self.values[value.index as usize].label,
            found,
            expected,
            "record the tensor with that shape",
        ))
    }

    /// Begins a dispatch of `source`; `operation` names it in labels and errors.
    pub fn dispatch<'a>(&'a mut self, source: &KernelSource, operation: &str) -> DispatchBuilder<'a> {
        let mut label = String::new();
        for part in std::iter::once(&self.label).chain(&self.scope) {
            let _ = write!(label, "{part}/");
        }
        label.push_str(operation);
        DispatchBuilder {
            recording: self,
            label,
            special: Specialisation { source: source.clone(), defines: Vec::new(), overrides: Vec::new() },
            bound: Vec::new(),
            params: Vec::new(),
            knobs: Vec::new(),
            grid: Grid::Unset,
            flops: 0,
        }
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }

    /// Nominal floating-point operations of one replay.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// Bytes bound by the dispatches of one replay: an estimate of its memory traffic.
    pub fn bytes(&self) -> u64 {
        let of = |dispatch: &Dispatch| -> u64 {
            dispatch.bound.iter().map(|bound| self.values[bound.value].bytes()).sum()
        };
        self.dispatches.iter().map(of).sum()
    }

    /// A table of the dispatches: kernel, grid, bytes bound, floating-point operations.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}: {} dispatches, {:.3} GFLOP, {:.2} MiB bound",
            self.label,
            self.len(),
            self.flops() as f64 * 1e-9,
            self.bytes() as f64 / f64::from(1 << 20)
        );
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            let [x, y, z] = dispatch.grid;
            let bytes: u64 = dispatch.bound.iter().map(|bound| self.values[bound.value].bytes()).sum();
            let _ = writeln!(
                text,
                "{index:4}  {:<44} {:<24} {:>14} {:>10} B {:>12} FLOP",
                dispatch.label,
                dispatch.special.source.stem(),
                format!("{x}x{y}x{z}"),
                bytes,
                dispatch.flops
            );
        }
        text
    }
}

/// A number for a member of a kernel's `params`.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// Unsigned integer.
    U32(u32),
    /// Signed integer.
    I32(i32),
    /// Float.
    F32(f32),
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Param::U32(value)
    }
}
impl From<i32> for Param {
    fn from(value: i32) -> Self {
        Param::I32(value)
    }
}
impl From<f32> for Param {
    fn from(value: f32) -> Self {
        Param::F32(value)
    }
}

impl Param {
    fn parts(self) -> (DType, [u8; 4]) {
        match self {
            Param::U32(value) => (DType::U32, value.to_ne_bytes()),
            Param::I32(value) => (DType::I32, value.to_ne_bytes()),
            Param::F32(value) => (DType::F32, value.to_ne_bytes()),
        }
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
    special: Specialisation,
    bound: Vec<(String, Value)>,
    params: Vec<(String, Param)>,
    knobs: Vec<(String, Knob)>,
    grid: Grid,
    flops: u64,
}

impl DispatchBuilder<'_> {
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
    pub fn turn(mut self, name: &str, knob: Knob) -> Self {
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
    pub fn constant(mut self, name: &str, value: f64) -> Self {
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
    /// [`Error::Shader`] if the kernel does not compile; [`Error::Binding`] for a missing, extra, mistyped, aliased or
    /// too small binding, a scratch value read before it was written, a missing or mistyped parameter;
    /// [`Error::Argument`] for an empty grid; [`Error::Limit`] for one that no device can run.
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
                self.recording.written[item.value] = true;
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
            if info.stride > 0 && found.bytes() % info.stride != 0 {
                let words = format!(
                    "is an array of {}-byte elements, `{}` {} has {} bytes; use a packed shape",
                    info.stride,
                    found.label,
                    found.shape,
                    found.bytes()
                );
                return Err(self.fault(&info.name, words));
            }
            if info.access == Access::ReadWrite && matches!(found.role, Role::Constant(_)) {
                return Err(self.fault(&info.name, "is written, but bound to a constant"));
            }
            if info.access != Access::ReadWrite && !self.recording.written[index] {
                let words = format!("reads `{}` before any dispatch wrote it", found.label);
                return Err(self.fault(&info.name, words));
            }
            for other in resolved.iter().filter(|other| other.value == index) {
                if other.access == Access::ReadWrite || info.access == Access::ReadWrite {
                    let words = format!(
                        "and `{}` are bound to the same tensor `{}` and one of them writes it",
                        other.name, found.label
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

    #[allow(clippy::type_complexity)]
    fn fill_knobs(&self, interface: &Interface) -> Result<Option<(Vec<u8>, Vec<(u32, usize)>)>> {
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
            let given = self.knobs.iter().find(|(name, _)| name == member);
            let Some((_, knob)) = given else {
                return Err(self.fault(member, "is a member of `knobs` and has no knob"));
            };
            if *dtype != DType::F32 {
                return Err(self.fault(member, "must be an f32 to be a knob"));
            }
            let initial = self.recording.knobs[knob.0].1;
            bytes[*offset as usize..*offset as usize + 4].copy_from_slice(&initial.to_ne_bytes());
            places.push((*offset, knob.0));
        }
        Ok(Some((bytes, places)))
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
