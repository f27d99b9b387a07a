//! Gradients of the device against central differences, in the middle of a graph.
//!
//! The scalar is `L(x) = sum_i c_i f_i(x) + sum_j t_j x_j^2 / 2` with `c_i` and `t_j` of both signs
//! and none of them 1 (see [`super::coefficients`]). A backward pass that drops the incoming
//! gradient `c`, or that overwrites what other uses of `x` contribute, gives another gradient,
//! although it would pass at the end of a graph, where `c = 1`.

use super::adapter::Adapter;
use super::case::{Case, Results};
use super::compare::{Bound, Tolerance, compare};
use super::data::{coefficients, pack, wide};
use super::failure::Failure;
use crate::Result;
use crate::gpu::{Bindings, DType, KernelSource, Plan, Shape, Tensor, Value};

/// What a gradient check varies, and how strictly it judges.
///
/// Choose `x` away from kinks (such as zero for `relu`): a difference quotient across one is no
/// derivative.
#[derive(Clone, Debug)]
pub struct GradientCheck {
    /// Stands in front of failures.
    pub label: String,
    /// The point, without padding.
    pub x: Vec<f32>,
    /// Its shape, plain or packed.
    pub shape: Shape,
    /// Shape of `f(x)` and of the incoming gradient, plain or packed.
    pub outputs: Shape,
    /// Rounding error of the kernels in units of the bound of a sum ([`Bound::sum`]); 1 for plain
    /// sums of products, more for functions less exact.
    pub rounding: f64,
}

/// Most elements of `x` that [`check_gradient_on_device`] probes; more are sampled evenly.
const PROBES: usize = 64;

/// Spacing of f32 at 1.
const EPSILON: f64 = f32::EPSILON as f64;

/// Elements of a shape without padding.
fn count(shape: &Shape) -> usize {
    shape.rows() * shape.width()
}

/// Values in memory order.
fn lay_out(values: &[f32], shape: &Shape) -> Vec<f32> {
    match shape.is_padded() {
        true => pack(values, shape.rows(), shape.width()),
        false => values.to_vec(),
    }
}

impl GradientCheck {
    fn place(&self, adapter: &Adapter) -> String {
        format!("{}: gradient of {}", adapter.name, self.label)
    }

    fn ready(&self) -> Result<(), Failure> {
        let problem = match (self.x.len(), count(&self.shape), count(&self.outputs)) {
            (0, ..) | (_, _, 0) => "nothing to check: no input or no output".into(),
            (given, wanted, _) if given != wanted => {
                format!("x has {given} values, {} has {wanted}", self.shape)
            }
            _ if !(self.rounding.is_finite() && self.rounding > 0.0) => "rounding must be above 0".into(),
            _ => return Ok(()),
        };
        Err(Failure::new("", problem))
    }

    fn seed(&self) -> Vec<f32> {
        coefficients(0x5eed, count(&self.outputs))
    }

    fn term(&self) -> Vec<f32> {
        coefficients(0x7e53, self.x.len())
    }

    /// dL/dx from the device, the other term included.
    fn on_device(
        &self,
        adapter: &Adapter,
        record: impl FnOnce(&mut Case, Value, Value) -> Result<Value>,
    ) -> Result<Vec<f32>, Failure> {
        let mut case = Case::new(adapter, format!("gradient of {}", self.label));
        let x = case.input("x", self.shape.clone(), &lay_out(&self.x, &self.shape));
        let seed = case.input("seed", self.outputs.clone(), &lay_out(&self.seed(), &self.outputs));
        let gradient = record(&mut case, x, seed)?;
        case.recording.expect_shape("gradient check", gradient, self.shape.clone())?;
        let term = case.input("term", self.shape.clone(), &lay_out(&self.term(), &self.shape));
        let total = case.poisoned("total", DType::F32, self.shape.clone());
        let kernel = KernelSource::new("testing/add_term.wgsl", include_str!("add_term.wgsl"));
        case.recording
            .dispatch(&kernel, "add the other term")
            .bind("gradient", gradient)
            .bind("term", term)
            .bind("x", x)
            .bind("total", total)
            .set("count", self.shape.len() as u32)
            .invocations(self.shape.len())
            .finish()?;
        read_values(&case.try_run()?, "total", &self.shape)
    }
}

fn read_values(results: &Results, name: &str, shape: &Shape) -> Result<Vec<f32>, Failure> {
    if shape.is_padded() { results.read_packed(name) } else { results.read(name) }
}

