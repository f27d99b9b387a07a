//! Quadratic energies: Gaussians, known exactly (`shaders/energy/quadratic_energy.wgsl`).

use super::Energy;
use super::energy_rows::{EnergyRows, MAX_IN_REGISTERS, capacity};
use crate::error::counted;
use crate::gpu::{Bindings, KernelSource, KernelVariant, Recording, Value, embedded_kernel};
use crate::nn::{Mode, Outputs, energy_by_mode};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("energy/quadratic_energy.wgsl");

/// Most loop rounds of an invocation spent on `dims * (context width + 1)`.
const MAX_ROUNDS: usize = 32768;

/// `E(x, y) = (y - m)' A (y - m) / 2` with `m = m0 + M x`: the Gaussian of mean `m` and covariance
/// `A^-1`, in data units.
///
/// `A` is symmetric and positive definite. Numbers are given in f64 and computed with in f32 on the
/// device.
#[derive(Clone, Debug, PartialEq)]
pub struct QuadraticEnergy {
    mean: Vec<f64>,
    /// Row-major `[dims, dims]`, or its diagonal.
    inverse_covariance: Vec<f64>,
    /// `[dims, width]`; empty for an unconditional energy.
    slope: Vec<f64>,
    log_determinant: f64,
}

impl QuadraticEnergy {
    /// With a full matrix `A`, row-major `[dims, dims]`, in 1 / squared data units; at most 128
    /// dimensions.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `A` is symmetric (to 1e-10 of its diagonal) and positive
    /// definite, also when rounded to f32, and everything is finite.
    pub fn full(mean: &[f64], inverse_covariance: &[f64]) -> Result<Self> {
        let dims = mean.len();
        if dims > MAX_IN_REGISTERS {
            let problem = format!("are {dims}; a full matrix takes at most {MAX_IN_REGISTERS}");
            return Err(fault("the dimensions", problem));
        }
        if inverse_covariance.len() != dims * dims {
            let problem =
                format!("has {}, not {dims} x {dims}", counted(inverse_covariance.len(), "element"));
            return Err(fault("the matrix", problem));
        }
        let mut symmetric = inverse_covariance.to_vec();
        for i in 0..dims {
            for j in 0..i {
                let (above, below) = (symmetric[j * dims + i], symmetric[i * dims + j]);
                let scale = (symmetric[i * dims + i] * symmetric[j * dims + j]).abs().sqrt();
                if (above - below).abs() > 1e-10 * scale {
                    let problem =
                        format!("is not symmetric: {below} in row {i}, column {j}, but {above} across");
                    return Err(fault("the matrix", problem));
                }
                symmetric[j * dims + i] = below;
            }
        }
        let rounded: Vec<f64> = symmetric.iter().map(|&v| f64::from(v as f32)).collect();
        match (log_determinant(dims, &symmetric), log_determinant(dims, &rounded)) {
            (Some(log_determinant), Some(_)) => Self::checked(mean, symmetric, log_determinant),
            _ => Err(fault("the matrix", "is not positive definite in f32".into())),
        }
    }

    /// With a diagonal matrix, one entry per dimension, in 1 / squared data units.
    ///
    /// # Errors
    /// [`Error::Argument`] unless all entries are positive and everything is finite.
    pub fn diagonal(mean: &[f64], inverse_variances: &[f64]) -> Result<Self> {
        if inverse_variances.len() != mean.len() {
            let problem = format!("has {}, not {}", counted(inverse_variances.len(), "number"), mean.len());
            return Err(fault("the diagonal", problem));
        }
        let positive = |a: f64| a as f32 > 0.0;
        if let Some(at) = inverse_variances.iter().position(|&a| !positive(a)) {
            let problem = format!("has {} at {at}; entries must be positive in f32", inverse_variances[at]);
            return Err(fault("the diagonal", problem));
        }
        let log_determinant = inverse_variances.iter().map(|a| a.ln()).sum();
        Self::checked(mean, inverse_variances.to_vec(), log_determinant)
    }

    /// With the same entry for every dimension: `E = a |y - m|^2 / 2`, `a` in 1 / squared data
    /// units.
    ///
    /// # Errors
    /// As [`QuadraticEnergy::diagonal`].
    pub fn isotropic(mean: &[f64], inverse_variance: f64) -> Result<Self> {
        Self::diagonal(mean, &vec![inverse_variance; mean.len()])
    }

    fn checked(mean: &[f64], inverse_covariance: Vec<f64>, log_determinant: f64) -> Result<Self> {
        finite("the mean", mean)?;
        finite("the matrix", &inverse_covariance)?;
        let energy = Self { mean: mean.to_vec(), inverse_covariance, slope: Vec::new(), log_determinant };
        energy.check_rounds()?;
        Ok(energy)
    }

    /// The same with a mean that follows the context: `m = m0 + M x`, `slope` being `M`, row-major
    /// `[dims, width]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `slope` does not hold whole rows of finite numbers.
    pub fn following(mut self, slope: &[f64]) -> Result<Self> {
        let dims = self.mean.len();
        if slope.is_empty() || !slope.len().is_multiple_of(dims) {
            let problem =
                format!("has {}, not {dims} rows of the context's width", counted(slope.len(), "number"));
            return Err(fault("the slope of the mean", problem));
        }
        finite("the slope of the mean", slope)?;
        self.slope = slope.to_vec();
        self.check_rounds()?;
        Ok(self)
    }

    fn check_rounds(&self) -> Result<()> {
        let rounds = self.mean.len().saturating_mul(self.width() + 1);
        if (1..=MAX_ROUNDS).contains(&rounds) {
            return Ok(());
        }
        let problem = format!("is {rounds}, allowed are 1 to {MAX_ROUNDS}");
        Err(fault("dimensions times (context width + 1)", problem))
    }

