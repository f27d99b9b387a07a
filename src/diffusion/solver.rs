//! Solvers of the reverse process, as lists of linear updates with coefficients in f64.

use serde::{Deserialize, Serialize};

use super::{NoiseLevel, NoiseSchedule, TimeGrid};
use crate::{Error, Result};

/// How samples are led from noise to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Ancestral sampling: the exact posterior of the next time given the predicted data, with
    /// fresh noise (arXiv 2006.11239).
    Ddpm,
    /// Deterministic, first order (arXiv 2010.02502); DPM-Solver and DPM-Solver++ of order 1 are
    /// the same.
    Ddim,
    /// DPM-Solver++ (arXiv 2211.01095), predicting data: second order, one evaluation a step.
    #[serde(rename = "dpmpp_2m")]
    DpmSolverPlusPlus2M,
    /// DPM-Solver++ of third order, one evaluation a step.
    #[serde(rename = "dpmpp_3m")]
    DpmSolverPlusPlus3M,
    /// DPM-Solver++ of second order, two evaluations a step; an odd number of evaluations ends with
    /// a step of first order.
    #[serde(rename = "dpmpp_2s")]
    DpmSolverPlusPlus2S,
    /// DPM-Solver (arXiv 2206.00927), predicting noise: second order, one evaluation a step. Toy
    /// experiments of arXiv 2304.12824.
    #[serde(rename = "dpm_2m")]
    DpmSolver2M,
}

crate::error::named!("diffusion solver", Solver { Ddpm => "ddpm", Ddim => "ddim", DpmSolverPlusPlus2M => "dpmpp_2m", DpmSolverPlusPlus3M => "dpmpp_3m", DpmSolverPlusPlus2S => "dpmpp_2s", DpmSolver2M => "dpm_2m" });

/// Which order the last steps of a multistep solver have. The others look back at model values of
/// large noise, which a coarse last step extrapolates far beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastSteps {
    /// Lowered up to 100 evaluations at equal steps of time, 15 of its root and 6 of the log-SNR,
    /// in full beyond: as errors with exact scores say (`docs/results.md`).
    Auto,
    /// The solver's, as published for arXiv 2304.12824.
    Full,
    /// At most as many as there are steps left, with this one: the last is of first order, the one
    /// before of second.
    Lowered,
}

crate::error::named!("order of the last steps", LastSteps { Auto => "auto", Full => "full", Lowered => "lowered" });

/// Files from before there was a choice.
fn full() -> LastSteps {
    LastSteps::Full
}

/// How a solver goes, apart from what it evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SolverOptions {
    /// The solver.
    pub solver: Solver,
    /// The spacing of its times.
    pub grid: TimeGrid,
    /// Evaluations of the score, 1 to 10000.
    pub evaluations: usize,
    /// The last time, where the sample is taken.
    pub last_time: f64,
    /// The noise schedule of the model.
    pub schedule: NoiseSchedule,
    /// The order of a multistep solver's last steps; where a description says nothing, in full.
    #[serde(default = "full")]
    pub last_steps: LastSteps,
}

crate::error::setters!(SolverOptions {
    with_solver => solver: Solver,
    with_grid => grid: TimeGrid,
    with_evaluations => evaluations: usize,
    with_last_time => last_time: f64,
    with_schedule => schedule: NoiseSchedule,
    with_last_steps => last_steps: LastSteps,
});

impl Default for SolverOptions {
    /// DPM-Solver++ of second order, multistep, 25 evaluations on the log-SNR grid down to time
    /// 0.001.
    fn default() -> Self {
        Self {
            solver: Solver::DpmSolverPlusPlus2M,
            grid: TimeGrid::LogSnr,
            evaluations: 25,
            last_time: 1e-3,
            schedule: NoiseSchedule::default(),
            last_steps: LastSteps::Auto,
        }
    }
}

/// One evaluation and the update behind it. With `e` the noise at the point `x` (score and guidance
/// together), the model value is `m_0 = point x + noise e`, and the next point is
///
/// `start b + model_0 m_0 + model_1 m_1 + model_2 m_2 + fresh z`
///
/// with `m_1`, `m_2` the model values of the evaluations before and `z` fresh normal noise. `b` is
/// `x`, or the point before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SolverStep {
    /// Where the noise is evaluated.
    pub level: NoiseLevel,
    /// Where the next point lies.
    pub next: NoiseLevel,
    /// Whether `b` is the point before `x`: the second half of a singlestep.
    pub from_previous: bool,
    /// Factor of `x` in the model value.
    pub point: f64,
    /// Factor of the noise in the model value.
    pub noise: f64,
    /// Factor of `b`.
    pub start: f64,
    /// Factors of the model values.
    pub model: [f64; 3],
    /// Factor of fresh noise.
    pub fresh: f64,
}

