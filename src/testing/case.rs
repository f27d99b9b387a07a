//! One recording with its tensors, run on one adapter.

use super::adapter::Adapter;
use super::compare::{Tolerance, compare, compare_words};
use super::data::{POISON, from_words, pack, poisoned, unpack, words};
use super::failure::{Failure, fail};
use crate::gpu::{
    Bindings, DType, DeviceClass, Element, Gpu, Knob, Recording, RunState, Shape, Target, Tensor, Value,
};
use crate::{Error, Result};

/// One recording with its tensors: inputs are uploaded, outputs poisoned, everything can be read by
/// name afterwards.
///
/// Mistakes while building (a shape that does not fit, no memory) are kept and returned by
/// [`Case::try_run`]. On an adapter opened as [`super::Configuration::Checked`] the case runs with
/// trusted shaders too, on a second device ([`Adapter::against`]), and all its tensors must hold
/// the same bits afterwards.
#[derive(Debug)]
pub struct Case {
    /// The recording; pass it to the `record` function under test.
    pub recording: Recording,
    label: String,
    gpu: Gpu,
    twin: Option<Gpu>,
    tensors: Vec<(String, Tensor)>,
    knobs: Vec<(Knob, f32)>,
    fault: Option<Failure>,
}

impl Case {
    /// An empty case with the kernel variants for this adapter; the label stands in front of
    /// failures.
    pub fn new(adapter: &Adapter, label: impl Into<String>) -> Self {
        Self::tuned(adapter, adapter.gpu.capabilities().class, label)
    }

    /// As [`Case::new`], with the kernel variants for a class of devices: they run on all of them.
    pub fn tuned(adapter: &Adapter, class: DeviceClass, label: impl Into<String>) -> Self {
        Self { twin: adapter.twin.clone(), ..Self::on(adapter, &adapter.gpu, class, label) }
    }

    /// As [`Case::tuned`], on another device of the adapter and on no second one.
    pub fn on(adapter: &Adapter, gpu: &Gpu, class: DeviceClass, label: impl Into<String>) -> Self {
        let recording = Recording::tuned(label, Target { class, ..gpu.target() });
        Self {
            label: format!("{}: {}", adapter.name, recording.label()),
            recording,
            gpu: gpu.clone(),
            twin: None,
            tensors: Vec::new(),
            knobs: Vec::new(),
            fault: None,
        }
    }

    fn failure(&self, name: &str, error: Error) -> Failure {
        Failure::gpu(format!("{}: `{name}`", self.label), error)
    }

    fn keep(&mut self, name: &str, error: Error) {
        let failure = self.failure(name, error);
        self.fault.get_or_insert(failure);
    }

    /// A slot that holds `values`, in memory order.
    pub fn input<T: Element>(&mut self, name: &str, shape: impl Into<Shape>, values: &[T]) -> Value {
        let shape = shape.into();
        let tensor = Tensor::from_slice(&self.gpu, name, shape.clone(), values);
        self.add(name, T::DTYPE, shape, tensor)
    }

    /// A packed matrix of unpadded `values: [rows, width]`.
    ///
    /// # Panics
    /// If there are more or fewer values.
    #[track_caller]
    pub fn packed(&mut self, name: &str, rows: usize, width: usize, values: &[f32]) -> Value {
        self.input(name, Shape::packed(rows, width), &pack(values, rows, width))
    }

    /// A run at `step` with `seed`, as the recording's run state.
    pub fn run_state(&mut self, seed: u64, step: u64) {
        match RunState::at(&self.gpu, seed, step) {
            Ok(state) => self.tensors.push((RunState::SLOT.into(), state.tensor().clone())),
            Err(error) => self.keep(RunState::SLOT, error),
        }
    }

