//! Choosing the chain of lowest energy (`shaders/sampler/select_chain.wgsl`).

use crate::gpu::{DType, KernelSource, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/select_chain.wgsl");

/// The best chain of each context.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// `[contexts, dims]`.
    pub y: Value,
    /// `[contexts]`.
    pub energy: Value,
}

/// Records choosing, per context, the chain with the lowest energy (the first on ties).
///
/// * `energy`: `contexts * chains` rows of one number; `y`: `[contexts, chains, dims]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if shapes do not fit.
pub fn record(recording: &mut Recording, energy: Value, y: Value) -> Result<Best> {
    let shape = recording.shape(y)?.clone();
    let [contexts, chains, dims] = *shape.dims() else {
        let hint = "all chains of each context";
        return Err(Error::shape("select chain", "y", shape, "[contexts, chains, dims]", hint));
    };
    let found = recording.shape(energy)?.clone();
    if found.rows() != contexts * chains || found.width() != 1 || chains == 0 {
        let expected = format!("[{}, 1]", contexts * chains);
        return Err(Error::shape("select chain", "energy", found, expected, "one energy per chain"));
    }
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
        .set("energy_stride", found.stride() as u32)
        .workgroups_folded(contexts)
        .finish()?;
    Ok(Best { y: best, energy: best_energy })
}
