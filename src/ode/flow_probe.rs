//! Random directions for traces (`shaders/ode/flow_probe.wgsl`).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::gpu::run::random::{check_counter, check_elements};
use crate::gpu::{DType, KernelSource, KernelVariant, Recording, RunState, Shape, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("ode/flow_probe.wgsl");

/// The distribution of a probe's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// +1 or -1: the estimate's variance comes from the entries of the Jacobian off its diagonal
    /// alone.
    #[default]
    Rademacher,
    /// Standard normals.
    Normal,
}

crate::error::named!("distribution of probes", Probe { Rademacher => "rademacher", Normal => "normal" });

/// Records `count` probes, packed `[rows, dims]` each, from a registered stream. One dispatch each.
///
/// # Errors
/// [`crate::Error::Argument`] for more numbers than a stream has.
pub fn record(
    recording: &mut Recording,
    probe: Probe,
    (rows, dims): (usize, usize),
    stream: u32,
    count: usize,
) -> Result<Vec<Value>> {
    check_elements("probes", rows.saturating_mul(dims.div_ceil(4)))?;
    check_counter("probes", stream, u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX))?;
    let state = RunState::value(recording)?;
    let mut probes = Vec::new();
    for index in 0..count {
        let out = recording.scratch("probe", DType::F32, Shape::packed(rows, dims));
        recording
            .dispatch(&KERNEL, "probe")
            .defines(&defines(probe))
            .bind("state", state)
            .bind("out", out)
            .set("rows", rows as u32)
            .set("dims", dims as u32)
            .set("stream", stream)
            .set("inner", index as u32)
            .invocations(rows * dims.div_ceil(4))
            .finish()?;
        probes.push(out);
    }
    Ok(probes)
}

fn defines(probe: Probe) -> [(&'static str, u32); 1] {
    [("NORMAL", u32::from(probe == Probe::Normal))]
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> [KernelVariant; 2] {
    [Probe::Rademacher, Probe::Normal].map(|probe| KernelVariant::new(&KERNEL, &defines(probe)))
}
