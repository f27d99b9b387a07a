//! Chains from a proposal or from given points, moved by one of the dynamics: a compiled sampler.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::begin_chains::StepAdaptation;
use super::chain_inputs::{ChainInputs, SampleTrace};
use super::findings::{Findings, SamplerStats};
use super::{Dynamics, RoundedDecisions, count_lost, keep_sample, mark_lost, select_chain};
use crate::energy::Energy;
use crate::error::counted;
use crate::gpu::{DType, Gpu, Knob, Plan, Recording, RunState, Tensor, Value, write_contexts};
use crate::proposal::{Draws, Proposal};
use crate::{Error, Result};

/// Chains per agent of a policy that nobody told another number.
pub(crate) const USUAL_CHAINS: usize = 256;

/// What a sampler returns of its chains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Return {
    /// Where all of them end: `[contexts, chains, dims]`.
    #[default]
    All,
    /// Per context the end of lowest energy: `[contexts, dims]`.
    Lowest,
    /// All of them after every `thin`-th step, warm-up left out:
    /// `[steps / thin, contexts, chains, dims]`.
    SampleTrace {
        /// Every how many steps, 1 at least.
        thin: usize,
    },
}

/// What a sampler is made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChainOptions {
    /// Contexts sampled at a time; for an unconditional energy, independent groups of chains.
    pub contexts: usize,
    /// Numbers per context; 0 where neither energy nor proposal takes one.
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

crate::error::setters!(ChainOptions {
    with_contexts => contexts: usize,
    with_context_width => context_width: usize,
    with_chains => chains: usize,
    with_dynamics => dynamics: into Dynamics,
    with_returns => returns: Return,
    with_seed => seed: u64,
});

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

impl ChainOptions {
    /// What the sizes of a sampler depend on, in words.
    fn sizes(&self, dims: usize) -> String {
        let kept = match self.returns {
            Return::SampleTrace { thin } => {
                format!(", of which every {thin} of {} steps is kept", self.dynamics.steps())
            }
            Return::All | Return::Lowest => String::new(),
        };
        format!(
            "take fewer of the {} for each of {}, of {}{kept}, and run the sampler more often",
            counted(self.chains, "chain"),
            counted(self.contexts, "context"),
            counted(dims, "dimension")
        )
    }
}

/// Starts chains at draws from a proposal or at given points, moves them on the energy and keeps
/// all, the best or a trace (with Langevin dynamics: Algorithm 2 of arXiv 2309.05803). One plan: no
/// host work between steps. Every run starts anew, its warm-up included.
///
/// Contexts and chains are options and no arguments of a call, because memory and grids of the plan
/// are made for their number. Another number is another sampler: it shares its pipelines, so that
/// making it compiles no shader again.
#[derive(Debug)]
pub struct ChainSampler {
    gpu: Gpu,
    plan: Plan,
    context: Option<Tensor>,
    start: Option<Tensor>,
    result: Tensor,
    lost: Tensor,
    refused: Option<Tensor>,
    accepted: Option<Tensor>,
    step_adaptation: Option<Tensor>,
    rounded: Option<Tensor>,
    lowest: Option<Tensor>,
    run: RunState,
    knobs: [Knob; 2],
    dynamics: Dynamics,
    chains: usize,
    stats: SamplerStats,
    warnings: Vec<String>,
    /// The knob `temperature`.
    temperature: AtomicU32,
}

impl ChainSampler {
    /// Compiles a sampler whose chains start at draws from a proposal; a
    /// [`crate::proposal::UniformBox`] is one too.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Shape`], [`Error::Limit`] if the chains do not fit the
    /// device's bindings.
    pub fn new(
        gpu: &Gpu,
        energy: &dyn Energy,
        proposal: &dyn Proposal,
        options: &ChainOptions,
    ) -> Result<Self> {
        Self::compile(gpu, energy, Some(proposal), options)
            .map_err(|error| error.sized(|| options.sizes(energy.dims())))
    }

