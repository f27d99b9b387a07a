//! Log-likelihoods by the probability flow.

use serde::{Deserialize, Serialize};

use super::{NoiseSchedule, Score, combine};
use crate::error::counted;
use crate::gpu::{DType, Gpu, Plan, Recording, RunState, Shape, Tensor, Value, write_contexts};
use crate::math::change_units::Change;
use crate::math::{HALF_LOG_TAU, change_units};
use crate::nn::Normalizer;
use crate::ode::flow_stage::{Flow, Place, Stage};
use crate::ode::{Probe, flow_density, flow_divergence, flow_probe, flow_stage};
use crate::{Error, Result};

/// Most dimensions of an exact trace: each costs a product with the Jacobian per evaluation.
const MAX_EXACT: usize = 8;
/// Most probes of an estimated one.
const MAX_PROBES: usize = 256;
/// Most steps: every stage is dispatches of its own.
const MAX_STEPS: usize = 10_000;

/// How the flow is integrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowMethod {
    /// The classical method of order 4, four evaluations per step.
    #[default]
    RungeKutta4,
    /// The trapezoid with a predicted end, order 2, two evaluations per step.
    Heun,
}

crate::error::named!("flow method", FlowMethod { RungeKutta4 => "runge_kutta4", Heun => "heun" });

impl FlowMethod {
    /// Per stage, where in the step it is evaluated (which is how far along the slope before it)
    /// and its weight.
    fn stages(self) -> &'static [(f64, f64)] {
        match self {
            Self::RungeKutta4 => &[(0.0, 1.0 / 6.0), (0.5, 1.0 / 3.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 6.0)],
            Self::Heun => &[(0.0, 0.5), (1.0, 0.5)],
        }
    }
}

/// How the trace of the noise's Jacobian is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// By a product with each unit vector, up to 8 dimensions.
    #[default]
    Exact,
    /// Without bias, as the mean of `v . J'v` over random `v`, which stay the same along the flow
    /// (arXiv 1810.01367).
    Hutchinson {
        /// How many, 1 to 256.
        probes: usize,
        /// Their distribution.
        draws: Probe,
    },
}

/// What a likelihood is made for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LikelihoodOptions {
    /// The schedule of the score.
    pub schedule: NoiseSchedule,
    /// The points are taken as samples at this time, above 0; the flow ends with the schedule.
    pub first_time: f64,
    /// Steps of equal log-SNR.
    pub steps: usize,
    /// How a step is taken.
    pub method: FlowMethod,
    /// How the trace is found.
    pub trace: Divergence,
    /// Contexts at a time; for an unconditional score, groups of points.
    pub contexts: usize,
    /// Numbers per context; 0 for an unconditional score.
    pub context_width: usize,
    /// Points per context.
    pub samples: usize,
    /// Seed of the probes.
    pub seed: u64,
}

crate::error::setters!(LikelihoodOptions {
    with_schedule => schedule: NoiseSchedule,
    with_first_time => first_time: f64,
    with_steps => steps: usize,
    with_method => method: FlowMethod,
    with_trace => trace: Divergence,
    with_contexts => contexts: usize,
    with_context_width => context_width: usize,
    with_samples => samples: usize,
    with_seed => seed: u64,
});

impl Default for LikelihoodOptions {
    /// One point without a context: the linear schedule from 1e-3 on, 100 steps of order 4, exact
    /// traces.
    fn default() -> Self {
        Self {
            schedule: NoiseSchedule::default(),
            first_time: 1e-3,
            steps: 100,
            method: FlowMethod::default(),
            trace: Divergence::default(),
            contexts: 1,
            context_width: 0,
            samples: 1,
            seed: 0,
        }
    }
}