    /// A slot full of poison, for kernels that write into memory of the caller.
    pub fn poisoned(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> Value {
        let shape = shape.into();
        let tensor = poisoned(&self.gpu, name, dtype, shape.clone());
        self.add(name, dtype, shape, tensor)
    }

    /// A tensor that somebody else made, under `name`.
    pub fn bind(&mut self, name: &str, tensor: &Tensor) -> Value {
        self.add(name, tensor.dtype(), tensor.shape().clone(), Ok(tensor.clone()))
    }

    fn add(&mut self, name: &str, dtype: DType, shape: Shape, tensor: Result<Tensor>) -> Value {
        match tensor {
            Ok(tensor) => self.tensors.push((name.into(), tensor)),
            Err(error) => self.keep(name, error),
        }
        match self.recording.slot(name, dtype, shape.clone()) {
            Ok(value) => value,
            Err(error) => {
                self.keep(name, error);
                // Stands in for the slot: the case will not run.
                self.recording.scratch(name, dtype, shape)
            }
        }
    }

    /// Turns what a `record` function returned into the poisoned output `name`.
    pub fn output(&mut self, name: &str, value: Value) {
        let shape = self.recording.shape(value).cloned();
        let made = shape.and_then(|shape| {
            self.recording.expose_packed(value, name)?;
            poisoned(&self.gpu, name, DType::F32, shape)
        });
        match made {
            Ok(tensor) => self.tensors.push((name.into(), tensor)),
            Err(error) => self.keep(name, error),
        }
    }

    /// Turns a knob before the run.
    pub fn knob(&mut self, knob: Knob, value: f32) {
        self.knobs.push((knob, value));
    }

    /// Compiles, replays `times` times and waits.
    ///
    /// # Errors
    /// What went wrong while building or running; results that differ from those of the adapter's
    /// second device, where it has one.
    pub fn try_run_times(self, times: u64) -> Result<Results, Failure> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut copies = Vec::new();
        if let Some(twin) = &self.twin {
            for (name, tensor) in &self.tensors {
                let copy = words(&self.gpu, tensor)
                    .and_then(|bits| from_words(twin, name, tensor.dtype(), tensor.shape().clone(), &bits));
                copies.push((name.clone(), copy.map_err(|error| self.failure(name, error))?));
            }
        }
        self.replay(&self.gpu, &self.tensors, times)?;
        if let Some(twin) = &self.twin {
            self.replay(twin, &copies, times)?;
            for ((name, tensor), (_, copy)) in self.tensors.iter().zip(&copies) {
                let place = format!("{}: `{name}`, against the second device (expected)", self.label);
                let found = words(&self.gpu, tensor).map_err(|error| self.failure(name, error))?;
                let expected = words(twin, copy).map_err(|error| self.failure(name, error))?;
                if !expected.is_empty() {
                    compare_words(&found, &expected)
                        .map_err(|mismatch| Failure::mismatch(place, mismatch))?;
                }
            }
        }
        Ok(Results { label: self.label, gpu: self.gpu, tensors: self.tensors })
    }

    /// The recording and its tensors, for callers that run it themselves.
    pub(super) fn parts(self) -> Result<(Recording, Vec<(String, Tensor)>), Failure> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok((self.recording, self.tensors)),
        }
    }

    fn replay(&self, gpu: &Gpu, tensors: &[(String, Tensor)], times: u64) -> Result<(), Failure> {
        let failed = |error| Failure::gpu(&self.label, error);
        let all = tensors.iter().fold(Bindings::new(), |all, (name, tensor)| all.with(name, tensor));
        let plan = self.recording.compile(gpu, &all).map_err(failed)?;
        if plan.dispatches() != self.recording.len() {
            return Err(Failure::new(&self.label, "a dispatch was dropped"));
        }
        for &(knob, value) in &self.knobs {
            plan.set_knob(knob, value).map_err(failed)?;
        }
        plan.run(times).and_then(|()| gpu.wait()).map_err(failed)
    }

    /// As [`Case::try_run_times`], once.
    ///
    /// # Errors
    /// As there.
    pub fn try_run(self) -> Result<Results, Failure> {
        self.try_run_times(1)
    }

    /// As [`Case::try_run_times`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn run_times(self, times: u64) -> Results {
        self.try_run_times(times).unwrap_or_else(|failure| fail(failure))
    }

    /// As [`Case::try_run`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn run(self) -> Results {
        self.run_times(1)
    }

    /// Checks that exactly these kernels were recorded, in this order, given by their stems: a
    /// fallback must not pass in the place of the kernel under test.
    ///
    /// # Errors
    /// [`Failure`] with the recording's table.
    pub fn check_kernels(&self, stems: &[&str]) -> Result<(), Failure> {
        let kernels = self.recording.kernels();
        let found: Vec<&str> = kernels.iter().map(|kernel| kernel.source.stem()).collect();
        // A variant in a file of its own stands for its kernel.
        let is = |(found, stem): (&&str, &&str)| {
            let variant =
                found.strip_prefix(stem).is_some_and(|end| ["", "_tiled", "_subgroup"].contains(&end));
            variant || found == stem
        };
        if found.len() == stems.len() && found.iter().zip(stems).all(is) {
            return Ok(());
        }
        let problem = format!("recorded {found:?}, expected {stems:?}\n{}", self.recording.describe());
        Err(Failure::new(&self.label, problem))
    }

    /// As [`Case::check_kernels`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn expect_kernels(&self, stems: &[&str]) {
        self.check_kernels(stems).unwrap_or_else(|failure| fail(failure));
    }
}

/// The tensors of a case after its run.
#[derive(Debug)]
pub struct Results {
    label: String,
    gpu: Gpu,
    tensors: Vec<(String, Tensor)>,
}

