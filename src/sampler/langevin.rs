//! Unadjusted Langevin dynamics (`shaders/sampler/langevin.wgsl`).

use serde::{Deserialize, Serialize};

use crate::gpu::random::check_elements;
use crate::gpu::{KernelSource, Knob, Recording, RunState, Value, embedded_kernel};
use crate::nn::Energy;
use crate::proposal::UniformBox;
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("sampler/langevin.wgsl");

/// Step sizes `eta` over a chain, in squared data units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum StepSizes {
    /// The same at every step.
    Constant {
        /// The step size.
        eta: f64,
    },
    /// From `first` to `last` by a constant factor.
    Geometric {
        /// Step size of the first step.
        first: f64,
        /// Step size of the last step.
        last: f64,
    },
    /// `last + (first - last) (1 - i / (n - 1))^power`.
    Polynomial {
        /// Step size of the first step.
        first: f64,
        /// Step size of the last step.
        last: f64,
        /// The power.
        power: f64,
    },
}

impl StepSizes {
    /// The step size of step `index` of `steps`.
    pub fn at(&self, index: usize, steps: usize) -> f64 {
        let share = if steps > 1 { index as f64 / (steps - 1) as f64 } else { 0.0 };
        match *self {
            StepSizes::Constant { eta } => eta,
            StepSizes::Geometric { first, last } => first * (last / first).powf(share),
            StepSizes::Polynomial { first, last, power } => last + (first - last) * (1.0 - share).powf(power),
        }
    }
}

/// Unadjusted Langevin dynamics: `y <- y - eta dE/dy + sqrt(2 eta temperature) n`, for many chains per context.
///
/// The invariant density is `exp(-E)` up to a bias of order `eta` (for `E = y^2 / 2` the variance is `1 / (1 - eta / 2)`).
#[derive(Clone, Debug, PartialEq)]
pub struct Langevin {
    /// Steps of each chain, 1 to 65535.
    pub steps: usize,
    /// Their sizes.
    pub sizes: StepSizes,
    /// Chains are clamped to this box after every step.
    pub bounds: Option<UniformBox>,
    /// Whether the last step is taken without noise.
    pub quiet_last: bool,
}

impl Langevin {
    /// Records the chains, starting from and ending in `y`.
    ///
    /// * `context`: `[contexts, width]` if the energy is conditional; `y`: `[contexts, chains, dims]`, written.
    /// * knobs `step_scale` (multiplies every step size) and `temperature`, both 1 at first.
    /// * per step: the energy's gradient and one dispatch.
    ///
    /// # Errors
    /// [`Error::Argument`] for no steps or bad sizes, [`Error::Shape`] if dimensions disagree.
    pub fn record(
        &self,
        recording: &mut Recording,
        energy: &dyn Energy,
        context: Option<Value>,
        y: Value,
        stream: &str,
    ) -> Result<[Knob; 2]> {
        let shape = recording.shape(y)?.clone();
        let dims = energy.dims();
        if shape.width() != dims || shape.is_packed() || shape.is_empty() {
            let expected = format!("[contexts, chains, {dims}]");
            return Err(Error::shape(
                "langevin",
                "y",
                shape,
                expected,
                "at least one chain of the energy's dimensions",
            ));
        }
        if !recording.is_written(y) {
            return Err(Error::argument(
                "langevin",
                "y",
                "holds nothing yet; write the starts of the chains first",
            ));
        }
        self.check(dims)?;
        let rows = shape.rows();
        check_elements("langevin", rows.saturating_mul(dims.div_ceil(4)))?;
        let stream = recording.stream(stream)?;
        let state = RunState::value(recording)?;
        let step_scale = recording.knob("step_scale", 1.0);
        let temperature = recording.knob("temperature", 1.0);
        let borders = match &self.bounds {
            Some(bounds) => bounds.flat(),
            None => [-f32::MAX, f32::MAX].into_iter().flat_map(|v| std::iter::repeat_n(v, dims)).collect(),
        };
        let borders = recording.constant("box", [2, dims], &borders)?;
        for index in 0..self.steps {
            let gradient = energy.record_gradient(recording, context, y)?;
            let quiet = self.quiet_last && index + 1 == self.steps;
            recording
                .dispatch(&KERNEL, "langevin")
                .bind("gradient", gradient)
                .bind("box", borders)
                .bind("state", state)
                .bind("y", y)
                .set("rows", rows as u32)
                .set("dims", dims as u32)
                .set("stream", stream)
                .set("inner", index as u32)
                .set("step", self.sizes.at(index, self.steps) as f32)
                .set("noise", if quiet { 0.0f32 } else { 1.0 })
                .turn("step_scale", step_scale)
                .turn("temperature", temperature)
                .invocations(rows * dims.div_ceil(4))
                .finish()?;
        }
        Ok([step_scale, temperature])
    }

    fn check(&self, dims: usize) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("langevin", what, problem));
        if !(1..=65535).contains(&self.steps) {
            return fail("steps", format!("is {}, allowed are 1 to 65535", self.steps));
        }
        let sizes = [self.sizes.at(0, self.steps), self.sizes.at(self.steps - 1, self.steps)];
        // The device computes in f32.
        if sizes.iter().any(|eta| !((*eta as f32).is_finite() && *eta as f32 > 0.0)) {
            return fail(
                "step sizes",
                format!("go from {} to {}; they must be positive", sizes[0], sizes[1]),
            );
        }
        match &self.bounds {
            Some(bounds) if bounds.low().len() != dims => {
                fail("the box", format!("has {} dimensions, the energy {dims}", bounds.low().len()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_end_where_they_should() {
        let geometric = StepSizes::Geometric { first: 1e-2, last: 1e-4 };
        assert!((geometric.at(0, 5) - 1e-2).abs() < 1e-12);
        assert!((geometric.at(2, 5) - 1e-3).abs() < 1e-12);
        assert!((geometric.at(4, 5) - 1e-4).abs() < 1e-12);
        let polynomial = StepSizes::Polynomial { first: 1.0, last: 0.5, power: 2.0 };
        assert!((polynomial.at(2, 5) - 0.625).abs() < 1e-12);
        assert!((StepSizes::Constant { eta: 0.1 }.at(0, 1) - 0.1).abs() < 1e-12);
    }
}