/// What a model value predicts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Data,
    Noise,
}

/// Each evaluation is dispatches of its own.
const MAX_EVALUATIONS: usize = 10_000;

impl SolverOptions {
    /// The settings of the toy experiments of arXiv 2304.12824: noise-predicting second order,
    /// equal steps of time, 15 evaluations, full order to the end.
    pub fn paper() -> Self {
        Self {
            solver: Solver::DpmSolver2M,
            grid: TimeGrid::Time,
            evaluations: 15,
            last_steps: LastSteps::Full,
            ..Self::default()
        }
    }

    /// The settings of its policies: data-predicting second order in single steps, equal steps of
    /// time, 15 evaluations.
    pub fn paper_policy() -> Self {
        Self { solver: Solver::DpmSolverPlusPlus2S, ..Self::paper() }
    }

    /// Whether the last steps of a multistep solver are of lower order: [`LastSteps`] decided.
    pub fn lowers_last_steps(&self) -> bool {
        match self.last_steps {
            LastSteps::Lowered => true,
            LastSteps::Full => false,
            LastSteps::Auto => {
                self.evaluations
                    <= match self.grid {
                        TimeGrid::Time => 100,
                        TimeGrid::Quadratic => 15,
                        TimeGrid::LogSnr => 6,
                    }
            }
        }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`Error::Argument`] for no evaluations or more than 10000, a last time below 1e-6 or not
    /// before the schedule's end, a bad schedule.
    pub fn check(&self) -> Result<()> {
        self.schedule.check()?;
        let fail = |what: &str, problem: String| Err(Error::argument("diffusion solver", what, problem));
        if !(1..=MAX_EVALUATIONS).contains(&self.evaluations) {
            let problem = format!("is {}, allowed are 1 to {MAX_EVALUATIONS}", self.evaluations);
            return fail("the number of evaluations", problem);
        }
        let end = self.schedule.end();
        if !(self.last_time >= 1e-6 && self.last_time < end) {
            return fail("the last time", format!("is {}, allowed are 1e-6 to below {end}", self.last_time));
        }
        Ok(())
    }

    /// The updates, one per evaluation, from the schedule's end to the last time.
    ///
    /// # Errors
    /// As [`SolverOptions::check`].
    pub fn steps(&self) -> Result<Vec<SolverStep>> {
        self.check()?;
        let levels = self.grid.levels(&self.schedule, self.last_time, self.evaluations);
        let multistep = |order, form| multistep(&levels, order, form, self.lowers_last_steps());
        Ok(match self.solver {
            Solver::Ddpm => levels.windows(2).map(|pair| ancestral(pair[0], pair[1])).collect(),
            Solver::Ddim => multistep(1, Form::Data),
            Solver::DpmSolverPlusPlus2M => multistep(2, Form::Data),
            Solver::DpmSolverPlusPlus3M => multistep(3, Form::Data),
            Solver::DpmSolver2M => multistep(2, Form::Noise),
            Solver::DpmSolverPlusPlus2S => singlestep(&levels),
        })
    }
}

/// The first-order update: its factors of the point and of the model value, and the integrals that
/// higher orders need.
struct Exponential {
    start: f64,
    /// `model` times a constant model value is its exact contribution.
    model: f64,
    /// Step of the log-SNR.
    h: f64,
    /// Size of the integral of the exponential.
    scale: f64,
    /// The exponent's sign: minus `h` for data, `h` for noise.
    exponent: f64,
}

impl Exponential {
    fn new(from: NoiseLevel, to: NoiseLevel, form: Form) -> Self {
        let h = to.lambda() - from.lambda();
        match form {
            Form::Data => Self {
                start: to.sigma() / from.sigma(),
                model: -to.alpha() * (-h).exp_m1(),
                h,
                scale: to.alpha(),
                exponent: -h,
            },
            Form::Noise => Self {
                start: to.alpha() / from.alpha(),
                model: -to.sigma() * h.exp_m1(),
                h,
                scale: to.sigma(),
                exponent: h,
            },
        }
    }
}

