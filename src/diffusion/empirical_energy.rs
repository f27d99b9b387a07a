//! The exact energy and score of a finite data set (`shaders/diffusion/empirical_energy.wgsl`).

use super::{IntermediateEnergy, NoiseLevel, Score};
use crate::error::counted;
use crate::gpu::{Bindings, DType, KernelSource, KernelVariant, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/empirical_energy.wgsl");

/// Most points: an invocation takes one loop round for each, and every device allows 65535.
const MAX_POINTS: usize = 60_000;
/// Most dimensions.
const MAX_DIMS: usize = 16;
/// Largest `|beta E|`: differences stay far from the ends of f32.
const MAX_ENERGY: f64 = 1e30;

/// What a dispatch writes, by the code of the define `MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Value = 1,
    Gradient = 2,
    Noise = 3,
}

/// Points as the kernel reads them.
#[derive(Clone, Debug, PartialEq)]
struct Points {
    dims: usize,
    count: usize,
    /// `[count, dims]`, rows padded with zeros to whole blocks of 4.
    packed: Vec<f32>,
}

/// The exact intermediate energy of a finite data set with an energy per point,
/// `E_t(x) = -log sum_i r_i exp(-beta E_i)`, `r_i ∝ exp(-|x - alpha_t x_i|^2 / (2 sigma_t^2))`:
/// what a guidance network learns from these points in the limit.
///
/// At most 60000 points of at most 16 dimensions. The context is ignored. Values and gradients are
/// one dispatch each.
#[derive(Clone, Debug, PartialEq)]
pub struct EmpiricalEnergy {
    points: Points,
    /// `beta E_i`.
    energies: Vec<f32>,
}

/// The exact score of a finite data set, `q_t(x) = mean_i N(x; alpha_t x_i, sigma_t^2)`: what a
/// score network learns from these points in the limit, every sample of which is one of them.
///
/// Limits as for [`EmpiricalEnergy`]. It offers no derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct EmpiricalScore {
    points: Points,
}

impl Points {
    fn new(operation: &str, dims: usize, points: &[f64]) -> Result<Self> {
        let refuse = |what: &str, problem: String| Err(Error::argument(operation, what, problem));
        if dims == 0 || dims > MAX_DIMS {
            return refuse("the dimensions", format!("are {dims}, allowed are 1 to {MAX_DIMS}"));
        }
        let count = points.len() / dims;
        if count == 0 || !points.len().is_multiple_of(dims) || count > MAX_POINTS {
            let problem = format!(
                "are {} in rows of {dims}; allowed are 1 to {MAX_POINTS} rows",
                counted(points.len(), "number")
            );
            return refuse("the points", problem);
        }
        if let Some(at) = points.iter().position(|&v| !(v as f32).is_finite()) {
            return refuse("the points", format!("have {} at {at}; they must be finite in f32", points[at]));
        }
        let padding = dims.next_multiple_of(4) - dims;
        let rows = points.chunks_exact(dims);
        let packed =
            rows.flat_map(|row| row.iter().map(|&v| v as f32).chain(std::iter::repeat_n(0.0, padding)));
        Ok(Self { dims, count, packed: packed.collect() })
    }

    fn record(
        &self,
        recording: &mut Recording,
        mode: Mode,
        energies: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let label = match mode {
            Mode::Value => "finite energy",
            Mode::Gradient => "finite energy gradient",
            Mode::Noise => "finite score",
        };
        let (dims, blocks) = (self.dims, self.dims.div_ceil(4));
        let shape = recording.shape(x)?.clone();
        if shape.width() != dims || shape.is_empty() {
            let hint = "give at least one point of the data's dimensions";
            return Err(Error::shape(label, "x", shape, format!("[contexts, samples, {dims}]"), hint));
        }
        let (rows, sigma) = (shape.rows(), level.sigma());
        let half_precision = (0.5 / (sigma * sigma)) as f32;
        // Squared distances of 1e18 still fit.
        let bounded = half_precision < 1e18;
        if !bounded {
            let problem = format!(
                "is {}: a finite data set has a density only with noise, sigma above 1e-9",
                level.time
            );
            return Err(Error::argument(label, "the time", problem));
        }
        let points = recording.constant("data points", Shape::packed(self.count, dims), &self.packed)?;
        let out = match mode {
            Mode::Value => recording.scratch(label, DType::F32, [rows, 1]),
            Mode::Gradient | Mode::Noise => recording.scratch(label, DType::F32, Shape::packed(rows, dims)),
        };
        let scale = if mode == Mode::Noise { 1.0 / sigma } else { 1.0 / (sigma * sigma) };
        recording
            .dispatch(&KERNEL, label)
            .defines(&defines(mode, blocks as u32))
            .bind("points", points)
            .bind("energies", energies.unwrap_or(points))
            .bind("x", x)
            .bind("out", out)
            .set("rows", rows as u32)
            .set("dims", dims as u32)
            .set("count", self.count as u32)
            .set("x_stride", shape.stride() as u32)
            .set("alpha", level.alpha() as f32)
            .set("half_precision", half_precision)
            .set("scale", scale as f32)
            .invocations(rows)
            .flops((rows * self.count * (4 + 2 * mode as usize) * dims) as u64)
            .finish()?;
        Ok(out)
    }
}

