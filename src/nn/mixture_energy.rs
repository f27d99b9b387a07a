//! Mixtures of Gaussians as energies (`shaders/nn/mixture_energy.wgsl`).

use super::Energy;
use super::energy_rows::{CAPACITIES, EnergyRows, MOST_IN_REGISTERS, Mode, Outputs, capacity};
use crate::gpu::{Bindings, KernelSource, KernelVariant, Recording, Value, embedded_kernel};
use crate::{Error, Result};

/// The operation named in errors.
const UNIT: &str = "mixture energy";

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/mixture_energy.wgsl");

/// Most components times dimensions: each costs an invocation two loop rounds.
const MOST_ENTRIES: usize = 16384;
/// Half the logarithm of a full turn, which normalises a normal density.
pub(crate) const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;

/// `E(y) = -log sum_c w_c N(y; mean_c, std_c^2)`, normalised: `E = -log p` exactly, in nats with respect to data units.
///
/// Components are diagonal Gaussians; at most 128 dimensions and 16384 components times dimensions. The context is
/// ignored. Numbers are given in f64 and computed with in f32 on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureEnergy {
    dims: usize,
    /// `[components]`, sums to 1.
    weights: Vec<f64>,
    /// `[components, dims]`.
    means: Vec<f64>,
    /// `[components, dims]`.
    stds: Vec<f64>,
}

impl MixtureEnergy {
    /// With a standard deviation per component and dimension.
    ///
    /// * `weights`: one per component, positive, divided by their sum; `means`, `stds`: `[components, dims]`, data units.
    ///
    /// # Errors
    /// [`Error::Argument`] if lengths disagree, beyond the bounds above, or for numbers that are not finite, or not
    /// positive, in f32.
    pub fn diagonal(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        let components = weights.len();
        if components == 0 || means.is_empty() || !means.len().is_multiple_of(components) {
            let problem = format!("has {} numbers, not rows for {components} components", means.len());
            return Err(fault("the means", problem));
        }
        if stds.len() != means.len() {
            let problem = format!("has {} numbers, the means have {}", stds.len(), means.len());
            return Err(fault("the standard deviations", problem));
        }
        let dims = means.len() / components;
        if dims > MOST_IN_REGISTERS || means.len() > MOST_ENTRIES {
            let problem = format!(
                "are {components} and {dims}; allowed are {MOST_IN_REGISTERS} dimensions and {MOST_ENTRIES} for their product"
            );
            return Err(fault("components and dimensions", problem));
        }
        let positive = |v: f64| v as f32 > 0.0 && (v as f32).is_finite();
        let invertible = |v: f64| v as f32 > 0.0 && ((1.0 / v) as f32).is_finite() && (1.0 / v) as f32 > 0.0;
        Error::check_each(UNIT, "the weights", weights, positive, "must be positive")?;
        Error::check_each(UNIT, "the means", means, |v| (v as f32).is_finite(), "must be finite")?;
        Error::check_each(
            UNIT,
            "the standard deviations",
            stds,
            invertible,
            "must be positive, as must 1 / it, in f32",
        )?;
        let total: f64 = weights.iter().sum();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { dims, weights, means: means.to_vec(), stds: stds.to_vec() })
    }

    /// With one standard deviation per component, the same in every dimension.
    ///
    /// # Errors
    /// As [`MixtureEnergy::diagonal`].
    pub fn isotropic(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        if stds.len() != weights.len() {
            let problem = format!("has {} numbers for {} components", stds.len(), weights.len());
            return Err(fault("the standard deviations", problem));
        }
        let dims = means.len() / weights.len().max(1);
        let repeated: Vec<f64> = stds.iter().flat_map(|&std| std::iter::repeat_n(std, dims)).collect();
        Self::diagonal(weights, means, &repeated)
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// `log p(y)` in f64, on the host.
    ///
    /// # Errors
    /// [`Error::Argument`] if `y` has other dimensions.
    pub fn log_density(&self, y: &[f64]) -> Result<f64> {
        if y.len() != self.dims {
            return Err(fault("the point", format!("has {} numbers, not {}", y.len(), self.dims)));
        }
        let joint: Vec<f64> = (0..self.components())
            .map(|c| {
                let entries = c * self.dims..(c + 1) * self.dims;
                let squares =
                    y.iter().zip(entries).map(|(y, at)| ((y - self.means[at]) / self.stds[at]).powi(2));
                self.coefficient(c) - 0.5 * squares.sum::<f64>()
            })
            .collect();
        let largest = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(largest + joint.iter().map(|l| (l - largest).exp()).sum::<f64>().ln())
    }

    /// `ln w_c - sum_j ln std_cj - dims ln(2 pi) / 2`
    fn coefficient(&self, component: usize) -> f64 {
        let stds = &self.stds[component * self.dims..][..self.dims];
        let logarithms: f64 = stds.iter().map(|std| std.ln()).sum();
        self.weights[component].ln() - logarithms - self.dims as f64 * HALF_LOG_TAU
    }

    /// What the kernel binds as `table`.
    fn table(&self) -> Vec<f32> {
        let mut table = Vec::with_capacity(self.components() * (1 + 2 * self.dims));
        for c in 0..self.components() {
            table.push(self.coefficient(c) as f32);
            for at in c * self.dims..(c + 1) * self.dims {
                table.extend([self.means[at] as f32, (1.0 / self.stds[at]) as f32]);
            }
        }
        table
    }

    fn record(&self, recording: &mut Recording, mode: Mode, y: Value) -> Result<Outputs> {
        let (dims, components) = (self.dims, self.components());
        let rows = EnergyRows::new(recording, "mixture energy", (None, 0), (y, dims))?;
        let table = recording.constant("mixture", [components, 1 + 2 * dims], &self.table())?;
        let outputs = rows.outputs(recording, mode);
        recording
            .dispatch(&KERNEL, "mixture energy")
            .defines(&defines(mode, dims))
            .bind("table", table)
            .bind("y", y)
            .bind("energy", outputs.energy)
            .bind("gradient", outputs.gradient)
            .set("rows", rows.rows as u32)
            .set("dims", dims as u32)
            .set("components", components as u32)
            .invocations(rows.rows)
            .flops((if mode.has_gradient() { 10 } else { 4 } * rows.rows * components * dims) as u64)
            .finish()?;
        Ok(outputs)
    }
}

