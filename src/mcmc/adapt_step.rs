//! Step sizes learned during the warm-up (`shaders/mcmc/adapt_step.wgsl`).

use super::begin_chains::{Chain, Memory};
use crate::Result;
use crate::gpu::{KernelSource, Recording, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/adapt_step.wgsl");

/// Hoffman & Gelman 2014, section 3.2.1: how strongly, from when and how fast forgetting.
const GAMMA: f64 = 0.05;
const T0: f64 = 10.0;
const KAPPA: f64 = 0.75;

/// A factor down here is that of a warm-up that found no size small enough: the kernel bounds its
/// logarithm by 23.
pub(super) const SMALLEST_FACTOR: f32 = 3e-10;

/// Records step `index` of `steps` of the dual averaging of the factor on all step sizes: the first
/// trials are drawn to ten times the size that was given; after the last step the averaged factor
/// holds. One dispatch.
///
/// * `target_acceptance`: mean acceptance probability wanted, over the chains that live: those
///   that started where energy and gradient are finite.
///
/// # Errors
/// [`crate::Error::Shape`] if the memory is not that of chains.
pub fn record(
    recording: &mut Recording,
    memory: &Memory,
    target_acceptance: f64,
    (index, steps): (usize, usize),
) -> Result<()> {
    let shape = recording.shape(memory.cache)?.clone();
    let t = (index + 1) as f64;
    let fresh = 1.0 / (t + T0);
    recording
        .dispatch(&KERNEL, "adapt step")
        .bind("cache", memory.cache)
        .bind("step_adaptation", memory.step_adaptation)
        .set("rows", shape.rows().saturating_sub(1) as u32)
        .set("dims", shape.width().saturating_sub(Chain::WORDS) as u32)
        .set("last", u32::from(index + 1 == steps))
        .set("keep", (1.0 - fresh) as f32)
        .set("fresh", fresh as f32)
        .set("pull", (t.sqrt() / GAMMA) as f32)
        .set("weight", t.powf(-KAPPA) as f32)
        .set("center", std::f64::consts::LN_10 as f32)
        .set("target_mean", target_acceptance as f32)
        .workgroups([1, 1, 1])
        .finish()
}
