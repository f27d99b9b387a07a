//! Samples of a diffusion model: a compiled plan over all steps of a solver.

use serde::{Deserialize, Serialize};

use super::solver_step;
use super::solver_step::StepValues;
use super::{Guidance, Score, SolverOptions};
use crate::error::counted;
use crate::gpu::run::random;
use crate::gpu::run::random::Distribution;
use crate::gpu::{DType, Gpu, Knob, Plan, Recording, RunState, Tensor, Value, write_contexts};
use crate::math::change_units::Change;
use crate::math::{Bounds, change_units, clip_chains};
use crate::{Error, Result};

/// What a sampler is made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SamplingOptions {
    /// The solver with its grid, number of evaluations and schedule.
    pub solver: SolverOptions,
    /// Contexts sampled at a time; for an unconditional model, independent groups of samples.
    pub contexts: usize,
    /// Numbers per context; 0 for an unconditional model.
    pub context_width: usize,
    /// Samples per context.
    pub samples: usize,
    /// Factor of the energy's gradient, `s`: 1 is exact for an exact intermediate energy.
    pub guidance_scale: f64,
    /// Samples are moved into this box, in data units, behind the last step.
    pub bounds: Option<Bounds>,
    /// Seed of starts and noise.
    pub seed: u64,
}

crate::error::setters!(SamplingOptions {
    with_solver => solver: SolverOptions,
    with_contexts => contexts: usize,
    with_context_width => context_width: usize,
    with_samples => samples: usize,
    with_guidance_scale => guidance_scale: f64,
    with_bounds => bounds: into Option<Bounds>,
    with_seed => seed: u64,
});

impl Default for SamplingOptions {
    /// One sample without a context by the default solver, guided at scale 1 where there is
    /// guidance.
    fn default() -> Self {
        Self {
            solver: SolverOptions::default(),
            contexts: 1,
            context_width: 0,
            samples: 1,
            guidance_scale: 1.0,
            bounds: None,
            seed: 0,
        }
    }
}

impl SamplingOptions {
    /// Checks them for samples of `dims` numbers: what a host can refuse before it trains what is
    /// to be sampled.
    ///
    /// # Errors
    /// [`Error::Argument`] for no contexts or no samples, a guidance scale that is not finite,
    /// bounds of other dimensions; those of [`SolverOptions::check`].
    pub fn check(&self, dims: usize) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("diffusion sampler", what, problem));
        if self.contexts == 0 || self.samples == 0 || dims == 0 {
            let Self { contexts, samples, .. } = self;
            let problem = format!(
                "are {samples} of {} for {}; each must be at least one",
                counted(dims, "number"),
                counted(*contexts, "context")
            );
            return fail("the samples", problem);
        }
        check_scale(self.guidance_scale)?;
        match &self.bounds {
            Some(bounds) if bounds.dims() != dims => fail(
                "the bounds",
                format!("have {}, the samples {dims}", counted(bounds.dims(), "dimension")),
            ),
            _ => self.solver.check(),
        }
    }
}

/// Draws samples of a score, guided or not, from normal noise. One plan over all evaluations: no
/// host work between them.
///
/// Contexts and samples are options and no arguments of a call, because memory and grids
/// of the plan are made for their number. Another number is another sampler: it shares its
/// pipelines, so that making it compiles no shader again.
#[derive(Debug)]
pub struct DiffusionSampler {
    gpu: Gpu,
    plan: Plan,
    description: String,
    context: Option<Tensor>,
    start: Option<Tensor>,
    result: Tensor,
    run: RunState,
    guidance_scale: Knob,
}

/// Where samples begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Drawn,
    Given,
}

impl DiffusionSampler {
    /// Compiles a sampler whose starts are drawn: standard normal, as the noised data are at the
    /// schedule's end.
    ///
    /// # Errors
    /// [`Error::Argument`] for options or energies that do not fit, [`Error::Shape`],
    /// [`Error::Limit`], [`Error::Unsupported`] if guidance needs a derivative that the score does
    /// not have.
    pub fn new(
        gpu: &Gpu,
        score: &dyn Score,
        guidance: Guidance<'_>,
        options: &SamplingOptions,
    ) -> Result<Self> {
        Self::compile(gpu, score, guidance, options, Start::Drawn)
    }

