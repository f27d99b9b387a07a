//! Recordings: what a plan will do, as plain data. Needs no device.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};

use super::bindings::Bindings;
use super::dispatch::Dispatch;
use super::kernel_variant::KernelVariant;
use super::shape::{DType, Element, Shape};
use super::stream::stream_id;
use super::target::Target;
use super::value::{Knob, Role, Value, ValueInfo};
use super::written::Written;
use crate::gpu::device::capabilities::DeviceClass;
use crate::gpu::device::tuning::VariantChoices;
use crate::{Error, Result};

/// Where a binding may begin in a buffer on every device, in bytes.
const ALIGNMENT: u64 = 256;

/// A list of dispatches over named tensors: built, checked, printed and estimated without a device,
/// then [compiled](Recording::compile) into a [`crate::gpu::Plan`].
#[derive(Debug)]
pub struct Recording {
    pub(in crate::gpu) id: u32,
    pub(crate) label: String,
    target: Target,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) knobs: Vec<(String, f32)>,
    /// What of a value holds something to read, by index; views have nothing of their own.
    written: Vec<Written>,
    slots: BTreeMap<String, Value>,
    /// Constants by the hash of all they are.
    constants: HashMap<u64, Vec<Value>>,
    streams: BTreeMap<u16, String>,
    pub(in crate::gpu) scope: Vec<String>,
    pub(in crate::gpu) variants: VariantChoices,
    /// Tensors for slots, recorded or not yet.
    pub(in crate::gpu) provided: Bindings,
}

impl Recording {
    /// An empty recording with the kernel variants for GPUs, and WebGPU's default limits. The label
    /// stands in front of all of its dispatches' labels.
    pub fn new(label: impl Into<String>) -> Self {
        Self::tuned(label, DeviceClass::Gpu)
    }

