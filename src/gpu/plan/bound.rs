//! Recordings that collect the tensors of their slots.

use super::replay::Plan;
use crate::Result;
use crate::gpu::record::value::Role;
use crate::gpu::{Bindings, Element, Gpu, Recording, Shape, Tensor, Value};

impl Gpu {
    /// An empty recording for this device ([`Recording::tuned`] for [`Gpu::target`]).
    ///
    /// ```no_run
    /// use gibbs::gpu::run::random::{self, Distribution};
    /// use gibbs::gpu::{DType, RunState};
    ///
    /// let gpu = gibbs::Gpu::open(&gibbs::GpuOptions::default())?;
    /// let run = RunState::new(&gpu, 7)?;
    /// let mut recording = gpu.record("noise");
    /// recording.provide_all(&run.bindings());
    /// let noise = recording.scratch("noise", DType::F32, [1000]);
    /// let stream = recording.stream("noise")?;
    /// random::record(&mut recording, Distribution::Normal, stream, 0, noise)?;
    /// let result = recording.output(&gpu, noise, "result")?;
    /// recording.compile_bound(&gpu)?.run(1)?;
    /// let numbers: Vec<f32> = gpu.read(&result)?;
    /// # Ok::<(), gibbs::Error>(())
    /// ```
    pub fn record(&self, label: impl Into<String>) -> Recording {
        Recording::tuned(label, self.target())
    }
}

impl Bindings {
    /// Those whose names are slots of the recording.
    pub fn only(&self, recording: &Recording) -> Bindings {
        let is_slot = |name: &str| {
            recording.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name)
        };
        Bindings {
            entries: self.entries.iter().filter(|(name, _)| is_slot(name)).cloned().collect(),
            clashes: self.clashes.iter().filter(|name| is_slot(name)).cloned().collect(),
        }
    }
}

impl Recording {
    /// Remembers a tensor for the slot `name`, which may be recorded before or after; one that is
    /// never recorded is no error. Two tensors for one slot are refused when the recording is
    /// compiled.
    pub fn provide(&mut self, name: &str, tensor: &Tensor) {
        self.provide_all(&Bindings::new().with(name, tensor));
    }

    /// As [`Recording::provide`], for all of a set.
    pub fn provide_all(&mut self, bindings: &Bindings) {
        self.provided = std::mem::take(&mut self.provided).merge(bindings);
    }

    /// What was provided for the slots that there are.
    pub fn provided(&self) -> Bindings {
        self.provided.only(self)
    }

    /// A tensor as a value: a slot that is called like the tensor's label and remembers it.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if something of another shape took the name.
    pub fn tensor(&mut self, tensor: &Tensor) -> Result<Value> {
        let value = self.slot(tensor.label(), tensor.dtype(), tensor.shape().clone())?;
        self.provide(tensor.label(), tensor);
        Ok(value)
    }

    /// A new tensor of zeros that the host writes before a run, and its value: a slot `name`.
    ///
    /// # Errors
    /// As [`Recording::tensor`] and [`Tensor::zeros`].
    pub fn input<T: Element>(
        &mut self,
        gpu: &Gpu,
        name: &str,
        shape: impl Into<Shape>,
    ) -> Result<(Tensor, Value)> {
        let tensor = Tensor::zeros(gpu, name, T::DTYPE, shape)?;
        let value = self.tensor(&tensor)?;
        Ok((tensor, value))
    }

    /// Gives a scratch value a new tensor of its own, the slot `name`, that can be read after a
    /// run, in rows without padding ([`Recording::expose`]).
    ///
    /// # Errors
    /// As [`Recording::expose`] and [`Tensor::zeros`].
    pub fn output(&mut self, gpu: &Gpu, value: Value, name: &str) -> Result<Tensor> {
        let plain = self.expose_plain(value, name)?;
        let info = &self.values[plain.index as usize];
        let tensor = Tensor::zeros(gpu, name, info.dtype, info.shape.clone())?;
        self.provide(name, &tensor);
        Ok(tensor)
    }

    /// Turns the recording into a plan with the tensors that its slots remember
    /// ([`Recording::tensor`], [`Recording::provide`], a model's `value`). Slots that
    /// remember none stay open for [`Plan::encode`].
    ///
    /// # Errors
    /// As [`Recording::compile`]: [`crate::Error::Argument`] also for two tensors that were
    /// provided for one slot.
    pub fn compile_bound(&self, gpu: &Gpu) -> Result<Plan> {
        self.compile(gpu, &self.provided())
    }

    /// As [`Recording::compile_bound`], with these tensors in place of what their slots remember,
    /// if anything.
    ///
    /// # Errors
    /// As [`Recording::compile`].
    pub fn compile_with(&self, gpu: &Gpu, bindings: &Bindings) -> Result<Plan> {
        let mut all = self.provided();
        all.replace_with(bindings);
        self.compile(gpu, &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::DType;

    #[test]
    fn what_is_provided_waits_for_its_slot() {
        let recording = Recording::new("slots");
        assert!(recording.provided().entries.is_empty());
        let mut recording = recording;
        recording.provide_all(&Bindings::new());
        recording.slot("x", DType::F32, [3]).unwrap();
        assert!(recording.provided().entries.is_empty());
    }
}