impl LikelihoodOptions {
    fn check(&self, dims: usize) -> Result<()> {
        let refuse = |what: &str, problem: String| Err(Error::argument("likelihood", what, problem));
        self.schedule.check()?;
        let (time, end) = (self.first_time, self.schedule.end());
        if !(1e-6..end).contains(&time) {
            return refuse("the first time", format!("is {time}, allowed are 1e-6 up to {end}"));
        }
        if self.steps == 0 || self.steps > MAX_STEPS {
            return refuse("the steps", format!("are {}, allowed are 1 to {MAX_STEPS}", self.steps));
        }
        if self.contexts == 0 || self.samples == 0 {
            return refuse(
                "the points",
                format!("are {} for {}; give some", self.samples, counted(self.contexts, "context")),
            );
        }
        match self.trace {
            Divergence::Exact if dims > MAX_EXACT => refuse(
                "the exact trace",
                format!("is for {MAX_EXACT} dimensions at most, not {dims}: take probes"),
            ),
            Divergence::Hutchinson { probes, .. } if probes == 0 || probes > MAX_PROBES => {
                refuse("the probes", format!("are {probes}, allowed are 1 to {MAX_PROBES}"))
            }
            _ => Ok(()),
        }
    }

    /// Records `log q(x)` of points at [`LikelihoodOptions::first_time`], in nats with respect to
    /// data units: `[rows, 1]`.
    ///
    /// With `y = x / alpha` and `rho = sigma / alpha` the flow is `dy/drho = eps(alpha y)` and the
    /// density along it changes by `d log p(y)/drho = -alpha tr(d eps/dx)` (arXiv 2011.13456), so
    /// that `log q(x) = log N(x_T; 0, 1) + dims (log alpha_T - log alpha_0) + int alpha tr(d
    /// eps/dx) drho`. For a score in units of a normalizer these are those of the normalized point,
    /// and `sum_j log scale_j` is added.
    ///
    /// * `context`: `[contexts, context_width]` for a conditional score; `points`:
    ///   `[contexts, samples, dims]`.
    /// * per evaluation: the score with one product per dimension or probe, a dispatch for each,
    ///   and one for the flow.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain, [`Error::Shape`] if shapes do not fit,
    /// [`Error::Unsupported`] for a score that knows no derivative.
    pub fn record(
        &self,
        recording: &mut Recording,
        score: &dyn Score,
        context: Option<Value>,
        points: Value,
    ) -> Result<Value> {
        let dims = score.dims();
        self.check(dims)?;
        if let Some(schedule) = score.schedule().filter(|schedule| *schedule != self.schedule) {
            let problem = format!("was trained on {schedule:?}, the likelihood goes by {:?}", self.schedule);
            return Err(Error::argument("likelihood", "the score", problem));
        }
        let shape = Shape::new([self.contexts, self.samples, dims]);
        recording.expect_shape("likelihood", points, shape.clone())?;
        let points = change_units::record(recording, Change::ToNormalized, score.normalizer(), points)?;
        let log_volume = score.normalizer().map_or(0.0, Normalizer::log_volume);
        let rows = shape.rows();
        let (probes, share) = self.record_probes(recording, (rows, dims))?;
        let (first, last) = (self.schedule.at(self.first_time), self.schedule.at(self.schedule.end()));
        let raise = (1.0 / first.alpha()) as f32;
        let flow = Flow {
            y: combine::record(recording, "flow begin", (raise, points), (0.0, points))?,
            total: recording.scratch("slopes", DType::F32, shape.clone()),
            x: recording.scratch("flow", DType::F32, shape),
        };
        let log_det = recording.scratch("log_det", DType::F32, [rows, 1]);
        let fall = (last.lambda() - first.lambda()) / self.steps as f64;
        let rho = |step: usize| (-first.lambda() - step as f64 * fall).exp();
        let stages = self.method.stages();
        let mut x = points;
        for step in 0..self.steps {
            let (begin, length) = (rho(step), rho(step + 1) - rho(step));
            let level = |share: f64| match (step, share) {
                (0, 0.0) => first,
                (step, 1.0) if step + 1 == self.steps => last,
                (_, share) => self.schedule.at_lambda(-(begin + share * length).ln()),
            };
            for (index, &(here, weight)) in stages.iter().enumerate() {
                let level_here = level(here);
                let mut given = |_: &mut Recording, _: Value| Ok(probes.clone());
                let (noise, products) =
                    score.record_noise_and_vjps(recording, context, x, &level_here, &mut given)?;
                for (probe, product) in probes.iter().zip(products) {
                    let weight = weight * length * level_here.alpha() * share;
                    flow_divergence::record(recording, *probe, product, log_det, weight)?;
                }
                let next = stages.get(index + 1).map(|next| next.0);
                let place = match (index, next) {
                    (0, _) => Place::First,
                    (_, Some(_)) => Place::Between,
                    (_, None) => Place::Last,
                };
                let stage = Stage {
                    place,
                    weight: weight * length,
                    ahead: next.unwrap_or(0.0) * length,
                    alpha: level(next.unwrap_or(1.0)).alpha(),
                };
                flow_stage::record(recording, &flow, noise, &stage)?;
                x = flow.x;
            }
        }
        let constant = dims as f64 * (last.log_alpha - first.log_alpha - HALF_LOG_TAU) + log_volume;
        flow_density::record(recording, flow.x, log_det, constant)
    }

