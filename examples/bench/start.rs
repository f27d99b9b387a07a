//! How long a program waits for its first step: opening the device, building the pipelines, and one
//! training step.

use std::time::Instant;

use gibbs::Gpu;
use serde::Serialize;

use crate::Failure;
use crate::measure::Spread;
use crate::workloads::Description;

/// The workloads whose start is measured.
pub const NAMES: [&str; 2] = ["tiny", "rnce-small"];

/// Seconds from before the device is opened until the first step has finished.
#[derive(Debug, Serialize)]
pub struct Start {
    /// The first of the run: no pipeline is known to this process.
    pub first_s: f64,
    /// All of the run. Drivers may keep pipelines in files of their own, or in the process.
    #[serde(flatten)]
    pub spread: Spread,
}

/// Opens a new device for each repetition; data and host-side tables count too.
pub fn measure(
    name: &str,
    repetitions: u32,
    open: impl Fn() -> gibbs::Result<Gpu>,
) -> Result<Start, Failure> {
    let description = Description::of(name).ok_or("there is no such workload")?;
    let mut seconds = Vec::new();
    for _ in 0..repetitions {
        let begun = Instant::now();
        let gpu = open()?;
        let workload = description.build(&gpu, description.size())?;
        workload.plan().run(1)?;
        gpu.wait()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    Ok(Start { first_s: seconds[0], spread: Spread::of(&seconds) })
}
