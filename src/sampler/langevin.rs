//! Unadjusted Langevin dynamics (`shaders/sampler/langevin.wgsl`), a step in a dispatch, or several steps in one where the
//! energy is a narrow network (`shaders/sampler/langevin_fused.wgsl`).

use serde::{Deserialize, Serialize};

use super::Anneal;
use super::walk::{Walk, Walked, flat_box, record_box};
use crate::Result;
use crate::gpu::random::check_elements;
use crate::gpu::{DType, KernelSource, KernelVariant, Knob, Recording, RunState, Value, embedded_kernel};
use crate::nn::network_fused::{padded_bits, variants_of};
use crate::nn::{Energy, FusedNetwork};
use crate::proposal::UniformBox;

/// The kernel of one step, for any energy.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/langevin.wgsl");

/// The kernel of several steps on a narrow network.
pub const FUSED: KernelSource = embedded_kernel!("sampler/langevin_fused.wgsl");

/// The second kernel in every variant that can be recorded.
pub(super) fn fused_variants() -> Vec<KernelVariant> {
    variants_of(&FUSED, &FUSED_DEFINES)
}

/// A chain needs gradients alone.
const FUSED_DEFINES: [(&str, u32); 2] = [("VALUE", 0), ("GRADIENT", 1)];

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
    /// * per step: the energy's gradient and one dispatch; where [`Energy::record_fused`] offers a narrow network, one dispatch
    ///   for several steps, with the same random numbers.
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
        let knobs = [step_scale, temperature];
        let walked = Walked { step_scale, temperature, accepted: None, tuner: None };
        if let Some(network) = walk.energy.record_fused(recording, walk.context, walk.y)? {
            self.record_fused(recording, walk, &network, stream, knobs)?;
            return Ok(walked);
        }
        let borders = record_box(recording, self.bounds.as_ref(), dims)?;
        for index in 0..self.steps {
            let gradient = walk.energy.record_gradient(recording, walk.context, walk.y)?;
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
                .set("noise", self.noise(index))
                .turn("step_scale", step_scale)
                .turn("temperature", temperature)
                .invocations(rows * dims.div_ceil(4))
                .finish()?;
            walk.record_keep(recording, index, walk.y)?;
        }
        Ok(walked)
    }

    /// Factor on the noise of a step.
    fn noise(&self, index: usize) -> f32 {
        match self.quiet_last && index + 1 == self.steps {
            true => 0.0,
            false => self.temperatures.at(index, self.steps).sqrt() as f32,
        }
    }

    fn record_fused(
        &self,
        recording: &mut Recording,
        walk: &Walk<'_>,
        network: &FusedNetwork,
        stream: u32,
        [step_scale, temperature]: [Knob; 2],
    ) -> Result<()> {
        network.check(recording, walk.y)?;
        network.check_one_output("langevin")?;
        let state = RunState::value(recording)?;
        let dims = walk.energy.dims();
        let borders = flat_box(self.bounds.as_ref(), dims);
        let (low, high) = borders.split_at(dims);
        let borders: Vec<u32> = padded_bits(low).chain(padded_bits(high)).collect();
        let prepared = network.prepare_gradient(recording, &borders)?;
        let schedule: Vec<f32> = (0..self.steps)
            .flat_map(|index| [self.sizes.at(index, self.steps) as f32, self.noise(index)])
            .collect();
        let schedule = recording.constant("schedule", [self.steps, 2], &schedule)?;
        let slopes = network.slopes_shape(dims.div_ceil(4));
        let slopes = recording.scratch("slopes", DType::F32, slopes);
        let mut first = 0;
        while first < self.steps {
            // Samples are kept between dispatches.
            let kept = walk.trace.map_or(self.steps, |trace| (first / trace.thin + 1) * trace.thin);
            let count = network.most_steps().min(kept.min(self.steps) - first);
            for slabs in network.ranges(count) {
                network
                    .begin(recording, &FUSED, "langevin fused", prepared, slabs)
                    .defines(&FUSED_DEFINES)
                    .bind("schedule", schedule)
                    .bind("state", state)
                    .bind("y", walk.y)
                    .bind("slopes", slopes)
                    .set("stream", stream)
                    .set("total4", network.total4() as u32)
                    .set("first", first as u32)
                    .set("count", count as u32)
                    .turn("step_scale", step_scale)
                    .turn("temperature", temperature)
                    .flops(count as u64 * network.flops(slabs, 4))
                    .finish()?;
            }
            first += count;
            walk.record_keep(recording, first - 1, walk.y)?;
        }
        Ok(())
    }
}
