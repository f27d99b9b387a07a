//! The run state: step counter and seed of a run, kept on the device
//! (`shaders/gpu/run/advance.wgsl`).

use crate::Result;
use crate::gpu::{Bindings, DType, Gpu, KernelSource, Recording, Tensor, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/advance.wgsl");

/// The run state as it lies on the device.
mod on_device {
    crate::gpu::shared_struct! {
        /// A step counter and a seed, each a 64-bit number in two halves.
        pub struct RunState in "lib/run_state.wgsl" {
            step_low: u32,
            step_high: u32,
            seed_low: u32,
            seed_high: u32,
        }
    }
}

pub(in crate::gpu) fn shared_structs() -> Vec<crate::gpu::StructLayout> {
    vec![on_device::RunState::layout()]
}

/// Step counter and seed of a run. Made by the caller, shared by all plans of the run, written only
/// by [`RunState::record_advance`] and [`crate::gpu::MetricsRing::record_finish`].
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
        let start = on_device::RunState {
            step_low: step as u32,
            step_high: (step >> 32) as u32,
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
        };
        let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&start));
        let tensor = Tensor::from_slice(gpu, Self::SLOT, [words.len()], words)?;
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
        let found: on_device::RunState = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
        Ok(u64::from(found.step_low) | u64::from(found.step_high) << 32)
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
        recording.slot(Self::SLOT, DType::U32, [on_device::RunState::WORDS])
    }

    /// Records the step from one replay to the next: the last dispatch of a training step. One
    /// dispatch.
    ///
    /// # Errors
    /// As [`RunState::value`].
    pub fn record_advance(recording: &mut Recording) -> Result<()> {
        let state = Self::value(recording)?;
        recording.dispatch(&KERNEL, "advance").bind("state", state).workgroups([1, 1, 1]).finish()
    }
}