    /// Compiles a sampler whose chains start at points that are given before each run: slot and
    /// tensor `start`, `[contexts, chains, dims]`.
    ///
    /// # Errors
    /// As [`ChainSampler::new`].
    pub fn from_points(gpu: &Gpu, energy: &dyn Energy, options: &ChainOptions) -> Result<Self> {
        Self::compile(gpu, energy, None, options)
            .map_err(|error| error.sized(|| options.sizes(energy.dims())))
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
            let problem = format!("has {}, the energy {dims}", counted(proposal.dims(), "dimension"));
            return Err(Error::argument("sampler", "the proposal", problem));
        }
        if contexts == 0 {
            return Err(Error::argument("sampler", "the contexts", "are none; give at least one"));
        }
        let run = RunState::new(gpu, seed)?;
        let mut recording = gpu.record("gibbs/sample");
        recording.provide_all(&run.bindings());
        recording.provide_all(&energy.bindings());
        let context_shape = [contexts, context_width];
        let (context_tensor, context) = match context_width {
            0 => (None, None),
            _ => {
                let (tensor, value) = recording.input::<f32>(gpu, "context", context_shape)?;
                (Some(tensor), Some(value))
            }
        };
        let mut start_tensor = None;
        let y = recording.scratch("chains", DType::F32, [contexts, chains, dims]);
        match proposal {
            Some(proposal) => {
                recording.provide_all(&proposal.bindings());
                // A proposal that is not conditional takes nothing from its context but the number
                // of rows.
                let given =
                    context.unwrap_or_else(|| recording.scratch("no context", DType::F32, context_shape));
                let prepared = proposal.record_prepare(&mut recording, given)?;
                let draws =
                    Draws { candidates: y, first: 0, count: chains, stream: "sample/start", inner: 0 };
                proposal.record_sample(&mut recording, &prepared, &draws)?;
            }
            None => {
                let (tensor, start) = recording.input::<f32>(gpu, "start", [contexts, chains, dims])?;
                start_tensor = Some(tensor);
                keep_sample::record(&mut recording, start, 0..dims, y, 0)?;
            }
        }
        let trace = record_room(&mut recording, options, dims)?;
        let inputs = ChainInputs { energy, context, y, stream: dynamics.stream(), trace };
        let outputs = dynamics.record(&mut recording, &inputs)?;
        let marks = mark_lost::record(&mut recording, y)?;
        let lost = count_lost::record(&mut recording, marks)?;
        let mut lowest = None;
        let value = match (returns, trace) {
            (Return::Lowest, _) => {
                let energies = energy.record_value(&mut recording, context, y)?;
                let best = select_chain::record(&mut recording, energies, y)?;
                lowest = Some(best.energy);
                best.y
            }
            (_, Some(trace)) => trace.value,
            (_, None) => y,
        };
        recording.check_context_is_read("sampler", context)?;
        RunState::record_advance(&mut recording)?;
        let result = recording.output(gpu, value, "result")?;
        let lost = recording.output(gpu, lost, "lost")?;
        let mut output = |value: Option<Value>, name: &str| -> Result<Option<Tensor>> {
            value.map(|value| recording.output(gpu, value, name)).transpose()
        };
        let refused = output(outputs.refused, "refused")?;
        let accepted = output(outputs.accepted, "accepted")?;
        let step_adaptation = output(outputs.step_adaptation, "step_adaptation")?;
        let rounded = output(outputs.rounded, "rounded")?;
        let lowest = output(lowest, "lowest")?;
        let plan = recording.compile_bound(gpu)?;
        Ok(Self {
            gpu: gpu.clone(),
            plan,
            context: context_tensor,
            start: start_tensor,
            result,
            lost,
            refused,
            accepted,
            step_adaptation,
            rounded,
            lowest,
            run,
            knobs: [outputs.step_scale, outputs.temperature],
            dynamics: dynamics.clone(),
            chains,
            stats: SamplerStats::default(),
            warnings: Vec::new(),
            temperature: AtomicU32::new(1f32.to_bits()),
        })
    }

    /// The plan, to be encoded beside a host's own work. Slots: `result`, `lost` (the number of
    /// chains that are not finite at the end, `[contexts]`) and, where there are such, `context`,
    /// `start`, `refused`, `accepted`, `step_adaptation`, `rounded` ([`super::ChainOutputs`]) and
    /// `lowest` (the energies that [`Return::Lowest`] chose, `[contexts]`).
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run state that numbers the draws: each run of the plan advances it.
    pub fn run_state(&self) -> &RunState {
        &self.run
    }

    /// The tensor that holds the contexts, `[contexts, context_width]`, if there are any; write it
    /// before a run.
    pub fn context(&self) -> Option<&Tensor> {
        self.context.as_ref()
    }

    /// The tensor that holds the starts, `[contexts, chains, dims]`, if they are given; write it
    /// before a run.
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
        self.plan.set_knob(self.knobs[1], temperature)?;
        self.temperature.store(temperature.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Samples for the given contexts (none for an unconditional energy), from the proposal or the
    /// starts given last, and waits once for the result, in memory order. Chains that are lost, see
    /// [`ChainSampler::lost_chains`], are NaN in it, and a warning says how many they are; another
    /// one if more than half of the moves were refused, or more than nine tenths of those of a
    /// chain, and one if energies are so large that their rounding decided between points
    /// ([`ChainSampler::warnings`]).
    ///
    /// # Errors
    /// [`Error::Shape`] if the contexts do not fit; [`Error::Chains`] if a context is left without
    /// a living chain, or if no step was small enough for the warm-up; [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn sample(&mut self, context: &[f32]) -> Result<Vec<f32>> {
        write_contexts(&self.gpu, "sampler", self.context.as_ref(), context)?;
        self.plan.run(1)?;
        let adaptation = self.step_adaptation.as_ref().filter(|_| self.dynamics.warmup() > 0);
        let some = [self.refused.as_ref(), adaptation, self.rounded.as_ref(), self.lowest.as_ref()];
        let tensors: Vec<&Tensor> =
            [&self.result, &self.lost].into_iter().chain(some.into_iter().flatten()).collect();
        let mut read = self.gpu.read_all(&tensors)?.into_iter();
        let (result, lost) = (read.next().unwrap_or_default(), read.next().unwrap_or_default());
        let [refused, adaptation, rounded, lowest] = some.map(|tensor| tensor.and_then(|_| read.next()));
        let knob = f32::from_bits(self.temperature.load(Ordering::Relaxed));
        let findings = Findings {
            lost: &lost,
            refused: refused.as_deref(),
            adaptation: adaptation.as_deref().map(unpack_adaptation),
            rounded: rounded.as_deref(),
            lowest: lowest.as_deref(),
            temperature: self.dynamics.last_temperature() * f64::from(knob),
            chains: self.chains,
            steps: self.dynamics.steps(),
        };
        findings.add_to(&mut self.stats);
        self.warnings = findings.warnings();
        findings.check().map_err(|fault| fault.error(self.gpu.adapter_name()))?;
        for warning in &self.warnings {
            log::warn!("sampler on `{}`: {warning}", self.gpu.adapter_name());
        }
        Ok(result)
    }

    /// What the last [`ChainSampler::sample`] warned of, in words; none for most runs.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The decisions of the last run, warm-up left out, that the rounding of energies to 32 bits
    /// may have turned: energies with a large constant, whose differences are lost. A blocking
    /// readback.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for dynamics that do not reject, [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn rounded_decisions(&self) -> Result<RoundedDecisions> {
        let Some(rounded) = &self.rounded else { return Err(no_rejections("rounded decisions")) };
        Ok(RoundedDecisions::of(&self.gpu.read(rounded)?, self.dynamics.steps()))
    }

    /// Per context the chains of the last run that are lost: that started where the energy or its
    /// gradient is not finite, or came to where it is not. Such a chain never moves again and is
    /// NaN or infinite in the result. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn lost_chains(&self) -> Result<Vec<usize>> {
        Ok(whole(&self.gpu.read(&self.lost)?))
    }

    /// How many moves of each chain unadjusted Langevin dynamics refused in the last run, because
    /// energy or gradient is not finite where they led: `[contexts, chains]`. All 0 for energies
    /// without walls ([`Energy::has_walls`]) and for other dynamics; those that reject have
    /// [`ChainSampler::acceptance`]. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn refused_moves(&self) -> Result<Vec<usize>> {
        match &self.refused {
            Some(refused) => Ok(whole(&self.gpu.read(refused)?)),
            None => Ok(vec![0; self.lost.shape().len() * self.chains]),
        }
    }

    /// What went wrong in the runs of [`ChainSampler::sample`] since the sampler was made. Nothing
    /// is read back.
    pub fn stats(&self) -> SamplerStats {
        self.stats
    }

    fn step_adaptation(&self) -> Result<Option<StepAdaptation>> {
        let Some(step_adaptation) = &self.step_adaptation else { return Ok(None) };
        Ok(Some(unpack_adaptation(&self.gpu.read::<f32>(step_adaptation)?)))
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

    /// The share of accepted trajectories of each chain in the last run, warm-up left out:
    /// `[contexts, chains]`. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for dynamics that do not reject, [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn acceptance(&self) -> Result<Vec<f32>> {
        let Some(accepted) = &self.accepted else { return Err(no_rejections("acceptance")) };
        let counts: Vec<f32> = self.gpu.read(accepted)?;
        let steps = self.dynamics.steps() as f32;
        Ok(counts.into_iter().map(|count| count / steps).collect())
    }

    /// The step size that the last run's warm-up arrived at: the first of the schedule times the
    /// learned factor, before the knob `step_scale`. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for dynamics that do not adapt, [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn step_size(&self) -> Result<f64> {
        let (Some(found), Some(first)) = (self.step_adaptation()?, self.dynamics.first_size()) else {
            return Err(no_rejections("step size"));
        };
        Ok(first * f64::from(found.factor))
    }
}

fn unpack_adaptation(values: &[f32]) -> StepAdaptation {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(values))
}

fn whole(counts: &[f32]) -> Vec<usize> {
    counts.iter().map(|&count| count as usize).collect()
}

fn no_rejections(what: &str) -> Error {
    Error::Unsupported {
        operation: format!("sampler: {what}"),
        reason: "its dynamics accept every step and learn no step size".into(),
        hint: "use `Mala` or `Hamiltonian`".into(),
    }
}

/// Room for the samples along the chains, if they are to be returned.
fn record_room(
    recording: &mut Recording,
    options: &ChainOptions,
    dims: usize,
) -> Result<Option<SampleTrace>> {
    let Return::SampleTrace { thin } = options.returns else { return Ok(None) };
    let steps = options.dynamics.steps();
    if thin == 0 || thin > steps {
        let problem = format!("is {thin}, allowed are 1 to the number of steps, {steps}");
        return Err(Error::argument("sampler", "`thin` of the trace", problem));
    }
    let shape = [steps / thin, options.contexts, options.chains, dims];
    Ok(Some(SampleTrace { value: recording.scratch("trace", DType::F32, shape), thin }))
}
