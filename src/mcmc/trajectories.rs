//! Chains of trajectories that are accepted or rejected as wholes: what Hamiltonian Monte Carlo and
//! the adjusted Langevin algorithm, its case of one leapfrog step, have in common.

use super::adapt_step;
use super::begin_chains;
use super::begin_chains::Chain;
use super::begin_leapfrog;
use super::begin_leapfrog::{BeginLeapfrog, LeapfrogTrajectory, SizeOf};
use super::chain_inputs::{ChainInputs, ChainOutputs, check_dims};
use super::metropolis;
use super::metropolis::{Count, Decision};
use super::{StepSchedule, keep_sample, leapfrog};
use crate::gpu::run::random::check_elements;
use crate::gpu::{DType, Recording, Shape};
use crate::math::clip_chains::record_box;
use crate::math::{Bounds, Scales, clip_chains};
use crate::{Error, Result};

pub(super) struct Trajectories<'a> {
    pub operation: &'static str,
    pub steps: usize,
    pub leapfrogs: usize,
    pub step_sizes: StepSchedule,
    pub size_of: SizeOf,
    pub temperatures: StepSchedule,
    pub warmup: usize,
    pub target_acceptance: f64,
    pub bounds: Option<&'a Bounds>,
    pub scales: Option<&'a Scales>,
}

impl Trajectories<'_> {
    pub fn record(&self, recording: &mut Recording, inputs: &ChainInputs<'_>) -> Result<ChainOutputs> {
        self.check(recording, inputs)?;
        let momenta = recording.stream(&format!("{}/momentum", inputs.stream))?;
        let decisions = recording.stream(&format!("{}/accept", inputs.stream))?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        let shape = recording.shape(inputs.y)?.clone();
        let borders = record_box(recording, self.bounds, shape.width())?;
        let scales = Scales::of(self.scales, self.operation, shape.width())?;
        let scales = recording.constant("scales", [shape.width()], &scales)?;
        if let Some(bounds) = self.bounds {
            clip_chains::record(recording, inputs.y, bounds)?;
        }
        let found = inputs.energy.record_value_and_gradient(recording, inputs.context, inputs.y)?;
        let memory = begin_chains::record(recording, found, scales, inputs.y)?;
        let trajectory = LeapfrogTrajectory {
            momentum: recording.scratch("momentum", DType::F32, shape.clone()),
            proposed: recording.scratch("proposed", DType::F32, shape.clone()),
        };
        for inner in 0..self.warmup + self.steps {
            // The warm-up is spent at the beginning of all courses.
            let index = inner.saturating_sub(self.warmup);
            let size = self.step_sizes.at(index, self.steps);
            let scheduled = self.temperatures.at(index, self.steps);
            let launched = BeginLeapfrog {
                stream: momenta,
                inner: inner as u32,
                size,
                size_of: self.size_of,
                temperature: scheduled,
            };
            let knobs = [step_scale, temperature];
            begin_leapfrog::record(recording, &launched, knobs, (inputs.y, borders), &memory, &trajectory)?;
            for _ in 1..self.leapfrogs {
                let gradient =
                    inputs.energy.record_gradient(recording, inputs.context, trajectory.proposed)?;
                leapfrog::record(recording, gradient, borders, &memory, &trajectory)?;
            }
            let found =
                inputs.energy.record_value_and_gradient(recording, inputs.context, trajectory.proposed)?;
            let count = if inner < self.warmup { Count::No } else { Count::Yes };
            let decision = Decision { stream: decisions, inner: inner as u32, temperature: scheduled, count };
            metropolis::record(recording, &decision, temperature, found, (&memory, &trajectory), inputs.y)?;
            match count {
                Count::No => {
                    adapt_step::record(recording, &memory, self.target_acceptance, (inner, self.warmup))?
                }
                Count::Yes => inputs.record_keep(recording, index, inputs.y)?,
            }
        }
        let (_, chains) = shape.dims().split_last().unwrap_or((&1, &[]));
        let rows = recording.rows(memory.cache, 0, shape.rows())?;
        let accepted = recording.scratch("accepted", DType::F32, Shape::new(chains));
        let column = std::mem::offset_of!(Chain, accepted) / 4;
        keep_sample::record(recording, rows, column..column + 1, accepted, 0)?;
        let rounded = recording.scratch("rounded", DType::F32, Shape::new([chains, &[2]].concat()));
        let column = std::mem::offset_of!(Chain, rounded) / 4;
        keep_sample::record(recording, rows, column..column + 2, rounded, 0)?;
        Ok(ChainOutputs {
            accepted: Some(accepted),
            step_adaptation: Some(memory.step_adaptation),
            rounded: Some(rounded),
            ..ChainOutputs::new([step_scale, temperature])
        })
    }

    fn check(&self, recording: &Recording, inputs: &ChainInputs<'_>) -> Result<()> {
        let extent = inputs.check(recording, self.operation, self.steps, self.bounds)?;
        let fail = |what: &str, problem: String| Err(Error::argument(self.operation, what, problem));
        if self.warmup > 65535 - self.steps {
            let problem =
                format!("takes {} steps, with the {} kept it is more than 65535", self.warmup, self.steps);
            return fail("the warm-up", problem);
        }
        if self.warmup == 1 {
            // The first trial is drawn to ten times the given size.
            let problem = "takes 1 step, which learns nothing: the sizes would grow by 3 to 22, whatever they are; \
                           take 0 to keep them, or 20 at least";
            return fail("the warm-up", problem.into());
        }
        if self.leapfrogs == 0 {
            return fail("leapfrog steps", "are 0; a trajectory has at least one".into());
        }
        if !(self.target_acceptance > 0.0 && self.target_acceptance < 1.0) {
            return fail(
                "the target acceptance",
                format!("is {}; it must lie between 0 and 1", self.target_acceptance),
            );
        }
        self.step_sizes.check_positive(self.operation, "step sizes", self.steps)?;
        self.temperatures.check_positive(self.operation, "temperatures", self.steps)?;
        check_dims(self.operation, extent.dims)?;
        check_elements(self.operation, extent.rows.saturating_mul(extent.dims.div_ceil(4)))
    }
}
