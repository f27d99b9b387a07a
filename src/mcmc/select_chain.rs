//! Choosing the chain of lowest energy (`shaders/mcmc/select_chain.wgsl`).

use super::usable_energy;
use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/select_chain.wgsl");

/// The best chain of each context.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// `[contexts, dims]`.
    pub y: Value,
    /// `[contexts]`.
    pub energy: Value,
}

/// Records choosing, per context, the chain with the lowest energy (the first on ties) among those
/// whose energy and position are finite. Where there is none, the coordinates of the best are NaN.
///
/// * `energy`: `contexts * chains` numbers, in rows of one or flat; `y`:
///   `[contexts, chains, dims]`. Two dispatches.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit.
pub fn record(recording: &mut Recording, energy: Value, y: Value) -> Result<Best> {
    let shape = recording.shape(y)?.clone();
    let [contexts, chains, dims] = *shape.dims() else {
        let hint = "all chains of each context";
        return Err(Error::shape("select chain", "y", shape, "[contexts, chains, dims]", hint));
    };
    if chains == 0 {
        return Err(Error::argument("select chain", "the chains", "are none; give at least one per context"));
    }
    let energy = usable_energy::record(recording, energy, y)?;
    let best = recording.scratch("best", DType::F32, [contexts, dims]);
    let best_energy = recording.scratch("best energy", DType::F32, [contexts]);
    recording
        .dispatch(&KERNEL, "select chain")
        .bind("energy", energy)
        .bind("y", y)
        .bind("best", best)
        .bind("best_energy", best_energy)
        .set("contexts", contexts as u32)
        .set("chains", chains as u32)
        .set("dims", dims as u32)
        .workgroups_folded(contexts)
        .finish()?;
    Ok(Best { y: best, energy: best_energy })
}