    /// The probes, and what each counts.
    fn record_probes(
        &self,
        recording: &mut Recording,
        (rows, dims): (usize, usize),
    ) -> Result<(Vec<Value>, f64)> {
        match self.trace {
            Divergence::Exact => {
                let unit = |axis: usize| -> Vec<f32> {
                    let row = (0..dims.next_multiple_of(4)).map(|j| f32::from(u8::from(j == axis)));
                    row.collect::<Vec<_>>().repeat(rows)
                };
                let shape = Shape::packed(rows, dims);
                let units =
                    (0..dims).map(|axis| recording.constant("unit vectors", shape.clone(), &unit(axis)));
                Ok((units.collect::<Result<_>>()?, 1.0))
            }
            Divergence::Hutchinson { probes, draws } => {
                let stream = recording.stream("likelihood/probes")?;
                let all = flow_probe::record(recording, draws, (rows, dims), stream, probes)?;
                Ok((all, 1.0 / probes as f64))
            }
        }
    }
}

/// Log-likelihoods of points under a score: a compiled probability flow, from the points to noise
/// in one plan.
///
/// Contexts and points are counted by the options and not by a call, because memory and grids of
/// the plan are made for their number. Another number is another flow: it shares its pipelines, so
/// that making it compiles no shader again.
///
/// ```no_run
/// use gibbs::diffusion::{Likelihood, LikelihoodOptions, MixtureScore};
///
/// let gpu = gibbs::Gpu::open(&gibbs::GpuOptions::default())?;
/// let score = MixtureScore::isotropic(&[1.0, 1.0], &[-1.0, 0.0, 1.0, 0.0], &[0.3, 0.3])?;
/// let options = LikelihoodOptions::default().with_samples(2);
/// let nats = Likelihood::new(&gpu, &score, &options)?.log_density(&[], &[0.9, 0.1, -3.0, 2.0])?;
/// assert!(nats[0] > nats[1]);
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Debug)]
pub struct Likelihood {
    gpu: Gpu,
    plan: Plan,
    run: Option<RunState>,
    context: Option<Tensor>,
    points: Tensor,
    result: Tensor,
}

impl Likelihood {
    /// Compiles the flow of a score.
    ///
    /// # Errors
    /// As [`LikelihoodOptions::record`], and [`Error::Limit`] if the points do not fit the device's
    /// bindings.
    pub fn new(gpu: &Gpu, score: &dyn Score, options: &LikelihoodOptions) -> Result<Self> {
        let mut recording = gpu.record("gibbs/likelihood");
        recording.provide_all(&score.bindings());
        let (context, context_value) = match options.context_width {
            0 => (None, None),
            width => {
                let (tensor, value) = recording.input::<f32>(gpu, "context", [options.contexts, width])?;
                (Some(tensor), Some(value))
            }
        };
        let shape = [options.contexts, options.samples, score.dims()];
        let (points, points_value) = recording.input::<f32>(gpu, "points", shape)?;
        let value = options.record(&mut recording, score, context_value, points_value)?;
        recording.check_context_is_read("likelihood", context_value)?;
        let run = match options.trace {
            Divergence::Exact => None,
            Divergence::Hutchinson { .. } => {
                RunState::record_advance(&mut recording)?;
                let run = RunState::new(gpu, options.seed)?;
                recording.provide_all(&run.bindings());
                Some(run)
            }
        };
        let result = recording.output(gpu, value, "result")?;
        let plan = recording.compile_bound(gpu)?;
        Ok(Self { gpu: gpu.clone(), plan, run, context, points, result })
    }