impl EmpiricalEnergy {
    /// Takes points with their energies.
    ///
    /// * `points`: `[points, dims]`, data units; `energies`: one per point, low where samples are
    ///   wanted; `beta`: the inverse temperature.
    ///
    /// # Errors
    /// [`Error::Argument`] if lengths disagree, beyond the bounds above, and for numbers that are
    /// not finite in f32 or a `beta E` beyond 1e30.
    pub fn new(dims: usize, points: &[f64], energies: &[f64], beta: f64) -> Result<Self> {
        let points = Points::new("finite energy", dims, points)?;
        if energies.len() != points.count {
            let problem = format!("are {} for {}", energies.len(), counted(points.count, "point"));
            return Err(Error::argument("finite energy", "the energies", problem));
        }
        if !(beta.is_finite() && beta >= 0.0) {
            let problem = format!("is {beta}; it must be finite and not negative");
            return Err(Error::argument("finite energy", "beta", problem));
        }
        let fits = |energy: f64| (beta * energy).abs() < MAX_ENERGY;
        if let Some(at) = energies.iter().position(|&e| !fits(e)) {
            let problem = format!(
                "are {} at {at} with beta = {beta}; beta E must be below {MAX_ENERGY:e} in size",
                energies[at]
            );
            return Err(Error::argument("finite energy", "the energies", problem));
        }
        Ok(Self { points, energies: energies.iter().map(|e| (beta * e) as f32).collect() })
    }

    fn record(&self, recording: &mut Recording, mode: Mode, x: Value, level: &NoiseLevel) -> Result<Value> {
        let energies = recording.constant("data energies", [self.points.count, 1], &self.energies)?;
        self.points.record(recording, mode, Some(energies), x, level)
    }
}

impl IntermediateEnergy for EmpiricalEnergy {
    fn dims(&self) -> usize {
        self.points.dims
    }

    fn record_gradient(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        self.record(recording, Mode::Gradient, x, level)
    }

    fn record_value(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        self.record(recording, Mode::Value, x, level)
    }

    fn has_walls(&self) -> bool {
        false
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

impl EmpiricalScore {
    /// Takes points, `[points, dims]` in data units.
    ///
    /// # Errors
    /// [`Error::Argument`] beyond the bounds of [`EmpiricalEnergy`] and for numbers that are not
    /// finite in f32.
    pub fn new(dims: usize, points: &[f64]) -> Result<Self> {
        Ok(Self { points: Points::new("finite score", dims, points)? })
    }
}

impl Score for EmpiricalScore {
    fn dims(&self) -> usize {
        self.points.dims
    }

    fn record_noise(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        self.points.record(recording, Mode::Noise, None, x, level)
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

fn defines(mode: Mode, blocks: u32) -> [(&'static str, u32); 2] {
    [("MODE", mode as u32), ("BLOCKS", blocks)]
}

/// The kernel in every variant that can be recorded.
pub(super) fn variants() -> Vec<KernelVariant> {
    let modes = [Mode::Value, Mode::Gradient, Mode::Noise];
    let all =
        modes.into_iter().flat_map(|mode| (1..=MAX_DIMS as u32 / 4).map(move |blocks| defines(mode, blocks)));
    all.map(|defines| KernelVariant::new(&KERNEL, &defines)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::NoiseSchedule;

    #[test]
    fn data_without_sense_are_refused() {
        let many = vec![0.0; MAX_POINTS + 1];
        for (result, words) in [
            (EmpiricalEnergy::new(0, &[1.0], &[1.0], 1.0), "the dimensions are 0"),
            (EmpiricalEnergy::new(17, &[1.0; 17], &[1.0], 1.0), "the dimensions are 17"),
            (EmpiricalEnergy::new(2, &[1.0; 3], &[1.0], 1.0), "in rows of 2"),
            (EmpiricalEnergy::new(2, &[], &[], 1.0), "in rows of 2"),
            (EmpiricalEnergy::new(1, &many, &many, 1.0), "allowed are 1 to 60000 rows"),
            (EmpiricalEnergy::new(1, &[f64::INFINITY], &[1.0], 1.0), "must be finite"),
            (EmpiricalEnergy::new(1, &[1.0], &[1.0, 2.0], 1.0), "are 2 for 1 point"),
            (EmpiricalEnergy::new(1, &[1.0], &[f64::NAN], 1.0), "are NaN at 0"),
            (EmpiricalEnergy::new(1, &[1.0], &[1.0], 1e31), "with beta = 1"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn without_noise_there_is_no_density() {
        let mut recording = Recording::new("test");
        let x = recording.slot("x", DType::F32, [1, 3, 2]).unwrap();
        let score = EmpiricalScore::new(2, &[1.0, 2.0]).unwrap();
        let level = NoiseSchedule::default().at(0.0);
        let error = score.record_noise(&mut recording, None, x, &level).unwrap_err().to_string();
        assert!(error.contains("only with noise"), "{error}");
    }
}