    /// Compiles a sampler that goes on from given points at the schedule's end: slot and tensor
    /// `start`, `[contexts, samples, dims]`, standard normal like those that are drawn, in whatever
    /// units the data are.
    ///
    /// # Errors
    /// As [`DiffusionSampler::new`].
    pub fn from_points(
        gpu: &Gpu,
        score: &dyn Score,
        guidance: Guidance<'_>,
        options: &SamplingOptions,
    ) -> Result<Self> {
        Self::compile(gpu, score, guidance, options, Start::Given)
    }

    fn compile(
        gpu: &Gpu,
        score: &dyn Score,
        guidance: Guidance<'_>,
        options: &SamplingOptions,
        from: Start,
    ) -> Result<Self> {
        options.check(score.dims())?;
        let shape = [options.contexts, options.samples, score.dims()];
        let run = RunState::new(gpu, options.seed)?;
        let mut recording = gpu.record("gibbs/diffusion");
        for bindings in [run.bindings(), score.bindings(), guidance.bindings()] {
            recording.provide_all(&bindings);
        }
        let (context_tensor, context) = match options.context_width {
            0 => (None, None),
            width => {
                let (tensor, value) = recording.input::<f32>(gpu, "context", [options.contexts, width])?;
                (Some(tensor), Some(value))
            }
        };
        let (start_tensor, start) = match from {
            Start::Given => {
                let (tensor, value) = recording.input::<f32>(gpu, "start", shape)?;
                (Some(tensor), value)
            }
            Start::Drawn => {
                let noise = recording.scratch("start", DType::F32, shape);
                let stream = recording.stream("diffusion/start")?;
                random::record(&mut recording, Distribution::Normal, stream, 0, noise)?;
                (None, noise)
            }
        };
        let guidance_scale = recording.knob("guidance_scale", options.guidance_scale as f32);
        let solver = &options.solver;
        let stream = "diffusion/noise";
        let solution = SamplingLoop { score, guidance, solver, guidance_scale, stream };
        let y = solution.record(&mut recording, context, start)?;
        if let Some(bounds) = &options.bounds {
            clip_chains::record(&mut recording, y, bounds)?;
        }
        recording.check_context_is_read("diffusion sampler", context)?;
        RunState::record_advance(&mut recording)?;
        let result = recording.output(gpu, y, "result")?;
        let plan = recording.compile_bound(gpu)?;
        let description = recording.describe();
        Ok(Self {
            gpu: gpu.clone(),
            plan,
            description,
            context: context_tensor,
            start: start_tensor,
            result,
            run,
            guidance_scale,
        })
    }

    /// The plan, to be encoded beside a host's own work. Slots: `result` and, where there are such,
    /// `context` and `start`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A table of the plan's dispatches.
    pub fn description(&self) -> &str {
        &self.description
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

    /// The tensor that holds the starts, `[contexts, samples, dims]`, if they are given; write it
    /// before a run.
    pub fn start(&self) -> Option<&Tensor> {
        self.start.as_ref()
    }

    /// The tensor that holds the samples after a run, `[contexts, samples, dims]`, in data units.
    pub fn result(&self) -> &Tensor {
        &self.result
    }

    /// Sets the guidance scale from the next run on; without guidance it has no effect.
    ///
    /// # Errors
    /// [`Error::Argument`] for a scale that is not finite.
    pub fn set_guidance_scale(&self, scale: f64) -> Result<()> {
        check_scale(scale)?;
        self.plan.set_knob(self.guidance_scale, scale as f32)
    }

    /// Samples for the given contexts (none for an unconditional model) and waits for
    /// `[contexts, samples, dims]` in data units. A sample whose score or energy was not finite on
    /// its way is not finite either.
    ///
    /// # Errors
    /// [`Error::Shape`] if the contexts do not fit, [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn sample(&mut self, context: &[f32]) -> Result<Vec<f32>> {
        write_contexts(&self.gpu, "diffusion sampler", self.context.as_ref(), context)?;
        self.plan.run(1)?;
        self.gpu.read(&self.result)
    }