/// Holds a backward pass to central differences of `f` in f64.
///
/// `record` records on the case the forward pass for `x` and the backward pass for the incoming
/// gradient `seed`, and returns the gradient's value, of `x`'s shape. Costs four evaluations of `f`
/// per element of `x`. The bound of an element is that of a sum of its terms `c_i df_i/dx_j` times
/// [`GradientCheck::rounding`], and the quotient's own error beside it.
///
/// # Errors
/// [`Failure`] with the elements out of bounds, and if `f` is too rough at `x` to say anything.
pub fn check_gradient(
    adapter: &Adapter,
    check: &GradientCheck,
    record: impl FnOnce(&mut Case, Value, Value) -> Result<Value>,
    f: impl Fn(&[f64]) -> Vec<f64>,
) -> Result<(), Failure> {
    let within = |failure: Failure| failure.within(&check.place(adapter));
    check.ready().map_err(within)?;
    let (expected, bound) = quotients(check, f).map_err(within)?;
    let found = check.on_device(adapter, record).map_err(within)?;
    compare(&found, &expected, &bound).map_err(|mismatch| Failure::mismatch(check.place(adapter), mismatch))
}

/// dL/dx by central differences in f64, and the bound that the device has to keep.
fn quotients(check: &GradientCheck, f: impl Fn(&[f64]) -> Vec<f64>) -> Result<(Vec<f64>, Bound), Failure> {
    let (c, t, x) = (wide(&check.seed()), wide(&check.term()), wide(&check.x));
    let value = |at: usize, to: f64| -> Result<Vec<f64>, Failure> {
        let mut moved = x.clone();
        moved[at] = to;
        let values = f(&moved);
        match values.len() == c.len() && values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => {
                let (found, wanted) = (values.len(), c.len());
                let problem = format!("f gives {found} values, {wanted} finite ones are needed");
                Err(Failure::new("", problem))
            }
        }
    };
    let (mut expected, mut magnitudes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for j in 0..x.len() {
        // The cube root of f64's spacing balances truncation and rounding.
        let h = 6e-6 * x[j].abs().max(1.0);
        let (near, far) = (
            (value(j, x[j] + h)?, value(j, x[j] - h)?),
            (value(j, x[j] + 2.0 * h)?, value(j, x[j] - 2.0 * h)?),
        );
        let (mut sum, mut wider, mut magnitude, mut size) = (0.0, 0.0, 0.0, 0.0);
        for (i, c) in c.iter().enumerate() {
            let slope = c * (near.0[i] - near.1[i]) / (2.0 * h);
            sum += slope;
            wider += c * (far.0[i] - far.1[i]) / (4.0 * h);
            magnitude += slope.abs();
            size += (c * near.0[i]).abs();
        }
        let other = t[j] * x[j];
        expected.push(sum + other);
        magnitudes.push(magnitude + other.abs());
        errors.push((wider - sum).abs() + 4.0 * f64::EPSILON * size / h);
    }
    let largest = magnitudes.iter().copied().fold(0.0, f64::max);
    if let Some(j) = errors.iter().position(|&error| error > 1e-3 * largest) {
        let problem =
            format!("f is not smooth at element {j} of x: two step sizes give other slopes; move x");
        return Err(Failure::new("", problem));
    }
    let rounding = Bound::sum(&magnitudes, c.len()).scaled(check.rounding);
    // A bound that is missing becomes NaN, which no comparison passes.
    let bound = |j: usize| rounding.at(j, expected[j]).unwrap_or(f64::NAN) + errors[j];
    let bounds = (0..x.len()).map(bound).collect();
    Ok((expected, Bound::Each(bounds)))
}