impl Energy for MixtureEnergy {
    fn dims(&self) -> usize {
        self.dims
    }

    fn record_value(&self, recording: &mut Recording, _: Option<Value>, y: Value) -> Result<Value> {
        Ok(self.record(recording, Mode::Value, y)?.energy)
    }

    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, y: Value) -> Result<Value> {
        Ok(self.record(recording, Mode::Gradient, y)?.gradient)
    }

    fn record_value_and_gradient(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        y: Value,
    ) -> Result<(Value, Value)> {
        let outputs = self.record(recording, Mode::Both, y)?;
        Ok((outputs.energy, outputs.gradient))
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// The energy alone keeps no sums per dimension.
fn defines(mode: Mode, dims: usize) -> [(&'static str, u32); 2] {
    [("MODE", mode.code()), ("CAPACITY", if mode.has_gradient() { capacity(dims) } else { 1 })]
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> Vec<KernelVariant> {
    let with_gradient =
        [Mode::Gradient, Mode::Both].into_iter().flat_map(|m| CAPACITIES.map(|c| (m, c as usize)));
    let all = with_gradient.chain([(Mode::Value, 1)]);
    all.map(|(mode, dims)| KernelVariant::new(&KERNEL, &defines(mode, dims))).collect()
}

fn fault(what: &str, problem: String) -> Error {
    Error::argument(UNIT, what, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_integrates_to_one() {
        let mixture = MixtureEnergy::isotropic(&[1.0, 3.0], &[-1.0, 2.0], &[0.5, 1.5]).unwrap();
        let width = 0.01;
        let cells =
            (-1500..1500).map(|i| mixture.log_density(&[width * (f64::from(i) + 0.5)]).unwrap().exp());
        let mass = cells.sum::<f64>() * width;
        assert!((mass - 1.0).abs() < 1e-9, "{mass}");
        // The weights are 1/4 and 3/4; far out only the wide component counts.
        let far = (0.75f64 / 1.5).ln() - HALF_LOG_TAU - 0.5 * (100f64 / 1.5).powi(2);
        assert!((mixture.log_density(&[102.0]).unwrap() - far).abs() < 1e-9);
    }
}
