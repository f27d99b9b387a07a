//! Chains of trajectories that are accepted or rejected as wholes: what Hamiltonian Monte Carlo and the adjusted Langevin
//! algorithm, its case of one leapfrog step, have in common.

use super::adapt_step;
use super::begin_chains::{self, ACCEPTED};
use super::launch::{self, Flight, Launch, SizeOf};
use super::metropolis::{self, Count, Decision};
use super::walk::{Walk, Walked, check_dims, record_box};
use super::{Anneal, clip_chains, keep_sample, leapfrog};
use crate::gpu::random::check_elements;
use crate::gpu::{DType, Recording, Shape};
use crate::proposal::UniformBox;
use crate::{Error, Result};

pub(super) struct Trajectories<'a> {
    pub operation: &'static str,
    pub steps: usize,
    pub leapfrogs: usize,
    pub sizes: Anneal,
    pub size_of: SizeOf,
    pub temperatures: Anneal,
    pub warm_up: usize,
    pub target: f64,
    pub bounds: Option<&'a UniformBox>,
}

impl Trajectories<'_> {
    pub fn record(&self, recording: &mut Recording, walk: &Walk<'_>) -> Result<Walked> {
        self.check(recording, walk)?;
        let momenta = recording.stream(&format!("{}/momentum", walk.stream))?;
        let decisions = recording.stream(&format!("{}/accept", walk.stream))?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        let shape = recording.shape(walk.y)?.clone();
        let borders = record_box(recording, self.bounds, shape.width())?;
        if let Some(bounds) = self.bounds {
            clip_chains::record(recording, walk.y, bounds)?;
        }
        let (value, gradient) = walk.energy.record_value_and_gradient(recording, walk.context, walk.y)?;
        let memory = begin_chains::record(recording, value, gradient, walk.y)?;
        let flight = Flight {
            momentum: recording.scratch("momentum", DType::F32, shape.clone()),
            draft: recording.scratch("draft", DType::F32, shape.clone()),
        };
        for inner in 0..self.warm_up + self.steps {
            // The warm-up is spent at the beginning of all courses.
            let index = inner.saturating_sub(self.warm_up);
            let (size, heat) = (self.sizes.at(index, self.steps), self.temperatures.at(index, self.steps));
            let launched = Launch {
                stream: momenta,
                inner: inner as u32,
                size,
                size_of: self.size_of,
                temperature: heat,
            };
            let knobs = [step_scale, temperature];
            launch::record(recording, &launched, knobs, (walk.y, borders), &memory, &flight)?;
            for _ in 1..self.leapfrogs {
                let gradient = walk.energy.record_gradient(recording, walk.context, flight.draft)?;
                leapfrog::record(recording, gradient, borders, &memory, &flight)?;
            }
            let found = walk.energy.record_value_and_gradient(recording, walk.context, flight.draft)?;
            let count = if inner < self.warm_up { Count::No } else { Count::Yes };
            let decision = Decision { stream: decisions, inner: inner as u32, temperature: heat, count };
            metropolis::record(recording, &decision, temperature, found, (&memory, &flight), walk.y)?;
            match count {
                Count::No => adapt_step::record(recording, &memory, self.target, (inner, self.warm_up))?,
                Count::Yes => walk.record_keep(recording, index, walk.y)?,
            }
        }
        let (_, chains) = shape.dims().split_last().unwrap_or((&1, &[]));
        let accepted = recording.scratch("accepted", DType::F32, Shape::new(chains));
        keep_sample::record(recording, memory.cache, ACCEPTED..ACCEPTED + 1, accepted, 0)?;
        Ok(Walked { step_scale, temperature, accepted: Some(accepted), tuner: Some(memory.tuner) })
    }

    fn check(&self, recording: &Recording, walk: &Walk<'_>) -> Result<()> {
        let extent = walk.check(recording, self.operation, self.steps, self.bounds)?;
        let fail = |what: &str, problem: String| Err(Error::argument(self.operation, what, problem));
        if self.warm_up > 65535 - self.steps {
            let problem =
                format!("takes {} steps, with the {} kept it is more than 65535", self.warm_up, self.steps);
            return fail("the warm-up", problem);
        }
        if self.leapfrogs == 0 {
            return fail("leapfrog steps", "are 0; a trajectory has at least one".into());
        }
        if !(self.target > 0.0 && self.target < 1.0) {
            return fail("the target acceptance", format!("is {}; it must lie between 0 and 1", self.target));
        }
        self.sizes.check_positive(self.operation, "step sizes", self.steps)?;
        self.temperatures.check_positive(self.operation, "temperatures", self.steps)?;
        check_dims(self.operation, extent.dims)?;
        check_elements(self.operation, extent.rows.saturating_mul(extent.dims.div_ceil(4)))
    }
}
