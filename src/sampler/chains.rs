//! Chains from a proposal or from given points, moved by one of the dynamics: a compiled sampler.

use serde::{Deserialize, Serialize};

use super::walk::{Trace, Walk};
use super::{Dynamics, keep_sample, select_chain};
use crate::gpu::{
    Bindings, DType, Gpu, Knob, Plan, Recording, RunState, Shape, Tensor, Value, write_contexts,
};
use crate::nn::Energy;
use crate::proposal::{Draws, Proposal};
use crate::{Error, Result};

/// What a sampler returns of its chains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Return {
    /// Where all of them end: `[contexts, chains, dims]`.
    #[default]
    All,
    /// Per context the end of lowest energy: `[contexts, dims]`.
    Lowest,
    /// All of them after every `thin`-th step, warm-up left out: `[steps / thin, contexts, chains, dims]`.
    Trace {
        /// Every how many steps, 1 at least.
        thin: usize,
    },
}

/// What a sampler is made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChainOptions {
    /// Contexts sampled at a time; for an unconditional energy, independent groups of chains.
    pub contexts: usize,
    /// Numbers per context; 0 for an unconditional energy.
    pub context_width: usize,
    /// Chains per context.
    pub chains: usize,
    /// The dynamics.
    pub dynamics: Dynamics,
    /// What comes back.
    pub returns: Return,
    /// Seed of starts and noise.
    pub seed: u64,
}

impl Default for ChainOptions {
    /// One chain of Langevin dynamics without a context.
    fn default() -> Self {
        Self {
            contexts: 1,
            context_width: 0,
            chains: 1,
            dynamics: Dynamics::default(),
            returns: Return::All,
            seed: 0,
        }
    }
}

/// Starts chains at draws from a proposal or at given points, moves them on the energy and keeps all, the best or a trace
/// (with Langevin dynamics: Algorithm 2 of arXiv 2309.05803). One plan: no host work between steps. Every run starts anew,
/// its warm-up included.
#[derive(Debug)]
pub struct ChainSampler {
    gpu: Gpu,
    plan: Plan,
    context: Option<Tensor>,
    start: Option<Tensor>,
    result: Tensor,
    accepted: Option<Tensor>,
    tuner: Option<Tensor>,
    run: RunState,
    knobs: [Knob; 2],
    dynamics: Dynamics,
}

impl ChainSampler {
    /// Compiles a sampler whose chains start at draws from a proposal; a [`crate::proposal::UniformBox`] is one too.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Shape`], [`Error::Limit`] if the chains do not fit the device's bindings.
    pub fn new(
        gpu: &Gpu,
        energy: &dyn Energy,
        proposal: &dyn Proposal,
        options: &ChainOptions,
    ) -> Result<Self> {
        Self::compile(gpu, energy, Some(proposal), options)
    }

    /// Compiles a sampler whose chains start at points that are given before each run: slot and tensor `start`,
    /// `[contexts, chains, dims]`.
    ///
    /// # Errors
    /// As [`ChainSampler::new`].
    pub fn from_points(gpu: &Gpu, energy: &dyn Energy, options: &ChainOptions) -> Result<Self> {
        Self::compile(gpu, energy, None, options)
    }