    /// The run state that numbers the probes of an estimated trace: each run of the plan advances
    /// it.
    pub fn run_state(&self) -> Option<&RunState> {
        self.run.as_ref()
    }

    /// The plan, to be encoded beside a host's own work. Slots: `points`, `result` and, for a
    /// conditional score, `context`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The tensor that holds the contexts, `[contexts, context_width]`, if there are any; write it
    /// before a run.
    pub fn context(&self) -> Option<&Tensor> {
        self.context.as_ref()
    }

    /// The tensor that holds the points, `[contexts, samples, dims]`; write it before a run.
    pub fn points(&self) -> &Tensor {
        &self.points
    }

    /// The tensor that holds the log-likelihoods after a run, in nats, one per point:
    /// `[contexts * samples, 1]`.
    pub fn result(&self) -> &Tensor {
        &self.result
    }

    /// The log-likelihoods of points, `[contexts, samples, dims]` in memory order, in nats with
    /// respect to data units. Each call draws probes of its own. Waits for the result.
    ///
    /// # Errors
    /// [`Error::Shape`] if points or contexts do not fit, [`Error::Timeout`],
    /// [`Error::DeviceLost`].
    pub fn log_density(&mut self, context: &[f32], points: &[f32]) -> Result<Vec<f32>> {
        write_contexts(&self.gpu, "likelihood", self.context.as_ref(), context)?;
        self.points.write(&self.gpu, points)?;
        self.plan.run(1)?;
        self.gpu.read(&self.result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{EmpiricalScore, MixtureScore};

    #[test]
    fn stages_are_consistent() {
        for method in [FlowMethod::RungeKutta4, FlowMethod::Heun] {
            let stages = method.stages();
            assert!((stages.iter().map(|stage| stage.1).sum::<f64>() - 1.0).abs() < 1e-15);
            // Order 2: the mean place is the middle.
            assert!((stages.iter().map(|stage| stage.0 * stage.1).sum::<f64>() - 0.5).abs() < 1e-15);
        }
    }

    #[test]
    fn options_without_sense_are_refused() {
        let base = LikelihoodOptions::default();
        let probes = |probes| Divergence::Hutchinson { probes, draws: Probe::Normal };
        let plain = MixtureScore::isotropic(&[1.0], &[0.0; 2], &[1.0]).unwrap();
        let wide = MixtureScore::isotropic(&[1.0], &[0.0; 9], &[1.0]).unwrap();
        let finite = EmpiricalScore::new(2, &[0.0, 1.0]).unwrap();
        let cases: [(LikelihoodOptions, &dyn Score, &str); 8] = [
            (LikelihoodOptions { first_time: 0.0, ..base }, &plain, "the first time is 0"),
            (LikelihoodOptions { first_time: 1.0, ..base }, &plain, "the first time is 1"),
            (LikelihoodOptions { steps: 0, ..base }, &plain, "the steps are 0"),
            (LikelihoodOptions { samples: 0, ..base }, &plain, "give some"),
            (LikelihoodOptions { trace: probes(0), ..base }, &plain, "the probes are 0"),
            (LikelihoodOptions { trace: probes(257), ..base }, &plain, "the probes are 257"),
            (base, &wide, "take probes"),
            (base, &finite, "this score has none"),
        ];
        for (options, score, words) in cases {
            let mut recording = Recording::new("test");
            let points = recording.slot("points", DType::F32, [1, 1, score.dims()]).unwrap();
            let error = options.record(&mut recording, score, None, points).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
