//! Unadjusted Langevin dynamics (`shaders/mcmc/langevin.wgsl`), a step in a dispatch, or several
//! steps in one where the energy is a narrow network (`shaders/mcmc/langevin_fused.wgsl`).

use serde::{Deserialize, Serialize};

use super::StepSchedule;
use super::chain_inputs::{ChainInputs, ChainOutputs};
use super::settle_move::SettledChains;
use crate::Result;
use crate::energy::Energy;
use crate::gpu::run::random::check_elements;
use crate::gpu::{
    DType, KernelSource, KernelVariant, Knob, Recording, RunState, Value, embedded_kernel, shared_struct,
};
use crate::math::{Bounds, Scales, clip_chains};
use crate::nn::FusedNetwork;
use crate::nn::passes::network_fused::{padded_bits, variants_of};

/// The kernel of one step, for any energy.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/langevin.wgsl");

/// The kernel of several steps on a narrow network.
pub const FUSED: KernelSource = embedded_kernel!("mcmc/langevin_fused.wgsl");

shared_struct! {
    /// One step of the kernel that takes several.
    pub(super) struct LangevinStep in "mcmc/langevin_fused.wgsl" {
        /// Step size `eta`, before its knob.
        size: f32,
        /// Factor on the noise.
        noise: f32,
    }
}

/// The second kernel in every variant that can be recorded.
pub(super) fn fused_variants() -> Vec<KernelVariant> {
    variants_of(&FUSED, &FUSED_DEFINES)
}

/// A chain needs gradients alone.
const FUSED_DEFINES: [(&str, u32); 2] = [("VALUE", 0), ("GRADIENT", 1)];

/// Unadjusted Langevin dynamics: `y <- y - eta s^2 dE/dy + sqrt(2 eta T) s n`, for many chains per
/// context, with `s` the scale of each dimension, 1 unless given.
///
/// The invariant density is `exp(-E / T)` up to a bias of order `eta` (for `E = y^2 / 2` and
/// `T = 1` the variance is `1 / (1 - eta / 2)`).
///
/// Where an energy has walls ([`Energy::has_walls`]), a move to a point whose energy or gradient is
/// not finite is **refused**: the chain stays and draws anew in the next step. A chain that starts
/// at such a point is dead, NaN from then on. Walls leave the bias of order `eta`; the share of
/// refused moves is of order `sqrt(eta)`. Without noise a refused move repeats until the step size
/// shrinks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Langevin {
    /// Steps of each chain, 1 to 65535.
    pub steps: usize,
    /// Step sizes `eta`, in squared scales.
    pub step_sizes: StepSchedule,
    /// Temperatures `T`, zero allowed: such a step has no noise.
    pub temperatures: StepSchedule,
    /// Chains are clamped to this box after every step.
    pub bounds: Option<Bounds>,
    /// Scale `s` of each dimension, in data units; 1 for all without.
    pub scales: Option<Scales>,
    /// Whether the last step is taken without noise.
    pub quiet_last: bool,
}

crate::error::setters!(Langevin {
    with_steps => steps: usize,
    with_step_sizes => step_sizes: StepSchedule,
    with_temperatures => temperatures: StepSchedule,
    with_bounds => bounds: into Option<Bounds>,
    with_scales => scales: into Option<Scales>,
    with_quiet_last => quiet_last: bool,
});

impl Default for Langevin {
    /// 100 steps of size 0.01 at temperature 1, no box.
    fn default() -> Self {
        Self {
            steps: 100,
            step_sizes: StepSchedule::Constant { value: 0.01 },
            temperatures: StepSchedule::Constant { value: 1.0 },
            bounds: None,
            scales: None,
            quiet_last: false,
        }
    }
}

impl Langevin {
    /// Records the chains, starting from and ending in `y`.
    ///
    /// * `context`: `[contexts, width]` if the energy is conditional; `y`:
    ///   `[contexts, chains, dims]`, written.
    /// * knobs `step_scale` (multiplies every step size) and `temperature` (multiplies every
    ///   temperature), both 1 at first.
    /// * per step: the energy's gradient and one dispatch; where [`Energy::record_fused`] offers a
    ///   narrow network, one dispatch for several steps, with the same random numbers.
    /// * for an energy with walls: value and gradient and two dispatches per step; at the start the
    ///   former with one dispatch, behind one that moves the chains into the box if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for no steps or bad step_sizes, [`crate::Error::Shape`] if
    /// dimensions disagree.
    pub fn record(
        &self,
        recording: &mut Recording,
        energy: &dyn Energy,
        context: Option<Value>,
        y: Value,
        stream: &str,
    ) -> Result<[Knob; 2]> {
        let inputs = ChainInputs { energy, context, y, stream, trace: None };
        let outputs = self.record_walk(recording, &inputs)?;
        Ok([outputs.step_scale, outputs.temperature])
    }