    fn compile(
        gpu: &Gpu,
        energy: &dyn Energy,
        proposal: Option<&dyn Proposal>,
        options: &ChainOptions,
    ) -> Result<Self> {
        let ChainOptions { contexts, context_width, chains, ref dynamics, returns, seed } = *options;
        let dims = energy.dims();
        if let Some(proposal) = proposal
            && proposal.dims() != dims
        {
            let problem = format!("has {} dimensions, the energy {dims}", proposal.dims());
            return Err(Error::argument("sampler", "the proposal", problem));
        }
        if contexts == 0 {
            return Err(Error::argument("sampler", "the contexts", "are none; give at least one"));
        }
        let run = RunState::new(gpu, seed)?;
        let mut recording = Recording::tuned("gibbs/sample", gpu.target());
        let context_shape = [contexts, context_width];
        let context = match context_width {
            0 => None,
            _ => Some(recording.slot("context", DType::F32, context_shape)?),
        };
        let y = recording.scratch("chains", DType::F32, [contexts, chains, dims]);
        match proposal {
            Some(proposal) => {
                // A proposal that is not conditional takes nothing from its context but the number of rows.
                let given =
                    context.unwrap_or_else(|| recording.scratch("no context", DType::F32, context_shape));
                let prepared = proposal.record_prepare(&mut recording, given)?;
                let draws =
                    Draws { candidates: y, first: 0, count: chains, stream: "sample/start", inner: 0 };
                proposal.record_sample(&mut recording, &prepared, &draws)?;
            }
            None => {
                let start = recording.slot("start", DType::F32, [contexts, chains, dims])?;
                keep_sample::record(&mut recording, start, 0..dims, y, 0)?;
            }
        }
        let trace = record_room(&mut recording, options, dims)?;
        let walk = Walk { energy, context, y, stream: dynamics.stream(), trace };
        let walked = dynamics.record(&mut recording, &walk)?;
        let value = match (returns, trace) {
            (Return::Lowest, _) => {
                let energies = energy.record_value(&mut recording, context, y)?;
                select_chain::record(&mut recording, energies, y)?.y
            }
            (_, Some(trace)) => trace.value,
            (_, None) => y,
        };
        RunState::record_advance(&mut recording)?;
        let mut bindings = Bindings::new();
        let result = expose(gpu, &mut recording, &mut bindings, value, "result")?;
        let accepted =
            walked.accepted.map(|value| expose(gpu, &mut recording, &mut bindings, value, "accepted"));
        let tuner = walked.tuner.map(|value| expose(gpu, &mut recording, &mut bindings, value, "tuner"));
        let mut tensor = |name: &str, shape: Shape| -> Result<Tensor> {
            let tensor = Tensor::zeros(gpu, name, DType::F32, shape)?;
            bindings.insert(name, &tensor);
            Ok(tensor)
        };
        let context = context.map(|_| tensor("context", context_shape.into())).transpose()?;
        let start = match proposal {
            Some(_) => None,
            None => Some(tensor("start", [contexts, chains, dims].into())?),
        };
        let mut bindings = bindings.merge(&run.bindings()).merge(&energy.bindings());
        if let Some(proposal) = proposal {
            bindings = bindings.merge(&proposal.bindings());
        }
        let plan = recording.compile(gpu, &bindings.only(&recording))?;
        Ok(Self {
            gpu: gpu.clone(),
            plan,
            context,
            start,
            result,
            accepted: accepted.transpose()?,
            tuner: tuner.transpose()?,
            run,
            knobs: [walked.step_scale, walked.temperature],
            dynamics: dynamics.clone(),
        })
    }

    /// The plan, to be encoded beside a host's own work. Slots: `result` and, where there are such, `context`, `start`,
    /// `accepted` and `tuner`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run state that numbers the draws: each run of the plan advances it.
    pub fn run_state(&self) -> &RunState {
        &self.run
    }

    /// The tensor that holds the contexts, `[contexts, context_width]`, if there are any; write it before a run.
    pub fn context(&self) -> Option<&Tensor> {
        self.context.as_ref()
    }

    /// The tensor that holds the starts, `[contexts, chains, dims]`, if they are given; write it before a run.
    pub fn start(&self) -> Option<&Tensor> {
        self.start.as_ref()
    }

    /// The tensor that holds what [`Return`] says after a run.
    pub fn result(&self) -> &Tensor {
        &self.result
    }

