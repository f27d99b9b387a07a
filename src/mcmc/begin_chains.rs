//! The memory of Metropolis chains at their start (`shaders/mcmc/begin_chains.wgsl`).

use super::chain_inputs::Extent;
use crate::Result;
use crate::gpu::{
    DType, KernelSource, Recording, SharedConstant, StructLayout, Value, embedded_kernel, shared_constant,
    shared_struct,
};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/begin_chains.wgsl");

shared_struct! {
    /// What a chain remembers between steps, in front of `dE/dy` of its current point.
    pub struct Chain in "lib/chain.wgsl" {
        /// Energy of the current point.
        energy: f32,
        /// Kinetic energy at the start of the trajectory.
        kinetic: f32,
        /// The leapfrog step of the trajectory.
        step: f32,
        /// 1 if the end of the trajectory is outside the box.
        outside: f32,
        /// Accepted trajectories so far.
        accepted: f32,
        /// Acceptance probability of the last trajectory.
        acceptance: f32,
        /// 1 if the start, its energy or its gradient is not finite: the chain never moves.
        dead: f32,
        /// Decisions so far, warm-up left out, that the rounding of energies may have turned.
        rounded: f32,
        /// The largest energy of those.
        magnitude: f32,
    }
}

shared_struct! {
    /// The factor on step sizes and the state of its adaptation.
    pub struct StepAdaptation in "lib/step_adaptation.wgsl" {
        /// Factor on all step sizes.
        factor: f32,
        /// Running mean of its logarithm.
        log_mean: f32,
        /// Running mean of how much the acceptance probability falls short of its target.
        deficit: f32,
        /// Mean acceptance probability of the last step.
        acceptance: f32,
    }
}

pub(super) fn shared_structs() -> Vec<StructLayout> {
    vec![Chain::layout(), StepAdaptation::layout()]
}

pub(super) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("lib/chain.wgsl", "CHAIN_WORDS", Chain::WORDS as f64)]
}

/// What Metropolis chains remember between steps.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Per row a [`Chain`] and its gradient, `[rows + 1, Chain::WORDS + dims]`; the last row holds
    /// the scales in the place of a gradient.
    pub cache: Value,
    /// A [`StepAdaptation`].
    pub step_adaptation: Value,
}

/// Records filling the memory of chains from the energy and gradient of their starts. One dispatch.
///
/// * `energy`: one number per row; `gradient`, `y`: `[.., dims]`; `scales`: `[dims]`. Starts that
///   are not usable are overwritten with what is not finite about them.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    (energy, gradient): (Value, Value),
    scales: Value,
    y: Value,
) -> Result<Memory> {
    let shape = recording.shape(y)?.clone();
    let gradient = recording.plain_input("begin chains", gradient, shape.clone())?;
    let extent = Extent { rows: shape.rows(), dims: shape.width() };
    recording.expect_shape("begin chains", scales, [extent.dims])?;
    let energy_stride = energy_stride(recording, energy, extent.rows)?;
    let cache = recording.scratch("chain memory", DType::F32, [extent.rows + 1, Chain::WORDS + extent.dims]);
    let step_adaptation = recording.scratch("step_adaptation", DType::F32, [StepAdaptation::WORDS]);
    recording
        .dispatch(&KERNEL, "begin chains")
        .bind("energy", energy)
        .bind("gradient", gradient)
        .bind("scales", scales)
        .bind("y", y)
        .bind("cache", cache)
        .bind("step_adaptation", step_adaptation)
        .set("rows", extent.rows as u32)
        .set("dims", extent.dims as u32)
        .set("energy_stride", energy_stride)
        .invocations(extent.rows)
        .finish()?;
    Ok(Memory { cache, step_adaptation })
}

/// Elements from one energy to the next.
pub(super) fn energy_stride(recording: &Recording, energy: Value, rows: usize) -> Result<u32> {
    let shape = recording.shape(energy)?;
    if shape.len() == rows {
        return Ok(1);
    }
    if shape.rows() != rows || shape.width() != 1 {
        let expected = format!("[{rows}, 1]");
        return Err(crate::Error::shape("chains", "energy", shape.plain(), expected, "one energy per chain"));
    }
    Ok(shape.stride() as u32)
}
