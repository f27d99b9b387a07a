//! Mixtures of Gaussians as energies (`shaders/energy/mixture_energy.wgsl`).

use super::Energy;
use super::energy_rows::{CAPACITIES, EnergyRows, MAX_IN_REGISTERS, capacity};
use crate::gpu::{Bindings, KernelSource, KernelVariant, Recording, Value, embedded_kernel};
use crate::math::{GaussianMixture, Spread};
use crate::nn::{Mode, Outputs, energy_by_mode};
use crate::{Error, Result};

/// The operation named in errors.
const UNIT: &str = "mixture energy";

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("energy/mixture_energy.wgsl");

/// Most components times dimensions: each costs an invocation two loop rounds.
const MAX_ENTRIES: usize = 16384;

/// `E(y) = -log sum_c w_c N(y; mean_c, std_c^2)`, normalized: `E = -log p` exactly, in nats with
/// respect to data units.
///
/// Components are diagonal Gaussians; at most 128 dimensions and 16384 components times dimensions.
/// The context is ignored. Numbers are given in f64 and computed with in f32 on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureEnergy {
    mixture: GaussianMixture,
    /// `[components, dims]`.
    stds: Vec<f64>,
}

impl MixtureEnergy {
    /// Takes a mixture with standard deviations as an energy.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for covariance matrices; [`Error::Argument`] beyond the bounds above,
    /// or for means that are not finite in f32 or deviations whose inverse is not positive and
    /// finite in f32.
    pub fn new(mixture: GaussianMixture) -> Result<Self> {
        let Spread::Stds(stds) = mixture.spread().clone() else {
            return Err(Error::Unsupported {
                operation: UNIT.into(),
                reason: "the components have covariance matrices".into(),
                hint: "give standard deviations (`GaussianMixture::diagonal`)".into(),
            });
        };
        let (dims, components) = (mixture.dims(), mixture.components());
        if dims > MAX_IN_REGISTERS || stds.len() > MAX_ENTRIES {
            let problem = format!(
                "are {components} and {dims}; allowed are {MAX_IN_REGISTERS} dimensions and {MAX_ENTRIES} for their product"
            );
            return Err(Error::argument(UNIT, "components and dimensions", problem));
        }
        let finite = |v: f64| (v as f32).is_finite();
        let invertible = |v: f64| v as f32 > 0.0 && finite(v) && finite(1.0 / v) && (1.0 / v) as f32 > 0.0;
        let words = "must be positive, as must 1 / it, in f32";
        Error::check_each(UNIT, "the means", mixture.means(), finite, "must be finite in f32")?;
        Error::check_each(UNIT, "the standard deviations", &stds, invertible, words)?;
        Ok(Self { mixture, stds })
    }

    /// With a standard deviation per component and dimension ([`GaussianMixture::diagonal`]).
    ///
    /// # Errors
    /// As [`GaussianMixture::diagonal`] and [`MixtureEnergy::new`].
    pub fn diagonal(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        Self::new(GaussianMixture::diagonal(weights, means, stds)?)
    }

    /// With one standard deviation per component ([`GaussianMixture::isotropic`]).
    ///
    /// # Errors
    /// As [`MixtureEnergy::diagonal`].
    pub fn isotropic(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        Self::new(GaussianMixture::isotropic(weights, means, stds)?)
    }

    /// The mixture, which draws samples and knows its density on the host.
    pub fn mixture(&self) -> &GaussianMixture {
        &self.mixture
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.mixture.components()
    }

    /// `log p(y)` in f64, on the host ([`GaussianMixture::log_density`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if `y` has other dimensions.
    pub fn log_density(&self, y: &[f64]) -> Result<f64> {
        self.mixture.log_density(y)
    }

    /// What the kernel binds as `table`.
    fn table(&self) -> Vec<f32> {
        let dims = self.mixture.dims();
        let mut table = Vec::with_capacity(self.components() * (1 + 2 * dims));
        for (component, stds) in self.stds.chunks_exact(dims).enumerate() {
            let log_stds = stds.iter().map(|std| std.ln()).sum();
            table.push(self.mixture.log_peak(component, log_stds) as f32);
            for (mean, std) in self.mixture.mean_of(component).iter().zip(stds) {
                table.extend([*mean as f32, (1.0 / std) as f32]);
            }
        }
        table
    }

    fn record(&self, recording: &mut Recording, mode: Mode, _: Option<Value>, y: Value) -> Result<Outputs> {
        let (dims, components) = (self.mixture.dims(), self.components());
        let rows = EnergyRows::new(recording, UNIT, (None, 0), (y, dims))?;
        let table = recording.constant("mixture", [components, 1 + 2 * dims], &self.table())?;
        let outputs = rows.outputs(recording, mode);
        recording
            .dispatch(&KERNEL, "mixture energy")
            .defines(&defines(mode, dims))
            .bind("table", table)
            .bind("y", rows.y)
            .bind("energy", outputs.value)
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
        self.mixture.dims()
    }

    energy_by_mode!();

    fn has_walls(&self) -> bool {
        false
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
