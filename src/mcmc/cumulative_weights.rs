//! Running sums of Boltzmann weights (`shaders/mcmc/cumulative_weights.wgsl`).

use super::begin_chains::energy_stride;
use crate::gpu::{DType, KernelSource, Knob, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/cumulative_weights.wgsl");

/// Most samples per context: uniform numbers have 24 bits, of which each of so many equal weights
/// sees a few.
pub const MAX_SAMPLES: usize = 1 << 20;

/// Records, per context, the running sums of `exp(-(E - min E) / T)`. One dispatch.
///
/// * `energy`: one number per row, `contexts * samples` rows; a sample whose energy is not finite
///   weighs nothing; returns `[contexts, samples]`.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit, [`Error::Argument`] for no samples or too many.
pub fn record(
    recording: &mut Recording,
    energy: Value,
    temperature: Knob,
    [contexts, samples]: [usize; 2],
) -> Result<Value> {
    if contexts == 0 || !(1..=MAX_SAMPLES).contains(&samples) {
        let problem =
            format!("are {samples} for {contexts} contexts; allowed are 1 to {MAX_SAMPLES} for at least 1");
        return Err(Error::argument("cumulative weights", "samples", problem));
    }
    let energy_stride = energy_stride(recording, energy, contexts.saturating_mul(samples))?;
    let cumulative = recording.scratch("cumulative weights", DType::F32, [contexts, samples]);
    recording
        .dispatch(&KERNEL, "cumulative weights")
        .bind("energy", energy)
        .bind("cumulative", cumulative)
        .set("contexts", contexts as u32)
        .set("samples", samples as u32)
        .set("energy_stride", energy_stride)
        .knob("temperature", temperature)
        .workgroups_folded(contexts)
        .finish()?;
    Ok(cumulative)
}