impl Results {
    fn place(&self, what: &str) -> String {
        format!("{}: `{what}`", self.label)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, Failure> {
        let found = self.tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
        found.ok_or_else(|| {
            let names: Vec<_> = self.tensors.iter().map(|(name, _)| name.as_str()).collect();
            Failure::new(self.place(name), format!("no such tensor; the case has {}", names.join(", ")))
        })
    }

    fn in_place<T>(&self, name: &str, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| failure.within(&self.place(name)))
    }

    /// Elements in memory order.
    ///
    /// # Errors
    /// [`Failure`] if there is no such tensor, of another element type, or the device fails.
    pub fn read<T: Element>(&self, name: &str) -> Result<Vec<T>, Failure> {
        let tensor = self.tensor(name)?;
        self.in_place(name, self.gpu.read(tensor).map_err(Failure::from))
    }

    /// A packed matrix without its padding, which must be zero.
    ///
    /// # Errors
    /// As [`Results::read`], and if the tensor is not packed or its padding not zero.
    pub fn read_packed(&self, name: &str) -> Result<Vec<f32>, Failure> {
        let shape = self.tensor(name)?.shape();
        let flat = self.read(name)?;
        self.in_place(
            name,
            match shape.is_packed() {
                true => unpack(&flat, shape.rows(), shape.width()),
                false => Err(Failure::new("", "is not packed")),
            },
        )
    }

    /// Checks that `found` is within `bound` of `expected`; the failure names adapter, case and
    /// tensor.
    ///
    /// # Errors
    /// [`Failure`] as [`compare`] has it.
    pub fn check(
        &self,
        what: &str,
        found: &[f32],
        expected: &[f64],
        bound: impl Tolerance,
    ) -> Result<(), Failure> {
        compare(found, expected, bound).map_err(|mismatch| Failure::mismatch(self.place(what), mismatch))
    }

    /// Checks that all words are equal.
    ///
    /// # Errors
    /// [`Failure`] as [`compare_words`] has it.
    pub fn check_words(&self, what: &str, found: &[u32], expected: &[u32]) -> Result<(), Failure> {
        compare_words(found, expected).map_err(|mismatch| Failure::mismatch(self.place(what), mismatch))
    }

    /// Checks that every element at these indices still holds the poison.
    ///
    /// # Errors
    /// [`Failure`] with the first element that was written, or if an index lies outside.
    pub fn check_untouched(
        &self,
        name: &str,
        indices: impl IntoIterator<Item = usize>,
    ) -> Result<(), Failure> {
        let tensor = self.tensor(name)?;
        let bits = self.in_place(name, words(&self.gpu, tensor).map_err(Failure::from))?;
        for at in indices {
            match bits.get(at) {
                Some(&POISON) => {}
                Some(word) => {
                    let problem = format!("element {at} was written: {word:#010x}");
                    return Err(Failure::new(self.place(name), problem));
                }
                None => {
                    let problem = format!("has {} elements, there is no element {at}", bits.len());
                    return Err(Failure::new(self.place(name), problem));
                }
            }
        }
        Ok(())
    }

    /// As [`Results::read`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn get<T: Element>(&self, name: &str) -> Vec<T> {
        self.read(name).unwrap_or_else(|failure| fail(failure))
    }

    /// The bits of an `f32` tensor in memory order.
    ///
    /// # Panics
    /// As [`Results::get`].
    #[track_caller]
    pub fn bits(&self, name: &str) -> Vec<u32> {
        self.get::<f32>(name).into_iter().map(f32::to_bits).collect()
    }

    /// As [`Results::read_packed`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn packed(&self, name: &str) -> Vec<f32> {
        self.read_packed(name).unwrap_or_else(|failure| fail(failure))
    }

    /// A packed matrix without its padding, which must be finite and nothing more.
    ///
    /// # Panics
    /// As [`Results::packed`], and if an element is not finite.
    #[track_caller]
    pub fn packed_inside(&self, name: &str) -> Vec<f32> {
        let shape = self.tensor(name).unwrap_or_else(|failure| fail(failure)).shape();
        let flat: Vec<f32> = self.get(name);
        if flat.iter().any(|value| !value.is_finite()) || !shape.is_packed() {
            fail(Failure::new(self.place(name), "is not packed or not finite"));
        }
        flat.chunks_exact(shape.stride()).flat_map(|row| &row[..shape.width()]).copied().collect()
    }

    /// As [`Results::check`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn expect(&self, what: &str, found: &[f32], expected: &[f64], bound: impl Tolerance) {
        self.check(what, found, expected, bound).unwrap_or_else(|failure| fail(failure));
    }

    /// As [`Results::check_words`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn expect_words(&self, what: &str, found: &[u32], expected: &[u32]) {
        self.check_words(what, found, expected).unwrap_or_else(|failure| fail(failure));
    }

    /// As [`Results::check_untouched`].
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn expect_untouched(&self, name: &str, indices: impl IntoIterator<Item = usize>) {
        self.check_untouched(name, indices).unwrap_or_else(|failure| fail(failure));
    }
}