    /// Width of the context, 0 for an unconditional energy.
    pub fn width(&self) -> usize {
        self.slope.len() / self.mean.len().max(1)
    }

    /// The mean in the context `x`, in data units.
    ///
    /// # Errors
    /// [`Error::Argument`] if `x` has another width.
    pub fn mean(&self, x: &[f64]) -> Result<Vec<f64>> {
        let width = self.width();
        if x.len() != width {
            return Err(fault("the context", format!("has {}, not {width}", counted(x.len(), "number"))));
        }
        let shift = |j: usize| x.iter().zip(&self.slope[j * width..]).map(|(x, m)| x * m).sum::<f64>();
        Ok(self.mean.iter().enumerate().map(|(j, mean)| mean + shift(j)).collect())
    }

    /// `ln of the integral of exp(-E) = dims ln(2 pi) / 2 - ln det A /
    /// 2`, the same in every context.
    pub fn log_partition(&self) -> f64 {
        0.5 * (self.mean.len() as f64 * std::f64::consts::TAU.ln() - self.log_determinant)
    }

    fn is_full(&self) -> bool {
        // With one dimension the matrix is its diagonal.
        self.inverse_covariance.len() > self.mean.len()
    }

    fn record(
        &self,
        recording: &mut Recording,
        mode: Mode,
        context: Option<Value>,
        y: Value,
    ) -> Result<Outputs> {
        let (dims, width) = (self.mean.len(), self.width());
        let rows = EnergyRows::new(recording, "quadratic energy", (context, width), (y, dims))?;
        let f32s = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let mean = recording.constant("mean", [dims], &f32s(&self.mean))?;
        let slope = match width {
            0 => mean,
            _ => recording.constant("slope", [dims, width], &f32s(&self.slope))?,
        };
        let entries = self.inverse_covariance.len();
        let matrix = recording.constant("inverse covariance", [entries], &f32s(&self.inverse_covariance))?;
        let outputs = rows.outputs(recording, mode);
        let full = self.is_full();
        recording
            .dispatch(&KERNEL, "quadratic energy")
            .defines(&defines(mode, full.then_some(dims)))
            .bind("mean", mean)
            .bind("slope", slope)
            .bind("inverse_covariance", matrix)
            .bind("context", rows.context.unwrap_or(mean))
            .bind("y", rows.y)
            .bind("energy", outputs.value)
            .bind("gradient", outputs.gradient)
            .set("rows", rows.rows as u32)
            .set("chains", rows.chains as u32)
            .set("dims", dims as u32)
            .set("width", width as u32)
            .invocations(rows.rows)
            .flops(2 * (rows.rows * (entries + dims * (width + 2))) as u64)
            .finish()?;
        Ok(outputs)
    }
}

impl Energy for QuadraticEnergy {
    fn dims(&self) -> usize {
        self.mean.len()
    }

    energy_by_mode!();

    fn has_walls(&self) -> bool {
        false
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// The defines for a full matrix of so many dimensions, or a diagonal.
fn defines(mode: Mode, full: Option<usize>) -> [(&'static str, u32); 3] {
    [("MODE", mode.code()), ("FULL", u32::from(full.is_some())), ("CAPACITY", full.map_or(1, capacity))]
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> Vec<KernelVariant> {
    let sizes = super::energy_rows::CAPACITIES.map(|capacity| Some(capacity as usize));
    let all =
        Mode::ALL.into_iter().flat_map(|mode| sizes.into_iter().chain([None]).map(move |size| (mode, size)));
    all.map(|(mode, size)| KernelVariant::new(&KERNEL, &defines(mode, size))).collect()
}

/// `ln det` by the Cholesky factor, none if the matrix is not positive definite.
fn log_determinant(dims: usize, matrix: &[f64]) -> Option<f64> {
    let mut factor = matrix.to_vec();
    let mut sum = 0.0;
    for i in 0..dims {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i * dims + k] * factor[j * dims + k]).sum();
            let rest = factor[i * dims + j] - known;
            if i != j {
                factor[i * dims + j] = rest / factor[j * dims + j];
            } else if rest > 0.0 && rest.is_finite() {
                factor[i * dims + i] = rest.sqrt();
                sum += rest.ln();
            } else {
                return None;
            }
        }
    }
    Some(sum)
}

fn finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|&v| !(v as f32).is_finite()) {
        Some(at) => Err(fault(what, format!("has {} at {at}, which is not a finite f32", values[at]))),
        None => Ok(()),
    }
}

fn fault(what: &str, problem: String) -> Error {
    Error::argument("quadratic energy", what, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_partition_is_that_of_the_gaussian() {
        let half_log_tau = crate::math::HALF_LOG_TAU;
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        near(QuadraticEnergy::isotropic(&[1.0], 1.0).unwrap().log_partition(), half_log_tau);
        // det [[2, 1], [1, 3]] = 5
        let full = QuadraticEnergy::full(&[0.0, 7.0], &[2.0, 1.0, 1.0, 3.0]).unwrap();
        near(full.log_partition(), 2.0 * half_log_tau - 0.5 * 5f64.ln());
        let diagonal = QuadraticEnergy::diagonal(&[0.0, 7.0], &[2.0, 2.5]).unwrap();
        near(diagonal.log_partition(), full.log_partition());
        let followed = full.following(&[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]).unwrap();
        assert_eq!(followed.width(), 3);
        assert_eq!(followed.mean(&[1.0, 10.0, 2.0]).unwrap(), [27.0, 11.0]);
    }
}