impl SolverStep {
    fn new(level: NoiseLevel, next: NoiseLevel, form: Form) -> Self {
        let (point, noise) = match form {
            Form::Data => (1.0 / level.alpha(), -level.sigma() / level.alpha()),
            Form::Noise => (0.0, 1.0),
        };
        let step = Exponential::new(level, next, form);
        Self {
            level,
            next,
            from_previous: false,
            point,
            noise,
            start: step.start,
            model: [step.model, 0.0, 0.0],
            fresh: 0.0,
        }
    }
}

fn multistep(levels: &[NoiseLevel], order: usize, form: Form, lowered: bool) -> Vec<SolverStep> {
    let lambda: Vec<f64> = levels.iter().map(NoiseLevel::lambda).collect();
    let steps = levels.len() - 1;
    (0..steps)
        .map(|index| {
            let mut step = SolverStep::new(levels[index], levels[index + 1], form);
            let exponential = Exponential::new(levels[index], levels[index + 1], form);
            let first = exponential.model;
            let left = if lowered { steps - index } else { order };
            match order.min(index + 1).min(left) {
                1 => {}
                2 => {
                    // m_0 + (m_0 - m_1) / (2 r) in place of m_0
                    let r = (lambda[index] - lambda[index - 1]) / exponential.h;
                    step.model = [first * (1.0 + 0.5 / r), -first * 0.5 / r, 0.0];
                }
                _ => {
                    let r0 = (lambda[index] - lambda[index - 1]) / exponential.h;
                    let r1 = (lambda[index - 1] - lambda[index - 2]) / exponential.h;
                    step.model = third_order(&exponential, r0, r1);
                }
            }
            step
        })
        .collect()
}

/// The three factors of order 3: the parabola through the model values, against the log-SNR,
/// integrated exactly: `1 (phi_1) + phi_2 D1 - 2 phi_3 D2` with `phi_1 = e^-h - 1`,
/// `phi_2 = phi_1 / h + 1`, `phi_3 = phi_2 / h - 1/2` and `D2` half the second derivative. The form
/// that is in circulation lacks the 2, which makes it a method of second order.
fn third_order(step: &Exponential, r0: f64, r1: f64) -> [f64; 3] {
    let h = step.h;
    let phi1 = step.exponent.exp_m1();
    let phi2 = phi1 / h + 1.0;
    let phi3 = phi2 / h - 0.5;
    // D10 = (m0 - m1) / r0, D11 = (m1 - m2) / r1 as rows of factors of m0, m1, m2.
    let d10 = [1.0 / r0, -1.0 / r0, 0.0];
    let d11 = [0.0, 1.0 / r1, -1.0 / r1];
    std::array::from_fn(|m| {
        let d1 = d10[m] + r0 / (r0 + r1) * (d10[m] - d11[m]);
        let d2 = (d10[m] - d11[m]) / (r0 + r1);
        let own = if m == 0 { step.model } else { 0.0 };
        own + step.scale * (phi2 * d1 - 2.0 * phi3 * d2)
    })
}

fn singlestep(levels: &[NoiseLevel]) -> Vec<SolverStep> {
    let mut steps = Vec::new();
    for block in levels[..levels.len() - 1].chunks(2).enumerate() {
        let at = 2 * block.0;
        let (from, middle) = (levels[at], levels[at + 1]);
        steps.push(SolverStep::new(from, middle, Form::Data));
        if block.1.len() == 2 {
            let to = levels[at + 2];
            let r = (middle.lambda() - from.lambda()) / (to.lambda() - from.lambda());
            let whole = Exponential::new(from, to, Form::Data);
            // m_s + (m_middle - m_s) / (2 r), the middle being the newer value.
            steps.push(SolverStep {
                from_previous: true,
                start: whole.start,
                model: [whole.model * 0.5 / r, whole.model * (1.0 - 0.5 / r), 0.0],
                ..SolverStep::new(middle, to, Form::Data)
            });
        }
    }
    steps
}

/// `q(x_t | x_s, x_0)` of the forward process between the later time `s` and `t`.
fn ancestral(from: NoiseLevel, to: NoiseLevel) -> SolverStep {
    let mut step = SolverStep::new(from, to, Form::Data);
    // x_s = ratio x_t + noise of variance sigma_s^2 - ratio^2 sigma_t^2
    let log_ratio = from.log_alpha - to.log_alpha;
    let (ratio, variance_from, variance_to) = (log_ratio.exp(), from.sigma().powi(2), to.sigma().powi(2));
    let added = -(2.0 * log_ratio).exp_m1();
    step.start = ratio * variance_to / variance_from;
    step.model = [to.alpha() * added / variance_from, 0.0, 0.0];
    step.fresh = (added * variance_to / variance_from).sqrt();
    step
}

#[cfg(test)]
mod tests;