    pub(super) fn record_walk(
        &self,
        recording: &mut Recording,
        inputs: &ChainInputs<'_>,
    ) -> Result<ChainOutputs> {
        let extent = inputs.check(recording, "langevin", self.steps, self.bounds.as_ref())?;
        self.step_sizes.check_positive("langevin", "step sizes", self.steps)?;
        self.temperatures.check_not_negative("langevin", "temperatures", self.steps)?;
        let (rows, dims) = (extent.rows, extent.dims);
        check_elements("langevin", rows.saturating_mul(dims.div_ceil(4)))?;
        let stream = recording.stream(inputs.stream)?;
        let state = RunState::value(recording)?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        let knobs = [step_scale, temperature];
        let mut outputs = ChainOutputs::new([step_scale, temperature]);
        let walls = inputs.energy.has_walls();
        let scales = Scales::of(self.scales.as_ref(), "langevin", dims)?;
        if !walls && let Some(network) = inputs.energy.record_fused(recording, inputs.context, inputs.y)? {
            self.record_fused(recording, inputs, (&network, &scales), stream, knobs)?;
            return Ok(outputs);
        }
        let borders = [Bounds::flat_or_largest(self.bounds.as_ref(), dims), scales].concat();
        let borders = recording.constant("box and scales", [3, dims], &borders)?;
        let evaluate = |recording: &mut Recording| {
            inputs.energy.record_value_and_gradient(recording, inputs.context, inputs.y)
        };
        let settled = match walls {
            true => {
                if let Some(bounds) = &self.bounds {
                    clip_chains::record(recording, inputs.y, bounds)?;
                }
                let found = evaluate(recording)?;
                Some(SettledChains::begin(recording, found, inputs.y)?)
            }
            false => None,
        };
        for index in 0..self.steps {
            let (gradient, columns) = match &settled {
                Some(settled) => (settled.memory, settled.gradient_columns()),
                None => {
                    let gradient = inputs.energy.record_gradient(recording, inputs.context, inputs.y)?;
                    (recording.plain_input("langevin", gradient, [rows, dims])?, 0..dims)
                }
            };
            let gradient_stride = if settled.is_some() { recording.shape(gradient)?.stride() } else { dims };
            recording
                .dispatch(&KERNEL, "langevin")
                .bind("gradient", gradient)
                .bind("box", borders)
                .bind("state", state)
                .bind("y", inputs.y)
                .set("rows", rows as u32)
                .set("dims", dims as u32)
                .set("stream", stream)
                .set("inner", index as u32)
                .set("gradient_stride", gradient_stride as u32)
                .set("gradient_first", columns.start as u32)
                .set("step", self.step_sizes.at(index, self.steps) as f32)
                .set("noise", self.noise(index))
                .knob("step_scale", step_scale)
                .knob("temperature", temperature)
                .invocations(rows * dims.div_ceil(4))
                .finish()?;
            if let Some(settled) = &settled {
                let found = evaluate(recording)?;
                settled.settle(recording, found, inputs.y)?;
            }
            inputs.record_keep(recording, index, inputs.y)?;
        }
        if let Some(settled) = &settled {
            outputs.refused = Some(settled.record_refused(recording, inputs.y)?);
        }
        Ok(outputs)
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
        inputs: &ChainInputs<'_>,
        (network, scales): (&FusedNetwork, &[f32]),
        stream: u32,
        [step_scale, temperature]: [Knob; 2],
    ) -> Result<()> {
        network.check(recording, inputs.y)?;
        network.check_one_output("langevin")?;
        let state = RunState::value(recording)?;
        let dims = inputs.energy.dims();
        let borders = Bounds::flat_or_largest(self.bounds.as_ref(), dims);
        let (low, high) = borders.split_at(dims);
        let borders: Vec<u32> = [low, high, scales].into_iter().flat_map(padded_bits).collect();
        let prepared = network.prepare_gradient(recording, &borders)?;
        let steps = (0..self.steps).map(|index| {
            let size = self.step_sizes.at(index, self.steps) as f32;
            LangevinStep { size, noise: self.noise(index) }
        });
        let steps: Vec<LangevinStep> = steps.collect();
        let numbers: &[f32] = bytemuck::cast_slice(&steps);
        let schedule = recording.constant("schedule", [self.steps, LangevinStep::WORDS], numbers)?;
        let slopes = network.slopes_shape(dims.div_ceil(4));
        let slopes = recording.scratch("slopes", DType::F32, slopes);
        let mut first = 0;
        while first < self.steps {
            // Samples are kept between dispatches.
            let kept = inputs.trace.map_or(self.steps, |trace| (first / trace.thin + 1) * trace.thin);
            let count = network.most_steps().min(kept.min(self.steps) - first);
            for slabs in network.ranges(count) {
                network
                    .begin(recording, &FUSED, "langevin fused", prepared, slabs)
                    .defines(&FUSED_DEFINES)
                    .bind("schedule", schedule)
                    .bind("state", state)
                    .bind("y", inputs.y)
                    .bind("slopes", slopes)
                    .set("stream", stream)
                    .set("total4", network.total4() as u32)
                    .set("first", first as u32)
                    .set("count", count as u32)
                    .knob("step_scale", step_scale)
                    .knob("temperature", temperature)
                    .flops(count as u64 * network.flops(slabs, 4))
                    .finish()?;
            }
            first += count;
            inputs.record_keep(recording, first - 1, inputs.y)?;
        }
        Ok(())
    }
}
