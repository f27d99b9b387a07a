//! The run state: step counter and seed of a run, kept on the device (`shaders/gpu/advance.wgsl`).

use super::{Bindings, DType, Gpu, KernelSource, Recording, Tensor, Value, embedded_kernel};
use crate::Result;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/advance.wgsl");

/// Step counter and seed of a run. Made by the caller, shared by all plans of the run, written only by
/// [`RunState::record_advance`] and [`super::MetricsRing::record_finish`].
#[derive(Clone, Debug)]
pub struct RunState {
    tensor: Tensor,
    seed: u64,
}

impl RunState {
    /// Name of the slot that holds the run state in every recording.
    pub const SLOT: &'static str = "run_state";

    /// A run at step 0.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], [`crate::Error::DeviceLost`].
    pub fn new(gpu: &Gpu, seed: u64) -> Result<Self> {
        Self::at(gpu, seed, 0)
    }

    /// A run at a given step.
    ///
    /// # Errors
    /// As [`RunState::new`].
    pub fn at(gpu: &Gpu, seed: u64, step: u64) -> Result<Self> {
        let halves = [step as u32, (step >> 32) as u32, seed as u32, (seed >> 32) as u32];
        let tensor = Tensor::from_slice(gpu, Self::SLOT, [4], &halves)?;
        Ok(Self { tensor, seed })
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The four words on the device: step low, step high, seed low, seed high.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Reads the step counter. A blocking readback: for checkpoints and tests.
    ///
    /// # Errors
    /// [`crate::Error::Timeout`], [`crate::Error::DeviceLost`].
    pub fn step(&self, gpu: &Gpu) -> Result<u64> {
        let words: Vec<u32> = gpu.read(&self.tensor)?;
        Ok(u64::from(words[0]) | u64::from(words[1]) << 32)
    }

    /// The binding of the slot.
    pub fn bindings(&self) -> Bindings {
        Bindings::new().with(Self::SLOT, &self.tensor)
    }

    /// The run state as a value of a recording.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if something else took the slot's name.
    pub fn value(recording: &mut Recording) -> Result<Value> {
        recording.slot(Self::SLOT, DType::U32, [4])
    }

    /// Records the step from one replay to the next: the last dispatch of a training step. One dispatch.
    ///
    /// # Errors
    /// As [`RunState::value`].
    pub fn record_advance(recording: &mut Recording) -> Result<()> {
        let state = Self::value(recording)?;
        recording.dispatch(&KERNEL, "advance").bind("state", state).workgroups([1, 1, 1]).finish()
    }
}