    /// An empty recording for a target: a device ([`crate::gpu::Gpu::target`],
    /// [`crate::gpu::Capabilities::target`]), or a class of devices. Its kernel variants suit that
    /// class and run on any; what networks bind stays below the target's limit, so that it compiles
    /// on every device that grants as much.
    pub fn tuned(label: impl Into<String>, target: impl Into<Target>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: label.into(),
            target: target.into(),
            values: Vec::new(),
            dispatches: Vec::new(),
            knobs: Vec::new(),
            written: Vec::new(),
            slots: BTreeMap::new(),
            constants: HashMap::new(),
            streams: BTreeMap::new(),
            scope: Vec::new(),
            variants: VariantChoices::new(),
            provided: Bindings::new(),
        }
    }

    /// The label given at the start.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The class of devices whose kernel variants are recorded.
    pub fn class(&self) -> DeviceClass {
        self.target.class
    }

    /// What the recording is meant for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The variants that were chosen, by shape class, of the operations that have several.
    pub fn variants(&self) -> &VariantChoices {
        &self.variants
    }

    pub(crate) fn note_variant(&mut self, class: String, variant: String) {
        self.variants.entry(class).or_default().insert(variant);
    }

    /// Records `work` with `name` added to the labels of its dispatches.
    pub fn scoped<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.scope.push(name.into());
        let result = work(self);
        self.scope.pop();
        result
    }

    /// An external slot: memory that its owner binds by this name. Asking again for the same name
    /// gives the same value.
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
        let value = self.add(name.into(), dtype, shape, Role::Slot, Written::all());
        self.slots.insert(name.into(), value);
        Ok(value)
    }

    /// Memory of the plan that lives from its first writer to its last reader.
    pub fn scratch(&mut self, label: &str, dtype: DType, shape: impl Into<Shape>) -> Value {
        self.add(label.into(), dtype, shape.into(), Role::Scratch, Written::default())
    }

    /// A view of `count` rows of a value, from row `first` on: `[count, width]`, packed if the
    /// value is. It has no memory of its own: writing it writes the value, which counts as written
    /// once all of its rows are. A dispatch binds the view's bytes alone, so the value may be
    /// larger than the device's largest binding.
    ///
    /// A dispatch that writes one view must not bind another of the same value: devices track whole
    /// buffers.
    ///
    /// # Errors
    /// [`Error::Argument`] if the range is empty or reaches past the last row, or does not begin at
    /// a multiple of 256 bytes; multiples of 64 rows always do.
    pub fn rows(&mut self, value: Value, first: usize, count: usize) -> Result<Value> {
        let shape = self.shape(value)?.clone();
        let info = &self.values[value.index as usize];
        let fail = |problem: String| {
            Err(Error::argument(&self.label, format!("the rows asked of `{}`", info.label), problem))
        };
        if count == 0 || first.checked_add(count).is_none_or(|end| end > shape.rows()) {
            return fail(format!("are {count} from {first} on; it has {}, give some of them", shape.rows()));
        }
        let (root, start) = self.root(value.index as usize);
        let bytes = first.saturating_mul(shape.stride()).saturating_mul(info.dtype.size());
        let offset = start.saturating_add(bytes as u64);
        if !offset.is_multiple_of(ALIGNMENT) {
            return fail(format!(
                "begin with {first} at byte {offset}; give a multiple of {ALIGNMENT} bytes"
            ));
        }
        let label = format!("{}[{first}..{}]", info.label, first + count);
        let dtype = info.dtype;
        let rows = match shape.is_padded() {
            true => Shape::packed(count, shape.width()),
            false => Shape::new([count, shape.width()]),
        };
        Ok(self.add(label, dtype, rows, Role::View { root, offset }, Written::default()))
    }

    /// Promises that whatever is bound to a slot has the usage `UNIFORM`, as every tensor has that
    /// gibbs makes itself: kernels may then read small parts of it as uniform buffers, which
    /// software renderers do several times faster.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value belongs to another recording.
    pub fn allow_uniform(&mut self, value: Value) -> Result<()> {
        self.shape(value)?;
        let root = self.root(value.index as usize).0;
        self.values[root].uniform = true;
        Ok(())
    }

    /// A view of `shape` elements of a value, from element `first` on, to be bound as a uniform
    /// buffer; none if that is not allowed, or it does not begin at a multiple of 256 bytes or
    /// reaches past the end.
    pub(crate) fn window(
        &mut self,
        value: Value,
        first: usize,
        shape: impl Into<Shape>,
    ) -> Result<Option<Value>> {
        let shape = shape.into();
        let length = self.shape(value)?.len();
        let info = &self.values[value.index as usize];
        let (root, start) = self.root(value.index as usize);
        let offset = start + (first * info.dtype.size()) as u64;
        let within = first + shape.len() <= length;
        if !self.values[root].uniform || !offset.is_multiple_of(ALIGNMENT) || !within {
            return Ok(None);
        }
        let (label, dtype) = (format!("{}[{first}..{}]", info.label, first + shape.len()), info.dtype);
        Ok(Some(self.add(label, dtype, shape, Role::View { root, offset }, Written::default())))
    }

    /// The value that holds the memory of a value, and the first byte there.
    pub(in crate::gpu) fn root(&self, index: usize) -> (usize, u64) {
        match self.values[index].role {
            Role::View { root, offset } => (root, offset),
            _ => (index, 0),
        }
    }

    /// As [`Recording::expose`], with the padding of its rows in the slot, if they have any.
    ///
    /// # Errors
    /// As there.
    pub fn expose_packed(&mut self, value: Value, name: &str) -> Result<()> {
        self.check_exposable(value, name)?;
        let info = &mut self.values[value.index as usize];
        info.role = Role::Slot;
        info.label = name.into();
        self.slots.insert(name.into(), value);
        Ok(())
    }

    pub(in crate::gpu) fn check_exposable(&self, value: Value, name: &str) -> Result<()> {
        self.shape(value)?;
        let is_scratch = matches!(self.values[value.index as usize].role, Role::Scratch);
        if is_scratch && !self.slots.contains_key(name) {
            return Ok(());
        }
        let problem = "is taken, or the value is not scratch memory";
        Err(Error::argument(&self.label, format!("slot name `{name}`"), problem))
    }

    /// Values uploaded once when the plan is compiled. Equal constants of one label share their
    /// memory.
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
        let mut hasher = DefaultHasher::new();
        (label, T::DTYPE, &shape, bytes).hash(&mut hasher);
        let key = hasher.finish();
        let known = self.constants.get(&key).into_iter().flatten().find(|value| {
            let info = &self.values[value.index as usize];
            let same = info.label == label && info.dtype == T::DTYPE && info.shape == shape;
            same && matches!(&info.role, Role::Constant(other) if **other == *bytes)
        });
        if let Some(&value) = known {
            return Ok(value);
        }
        let value = self.add(label.into(), T::DTYPE, shape, Role::Constant(bytes.into()), Written::all());
        self.constants.entry(key).or_default().push(value);
        Ok(value)
    }

    /// A number that the host may turn between submits; asking again for the same name gives the
    /// same knob.
    pub fn knob(&mut self, name: &str, initial: f32) -> Knob {
        let known = self.knobs.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or_else(|| {
            self.knobs.push((name.into(), initial));
            self.knobs.len() - 1
        });
        Knob { recording: self.id, index }
    }

    /// Registers a random stream and returns its number. The number depends on the name alone, so
    /// that the same operation draws the same numbers in every recording.
    ///
    /// # Errors
    /// [`Error::Argument`] if this recording already uses the name, or another name with the same
    /// number.
    pub fn stream(&mut self, name: &str) -> Result<u32> {
        let id = stream_id(name);
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

    fn add(&mut self, label: String, dtype: DType, shape: Shape, role: Role, written: Written) -> Value {
        self.values.push(ValueInfo { label, dtype, shape, role, uniform: false });
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

    /// Whether a value holds something to read: a slot, a constant, or scratch memory that
    /// dispatches have written, each of its rows by one of them.
    pub fn is_written(&self, value: Value) -> bool {
        value.recording == self.id && self.is_index_written(value.index as usize)
    }

    pub(in crate::gpu) fn is_index_written(&self, index: usize) -> bool {
        let (root, begin) = self.root(index);
        self.written[root].covers(begin, begin.saturating_add(self.values[index].bytes()))
    }

    pub(in crate::gpu) fn mark_written(&mut self, index: usize) {
        let (root, begin) = self.root(index);
        let end = begin.saturating_add(self.values[index].bytes());
        self.written[root].add(begin, end);
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
        self.dispatches.iter().map(|dispatch| self.bytes_of(dispatch)).sum()
    }

    pub(in crate::gpu) fn bytes_of(&self, dispatch: &Dispatch) -> u64 {
        dispatch.bound.iter().map(|bound| self.values[bound.value].bytes()).sum()
    }

    /// The kernels of the dispatches in order, each in the variant that was chosen for it.
    pub fn kernels(&self) -> Vec<KernelVariant> {
        let of = |dispatch: &Dispatch| {
            let special = &dispatch.special;
            let defines = special.defines.clone();
            KernelVariant { defines, ..KernelVariant::new(&special.source, &[]) }
        };
        self.dispatches.iter().map(of).collect()
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
            let bytes = self.bytes_of(dispatch);
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