/// As [`check_gradient`] where no f64 closure exists: differences of the device's own forward pass.
///
/// `forward` records the forward pass and returns `f(x)`. At most 64 elements of `x` are probed,
/// four runs each. A quotient of f32 results is coarse: with step `h = 2^-7 max(|x_j|, 1)` its
/// rounding error is some `rounding 2^-23 |c f| / h`, so that about three digits can be checked.
/// The bound holds that, the difference between the quotients for `h` and `2 h`, and the gradient's
/// own rounding. A check whose bounds exceed a tenth of the largest slope for most elements fails:
/// it would say nothing.
///
/// # Errors
/// As [`check_gradient`].
pub fn check_gradient_on_device(
    adapter: &Adapter,
    check: &GradientCheck,
    forward: impl FnOnce(&mut Case, Value) -> Result<Value>,
    record: impl FnOnce(&mut Case, Value, Value) -> Result<Value>,
) -> Result<(), Failure> {
    let within = |failure: Failure| failure.within(&check.place(adapter));
    check.ready().map_err(within)?;
    let probe = Probe::new(adapter, check, forward).map_err(within)?;
    let total = check.on_device(adapter, record).map_err(within)?;
    let (term, mut largest) = (check.term(), 0.0f64);
    let (mut found, mut expected, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
    let step = check.x.len().div_ceil(PROBES);
    for j in (0..check.x.len()).step_by(step) {
        let (slope, error) = probe.slope(j).map_err(within)?;
        let other = f64::from(term[j]) * f64::from(check.x[j]);
        largest = largest.max(slope.abs());
        found.push(total[j]);
        expected.push(slope + other);
        bounds.push(error + 4.0 * check.rounding * EPSILON * (slope.abs() + other.abs()));
    }
    let vague = bounds.iter().filter(|&&bound| bound > 0.1 * largest).count();
    if 2 * vague > bounds.len() {
        let problem = format!(
            "says nothing: {vague} of {} quotients are less exact than a tenth of the largest slope {largest:.3e}; \
             use fewer outputs, or an f64 closure",
            bounds.len()
        );
        return Err(within(Failure::new("", problem)));
    }
    compare(&found, &expected, &bounds[..])
        .map_err(|mismatch| Failure::mismatch(check.place(adapter), mismatch))
}

/// A forward pass that is run again and again with one element of `x` moved.
struct Probe<'a> {
    check: &'a GradientCheck,
    adapter: &'a Adapter,
    plan: Plan,
    x: Tensor,
    y: Tensor,
    seed: Vec<f64>,
}

impl<'a> Probe<'a> {
    fn new(
        adapter: &'a Adapter,
        check: &'a GradientCheck,
        forward: impl FnOnce(&mut Case, Value) -> Result<Value>,
    ) -> Result<Self, Failure> {
        let gpu = &adapter.gpu;
        let mut case = Case::new(adapter, format!("forward pass of {}", check.label));
        let x = Tensor::from_slice(gpu, "x", check.shape.clone(), &lay_out(&check.x, &check.shape))?;
        let input = case.bind("x", &x);
        let output = forward(&mut case, input)?;
        case.recording.expect_shape("gradient check", output, check.outputs.clone())?;
        case.output("y", output);
        let (recording, tensors) = case.parts()?;
        let all = tensors.iter().fold(Bindings::new(), |all, (name, tensor)| all.with(name, tensor));
        let plan = recording.compile(gpu, &all)?;
        let y = tensors.into_iter().find(|(name, _)| name == "y").map(|(_, tensor)| tensor);
        let y = y.ok_or_else(|| Failure::new("y", "the output was lost"))?;
        Ok(Self { check, adapter, plan, x, y, seed: wide(&check.seed()) })
    }

    /// `sum_i c_i f_i` with element `j` at `to`, and the spread of its rounding error.
    fn value(&self, j: usize, to: f32) -> Result<(f64, f64), Failure> {
        let (check, gpu) = (self.check, &self.adapter.gpu);
        let mut moved = check.x.clone();
        moved[j] = to;
        self.x.write(gpu, &lay_out(&moved, &check.shape))?;
        self.plan.run(1)?;
        let flat: Vec<f32> = gpu.read(&self.y)?;
        let values = match check.outputs.is_padded() {
            true => super::data::unpack(&flat, check.outputs.rows(), check.outputs.width())?,
            false => flat,
        };
        let terms = || self.seed.iter().zip(&values).map(|(c, value)| c * f64::from(*value));
        let squares: f64 = terms().map(|term| term * term).sum();
        Ok((terms().sum(), check.rounding * EPSILON * squares.sqrt()))
    }

    /// dL/dx_j without the other term, and how wrong it may be.
    fn slope(&self, j: usize) -> Result<(f64, f64), Failure> {
        let x = self.check.x[j];
        let h = x.abs().max(1.0) / 128.0;
        let quotient = |h: f32| -> Result<(f64, f64), Failure> {
            let (right, left) = (x + h, x - h);
            let (above, below) = (self.value(j, right)?, self.value(j, left)?);
            // The points as f32 holds them.
            let width = f64::from(right) - f64::from(left);
            // Outputs round independently of each other: four standard deviations of their sum.
            Ok(((above.0 - below.0) / width, 4.0 * (above.1 + below.1) / width))
        };
        let ((near, near_error), (far, far_error)) = (quotient(h)?, quotient(2.0 * h)?);
        // The error of a central difference grows with the square of the step.
        let slope = (4.0 * near - far) / 3.0;
        Ok((slope, (far - near).abs() / 3.0 + (4.0 * near_error + far_error) / 3.0))
    }
}

#[cfg(test)]
mod tests;
