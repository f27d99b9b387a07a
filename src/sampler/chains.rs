//! Chains from a proposal, refined by Langevin dynamics: a compiled sampler.

use super::{Langevin, select_chain};
use crate::gpu::{Bindings, DType, Gpu, Knob, Plan, Recording, RunState, Tensor};
use crate::nn::Energy;
use crate::proposal::{Draws, Proposal};
use crate::{Error, Result};

/// Which chains a sampler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// All of them: `[contexts, chains, dims]`.
    All,
    /// Per context the one of lowest energy: `[contexts, dims]`.
    Lowest,
}

/// What a sampler is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainOptions {
    /// Contexts sampled at a time.
    pub contexts: usize,
    /// Numbers per context.
    pub context_width: usize,
    /// Chains per context.
    pub chains: usize,
    /// The dynamics.
    pub langevin: Langevin,
    /// Which chains come back.
    pub returns: Return,
    /// Seed of starts and noise.
    pub seed: u64,
}

/// Draws chains from the proposal, refines them by Langevin dynamics on the energy and keeps all or the best (Algorithm 2 of
/// arXiv 2309.05803). One plan: no host work between steps.
#[derive(Debug)]
pub struct ChainSampler {
    gpu: Gpu,
    plan: Plan,
    context: Tensor,
    result: Tensor,
    run: RunState,
    knobs: [Knob; 2],
}

impl ChainSampler {
    /// Compiles a sampler.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Shape`], [`Error::Limit`] if the chains do not fit the device's bindings.
    pub fn new(
        gpu: &Gpu,
        energy: &dyn Energy,
        proposal: &dyn Proposal,
        options: &ChainOptions,
    ) -> Result<Self> {
        let ChainOptions { contexts, context_width, chains, langevin, returns, seed } = options;
        let (contexts, chains) = (*contexts, *chains);
        let dims = energy.dims();
        if proposal.dims() != dims {
            let problem = format!("has {} dimensions, the energy {dims}", proposal.dims());
            return Err(Error::argument("sampler", "the proposal", problem));
        }
        if contexts == 0 || *context_width == 0 {
            return Err(Error::argument(
                "sampler",
                "the contexts",
                "are none; give at least one of one number",
            ));
        }
        let run = RunState::new(gpu, *seed)?;
        let mut recording = Recording::tuned("gibbs/sample", gpu.capabilities().target());
        let shape = [contexts, *context_width];
        let context = recording.slot("context", DType::F32, shape)?;
        let y = recording.scratch("chains", DType::F32, [contexts, chains, dims]);
        let prepared = proposal.record_prepare(&mut recording, context)?;
        let draws = Draws { candidates: y, first: 0, count: chains, stream: "sample/start", inner: 0 };
        proposal.record_sample(&mut recording, &prepared, &draws)?;
        let knobs = langevin.record(&mut recording, energy, Some(context), y, "sample/langevin")?;
        let value = match returns {
            Return::All => y,
            Return::Lowest => {
                let energies = energy.record_value(&mut recording, Some(context), y)?;
                select_chain::record(&mut recording, energies, y)?.y
            }
        };
        RunState::record_advance(&mut recording)?;
        recording.expose(value, "result")?;
        let result = Tensor::zeros(gpu, "result", DType::F32, recording.shape(value)?.clone())?;
        let context = Tensor::zeros(gpu, "context", DType::F32, shape)?;
        let bindings = Bindings::new()
            .with("context", &context)
            .with("result", &result)
            .merge(&run.bindings())
            .merge(&energy.bindings())
            .merge(&proposal.bindings())
            .only(&recording);
        let plan = recording.compile(gpu, &bindings)?;
        Ok(Self { gpu: gpu.clone(), plan, context, result, run, knobs })
    }

    /// The plan, to be encoded beside a host's own work. Slots: `context` and `result`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run state that numbers the draws: each run of the plan advances it.
    pub fn run_state(&self) -> &RunState {
        &self.run
    }

    /// The tensor that holds the contexts; write it before a run.
    pub fn context(&self) -> &Tensor {
        &self.context
    }

    /// The tensor that holds the chains after a run.
    pub fn result(&self) -> &Tensor {
        &self.result
    }

    /// Multiplies all step sizes, and sets the temperature of the noise, from the next run on.
    ///
    /// # Errors
    /// [`Error::Argument`] for values that are not finite or negative.
    pub fn tune(&self, step_scale: f32, temperature: f32) -> Result<()> {
        if step_scale < 0.0 || temperature < 0.0 {
            return Err(Error::argument("sampler", "a knob", "must not be negative"));
        }
        self.plan.set_knob(self.knobs[0], step_scale)?;
        self.plan.set_knob(self.knobs[1], temperature)
    }

    /// Samples for the given contexts and waits for the result, in memory order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the contexts do not fit, [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn sample(&mut self, context: &[f32]) -> Result<Vec<f32>> {
        self.context.write(&self.gpu, context)?;
        self.plan.run(1)?;
        self.gpu.read(&self.result)
    }
}