    /// As [`DiffusionSampler::sample`], from these points at the schedule's end,
    /// `[contexts, samples, dims]`.
    ///
    /// # Errors
    /// As there, [`Error::Unsupported`] if the starts are drawn.
    pub fn sample_from(&mut self, context: &[f32], starts: &[f32]) -> Result<Vec<f32>> {
        match &self.start {
            Some(tensor) => tensor.write(&self.gpu, starts)?,
            None => {
                return Err(Error::Unsupported {
                    operation: "diffusion sampler: given starts".into(),
                    reason: "it draws its starts".into(),
                    hint: "make it by `DiffusionSampler::from_points`".into(),
                });
            }
        }
        self.sample(context)
    }
}

fn check_scale(scale: f64) -> Result<()> {
    match (scale as f32).is_finite() {
        true => Ok(()),
        false => {
            Err(Error::argument("diffusion", "the guidance scale", format!("is {scale}; it must be finite")))
        }
    }
}

/// A whole solution from points at the schedule's end, to be put into a larger recording.
#[derive(Clone, Copy)]
pub struct SamplingLoop<'a> {
    /// The score.
    pub score: &'a dyn Score,
    /// What leads it.
    pub guidance: Guidance<'a>,
    /// How it goes.
    pub solver: &'a SolverOptions,
    /// Multiplies the energy's gradient; solutions that share a knob share their scale.
    pub guidance_scale: Knob,
    /// Name of the stream of fresh noise.
    pub stream: &'a str,
}

impl SamplingLoop<'_> {
    /// Records it.
    ///
    /// * `context`: `[contexts, width]` for a conditional model; `start`:
    ///   `[contexts, samples, dims]`.
    /// * returns the samples, of the shape of `start`, in data units.
    /// * per evaluation: the score, the energy's gradient where there is guidance, and one
    ///   dispatch; at the end one more for a score in other units than those of the data.
    ///
    /// # Errors
    /// As [`DiffusionSampler::new`].
    pub fn record(&self, recording: &mut Recording, context: Option<Value>, start: Value) -> Result<Value> {
        let shape = recording.shape(start)?.clone();
        let (rows, dims) = (shape.rows(), shape.width());
        let Self { score, guidance, guidance_scale, .. } = *self;
        guidance.check(score)?;
        self.solver.check()?;
        for (what, schedule) in [("the score", score.schedule()), ("the energy", guidance.schedule())] {
            if let Some(schedule) = schedule.filter(|schedule| *schedule != self.solver.schedule) {
                let problem =
                    format!("was trained on {schedule:?}, the solver goes by {:?}", self.solver.schedule);
                return Err(Error::argument("diffusion", what, problem));
            }
        }
        if dims != score.dims() {
            let expected = format!("[.., {}]", score.dims());
            let hint = "give the score's dimensions";
            return Err(Error::shape("diffusion", "the start", shape, expected, hint));
        }
        let stream = recording.stream(self.stream)?;
        let previous_outputs = recording.scratch("model values", DType::F32, [2, rows, dims]);
        let mut points = [start; 2];
        for (index, step) in self.solver.steps()?.iter().enumerate() {
            let [before, point] = points;
            let next = recording.scoped(&format!("evaluation {index}"), |recording| {
                let guided = guidance.record(recording, score, context, point, &step.level)?;
                let next = recording.scratch("samples", DType::F32, shape.clone());
                let base = if step.from_previous { before } else { point };
                let values = StepValues {
                    base,
                    point,
                    noise: guided.noise,
                    energy_gradient: guided.energy_gradient,
                    previous_outputs,
                    next,
                };
                solver_step::record(recording, step, index, &values, guidance_scale, stream)?;
                Ok(next)
            })?;
            points = [point, next];
        }
        change_units::record(recording, Change::ToData, score.normalizer(), points[1])
    }
}
