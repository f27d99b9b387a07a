//! Unadjusted Langevin dynamics (`shaders/sampler/langevin.wgsl`).

use serde::{Deserialize, Serialize};

use super::Anneal;
use super::walk::{Walk, Walked, record_box};
use crate::Result;
use crate::gpu::random::check_elements;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};
use crate::nn::Energy;
use crate::proposal::UniformBox;

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/langevin.wgsl");

/// Unadjusted Langevin dynamics: `y <- y - eta dE/dy + sqrt(2 eta T) n`, for many chains per context.
///
/// The invariant density is `exp(-E / T)` up to a bias of order `eta` (for `E = y^2 / 2` and `T = 1` the variance is
/// `1 / (1 - eta / 2)`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Langevin {
    /// Steps of each chain, 1 to 65535.
    pub steps: usize,
    /// Step sizes `eta`, in squared data units.
    pub sizes: Anneal,
    /// Temperatures `T`, zero allowed: such a step has no noise.
    pub temperatures: Anneal,
    /// Chains are clamped to this box after every step.
    pub bounds: Option<UniformBox>,
    /// Whether the last step is taken without noise.
    pub quiet_last: bool,
}

impl Default for Langevin {
    /// 100 steps of size 0.01 at temperature 1, no box.
    fn default() -> Self {
        Self {
            steps: 100,
            sizes: Anneal::Constant { value: 0.01 },
            temperatures: Anneal::Constant { value: 1.0 },
            bounds: None,
            quiet_last: false,
        }
    }
}

impl Langevin {
    /// Records the chains, starting from and ending in `y`.
    ///
    /// * `context`: `[contexts, width]` if the energy is conditional; `y`: `[contexts, chains, dims]`, written.
    /// * knobs `step_scale` (multiplies every step size) and `temperature` (multiplies every temperature), both 1 at first.
    /// * per step: the energy's gradient and one dispatch.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for no steps or bad sizes, [`crate::Error::Shape`] if dimensions disagree.
    pub fn record(
        &self,
        recording: &mut Recording,
        energy: &dyn Energy,
        context: Option<Value>,
        y: Value,
        stream: &str,
    ) -> Result<[Knob; 2]> {
        let walk = Walk { energy, context, y, stream, trace: None };
        let walked = self.record_walk(recording, &walk)?;
        Ok([walked.step_scale, walked.temperature])
    }

    pub(super) fn record_walk(&self, recording: &mut Recording, walk: &Walk<'_>) -> Result<Walked> {
        let extent = walk.check(recording, "langevin", self.steps, self.bounds.as_ref())?;
        self.sizes.check_positive("langevin", "step sizes", self.steps)?;
        self.temperatures.check_not_negative("langevin", "temperatures", self.steps)?;
        let (rows, dims) = (extent.rows, extent.dims);
        check_elements("langevin", rows.saturating_mul(dims.div_ceil(4)))?;
        let stream = recording.stream(walk.stream)?;
        let state = RunState::value(recording)?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        let borders = record_box(recording, self.bounds.as_ref(), dims)?;
        for index in 0..self.steps {
            let gradient = walk.energy.record_gradient(recording, walk.context, walk.y)?;
            let quiet = self.quiet_last && index + 1 == self.steps;
            let noise = if quiet { 0.0 } else { self.temperatures.at(index, self.steps).sqrt() };
            recording
                .dispatch(&KERNEL, "langevin")
                .bind("gradient", gradient)
                .bind("box", borders)
                .bind("state", state)
                .bind("y", walk.y)
                .set("rows", rows as u32)
                .set("dims", dims as u32)
                .set("stream", stream)
                .set("inner", index as u32)
                .set("step", self.sizes.at(index, self.steps) as f32)
                .set("noise", noise as f32)
                .turn("step_scale", step_scale)
                .turn("temperature", temperature)
                .invocations(rows * dims.div_ceil(4))
                .finish()?;
            walk.record_keep(recording, index, walk.y)?;
        }
        Ok(Walked { step_scale, temperature, accepted: None, tuner: None })
    }
}