    /// Multiplies all step sizes, and all temperatures, from the next run on.
    ///
    /// # Errors
    /// [`Error::Argument`] for values that are not finite or negative.
    pub fn tune(&self, step_scale: f32, temperature: f32) -> Result<()> {
        for (name, value) in [("step_scale", step_scale), ("temperature", temperature)] {
            if !(value.is_finite() && value >= 0.0) {
                let problem = format!("is {value}; it must be finite and not negative");
                return Err(Error::argument("sampler", format!("the knob `{name}`"), problem));
            }
        }
        self.plan.set_knob(self.knobs[0], step_scale)?;
        self.plan.set_knob(self.knobs[1], temperature)
    }

    /// Samples for the given contexts (none for an unconditional energy), from the proposal or the starts given last, and
    /// waits for the result, in memory order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the contexts do not fit, [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn sample(&mut self, context: &[f32]) -> Result<Vec<f32>> {
        write_contexts(&self.gpu, "sampler", self.context.as_ref(), context)?;
        self.plan.run(1)?;
        self.gpu.read(&self.result)
    }

    /// As [`ChainSampler::sample`], from these starts, `[contexts, chains, dims]` in memory order.
    ///
    /// # Errors
    /// As there, [`Error::Unsupported`] if the chains start at draws from a proposal.
    pub fn sample_from(&mut self, context: &[f32], starts: &[f32]) -> Result<Vec<f32>> {
        match &self.start {
            Some(tensor) => tensor.write(&self.gpu, starts)?,
            None => {
                return Err(Error::Unsupported {
                    operation: "sampler: given starts".into(),
                    reason: "its chains start at draws from a proposal".into(),
                    hint: "make it by `ChainSampler::from_points`".into(),
                });
            }
        }
        self.sample(context)
    }

    /// The share of accepted trajectories of each chain in the last run, warm-up left out: `[contexts, chains]`. A blocking
    /// readback.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for dynamics that do not reject, [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn acceptance(&self) -> Result<Vec<f32>> {
        let Some(accepted) = &self.accepted else { return Err(no_rejections("acceptance")) };
        let counts: Vec<f32> = self.gpu.read(accepted)?;
        let steps = self.dynamics.steps() as f32;
        Ok(counts.into_iter().map(|count| count / steps).collect())
    }

    /// The step size that the last run's warm-up arrived at: the first of the schedule times the learned factor, before the
    /// knob `step_scale`. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for dynamics that do not adapt, [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn step_size(&self) -> Result<f64> {
        let (Some(tuner), Some(first)) = (&self.tuner, self.dynamics.first_size()) else {
            return Err(no_rejections("step size"));
        };
        let values: Vec<f32> = self.gpu.read(tuner)?;
        Ok(first * f64::from(values[0]))
    }
}

fn no_rejections(what: &str) -> Error {
    Error::Unsupported {
        operation: format!("sampler: {what}"),
        reason: "its dynamics accept every step and learn no step size".into(),
        hint: "use `Mala` or `Hamiltonian`".into(),
    }
}

/// Room for the samples along the chains, if they are to be returned.
fn record_room(recording: &mut Recording, options: &ChainOptions, dims: usize) -> Result<Option<Trace>> {
    let Return::Trace { thin } = options.returns else { return Ok(None) };
    let steps = options.dynamics.steps();
    if thin == 0 || thin > steps {
        let problem = format!("is {thin}, allowed are 1 to the number of steps, {steps}");
        return Err(Error::argument("sampler", "`thin` of the trace", problem));
    }
    let shape = [steps / thin, options.contexts, options.chains, dims];
    Ok(Some(Trace { value: recording.scratch("trace", DType::F32, shape), thin }))
}

/// Gives a value a tensor of its own that can be read after a run.
fn expose(
    gpu: &Gpu,
    recording: &mut Recording,
    bindings: &mut Bindings,
    value: Value,
    name: &str,
) -> Result<Tensor> {
    recording.expose(value, name)?;
    let tensor = Tensor::zeros(gpu, name, DType::F32, recording.shape(value)?.clone())?;
    bindings.insert(name, &tensor);
    Ok(tensor)
}
