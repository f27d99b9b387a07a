//! Mixtures of Gaussians as scores (`shaders/diffusion/mixture_score.wgsl`).

use super::{Cotangents, NoiseLevel, Score};
use crate::gpu::{Bindings, DType, KernelSource, KernelVariant, Recording, Shape, Value, embedded_kernel};
use crate::math::{GaussianMixture, log_diagonal, log_sum_exp, whitening};
use crate::nn::Mode;
use crate::{Error, Result};

/// The operation named in errors.
const UNIT: &str = "mixture score";

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/mixture_score.wgsl");

/// Most dimensions.
const MAX_DIMS: usize = 16;
/// Loop rounds that an invocation may take on every device.
const MAX_ROUNDS: usize = 65535;

/// The exact score of a mixture of Gaussians:
/// `q_t = sum_k w_k N(alpha_t mean_k, alpha_t^2 covariance_k + sigma_t^2)` for `q_0 = sum_k w_k
/// N(mean_k, covariance_k)`.
///
/// At most 16 dimensions; 1985 components in 4 dimensions, 206 in 16. The context is ignored.
/// Numbers are given, and inverted for each level, in f64 on the host; devices compute with f32.
/// One dispatch for the noise, one more per product with its Jacobian, which is symmetric.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureScore {
    mixture: GaussianMixture,
}

/// One component at a level.
struct Component {
    coefficient: f64,
    /// `[dims]`: `alpha mean`.
    mean: Vec<f64>,
    /// `[dims, dims]`: the inverse of the Cholesky factor of the covariance, lower triangular.
    whitening: Vec<f64>,
}

impl MixtureScore {
    /// Takes a mixture as the density of the data.
    ///
    /// # Errors
    /// [`Error::Argument`] beyond the bounds above, for means and covariances that are not finite
    /// in f32, and for a covariance that is not invertible in f32.
    pub fn new(mixture: GaussianMixture) -> Result<Self> {
        let (dims, components) = (mixture.dims(), mixture.components());
        if dims > MAX_DIMS || components.saturating_mul(rounds(dims)) > MAX_ROUNDS {
            let max = MAX_ROUNDS / rounds(dims.min(MAX_DIMS));
            let problem = format!(
                "are {components} and {dims}; allowed are 1 to {MAX_DIMS} dimensions, and {max} components with these"
            );
            return Err(Error::argument(UNIT, "components and dimensions", problem));
        }
        let finite = |v: f64| (v as f32).is_finite();
        Error::check_each(UNIT, "the means", mixture.means(), finite, "must be finite in f32")?;
        for component in 0..components {
            let covariance = mixture.covariance_of(component);
            Error::check_each(UNIT, "the covariances", &covariance, finite, "must be finite in f32")?;
            if whitening_in_f32(&covariance, dims).is_none() {
                let problem = format!("are not invertible in f32 in component {component}");
                return Err(Error::argument(UNIT, "the covariances", problem));
            }
        }
        Ok(Self { mixture })
    }

    /// With a covariance matrix per component ([`GaussianMixture::full`]).
    ///
    /// # Errors
    /// As [`GaussianMixture::full`] and [`MixtureScore::new`].
    pub fn full(weights: &[f64], means: &[f64], covariances: &[f64]) -> Result<Self> {
        Self::new(GaussianMixture::full(weights, means, covariances)?)
    }

    /// With a standard deviation per component and dimension ([`GaussianMixture::diagonal`]).
    ///
    /// # Errors
    /// As [`GaussianMixture::diagonal`] and [`MixtureScore::new`].
    pub fn diagonal(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        Self::new(GaussianMixture::diagonal(weights, means, stds)?)
    }

    /// With one standard deviation per component ([`GaussianMixture::isotropic`]).
    ///
    /// # Errors
    /// As [`MixtureScore::diagonal`].
    pub fn isotropic(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        Self::new(GaussianMixture::isotropic(weights, means, stds)?)
    }

    /// The density of the data, `q_0`.
    pub fn mixture(&self) -> &GaussianMixture {
        &self.mixture
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.mixture.components()
    }

    /// `log q_t(x)` in nats, in f64 on the host.
    ///
    /// # Errors
    /// [`Error::Argument`] if `x` has other dimensions.
    pub fn log_density(&self, x: &[f64], level: &NoiseLevel) -> Result<f64> {
        self.mixture.check_point(UNIT, x)?;
        let dims = self.mixture.dims();
        let mut terms = Vec::new();
        for component in self.at(level)? {
            let apart: Vec<f64> = x.iter().zip(&component.mean).map(|(x, mean)| x - mean).collect();
            let rows = component.whitening.chunks_exact(dims);
            let squares = rows.map(|row| row.iter().zip(&apart).map(|(w, a)| w * a).sum::<f64>().powi(2));
            terms.push(component.coefficient - 0.5 * squares.sum::<f64>());
        }
        Ok(log_sum_exp(terms.iter().copied()))
    }

    /// The components of `q_t`.
    fn at(&self, level: &NoiseLevel) -> Result<Vec<Component>> {
        let (alpha, sigma, dims) = (level.alpha(), level.sigma(), self.mixture.dims());
        let mut all = Vec::new();
        for index in 0..self.components() {
            let covariance = self.mixture.covariance_of(index);
            let mut matrix: Vec<f64> = covariance.iter().map(|v| alpha * alpha * v).collect();
            for j in 0..dims {
                matrix[j * dims + j] += sigma * sigma;
            }
            let Some(whitening) = whitening_in_f32(&matrix, dims) else {
                let problem =
                    format!("is {}: it leaves a covariance that is not positive definite", level.time);
                return Err(Error::argument(UNIT, "the time", problem));
            };
            let mean = self.mixture.mean_of(index).iter().map(|mean| alpha * mean).collect();
            let coefficient = self.mixture.log_peak(index, -log_diagonal(&whitening, dims));
            all.push(Component { coefficient, mean, whitening });
        }
        Ok(all)
    }

    /// Records the kernel; with a direction, the Jacobian's product.
    fn record(
        &self,
        recording: &mut Recording,
        x: Value,
        direction: Option<Value>,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let dims = self.mixture.dims();
        let blocks = dims.div_ceil(4);
        let shape = recording.shape(x)?.clone();
        if shape.width() != dims || shape.is_empty() {
            let hint = "give at least one point of the mixture's dimensions";
            return Err(Error::shape(
                "mixture score",
                "x",
                shape,
                format!("[contexts, samples, {dims}]"),
                hint,
            ));
        }
        let rows = shape.rows();
        let direction = direction
            .map(|direction| recording.packed_input("mixture score: direction", direction, rows, dims))
            .transpose()?;
        let mut table: Vec<f32> = Vec::new();
        for component in self.at(level)? {
            table.extend([component.coefficient as f32, 0.0, 0.0, 0.0]);
            for row in std::iter::once(&component.mean[..]).chain(component.whitening.chunks_exact(dims)) {
                table.extend(row.iter().map(|&v| v as f32));
                table.extend(std::iter::repeat_n(0.0, 4 * blocks - dims));
            }
        }
        let table_shape = [self.components(), 4 * (1 + blocks + dims * blocks)];
        let table = recording.constant("noised mixture", table_shape, &table)?;
        // The product with the Jacobian is the noise's derivative along the direction.
        let mode = if direction.is_some() { Mode::Gradient } else { Mode::Value };
        let passes = if mode.has_gradient() { 3 } else { 1 };
        let label = if direction.is_some() { "mixture score slope" } else { "mixture score" };
        let out = recording.scratch(label, DType::F32, Shape::packed(rows, dims));
        recording
            .dispatch(&KERNEL, label)
            .defines(&defines(mode, blocks as u32))
            .bind("table", table)
            .bind("x", x)
            .bind("direction", direction.unwrap_or(table))
            .bind("out", out)
            .set("rows", rows as u32)
            .set("dims", dims as u32)
            .set("components", self.components() as u32)
            .set("x_stride", shape.stride() as u32)
            .set("sigma", level.sigma() as f32)
            .invocations(rows)
            .flops((passes * rows * self.components() * (4 * dims * dims + 8)) as u64)
            .finish()?;
        Ok(out)
    }
}

impl Score for MixtureScore {
    fn dims(&self) -> usize {
        self.mixture.dims()
    }

    fn record_noise(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        self.record(recording, x, None, level)
    }

    fn record_noise_and_vjps(
        &self,
        recording: &mut Recording,
        _: Option<Value>,
        x: Value,
        level: &NoiseLevel,
        cotangents: &mut Cotangents<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        let noise = self.record(recording, x, None, level)?;
        let mut products = Vec::new();
        for direction in cotangents(recording, noise)? {
            products.push(self.record(recording, x, Some(direction), level)?);
        }
        Ok((noise, products))
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// Loop rounds of the product per component: two passes.
fn rounds(dims: usize) -> usize {
    let blocks = dims.div_ceil(4);
    2 * (1 + 3 * blocks + dims * (1 + 2 * blocks)) + blocks
}

/// As [`whitening`]; nothing unless the result is finite in f32 too.
fn whitening_in_f32(matrix: &[f64], dims: usize) -> Option<Vec<f64>> {
    whitening(matrix, dims).filter(|inverse| inverse.iter().all(|&v| (v as f32).is_finite()))
}

fn defines(mode: Mode, blocks: u32) -> [(&'static str, u32); 2] {
    [("MODE", mode.code()), ("BLOCKS", blocks)]
}

/// The kernel in every variant that can be recorded.
pub(super) fn variants() -> Vec<KernelVariant> {
    let all = [Mode::Value, Mode::Gradient]
        .into_iter()
        .flat_map(|mode| (1..=MAX_DIMS as u32 / 4).map(move |blocks| defines(mode, blocks)));
    all.map(|defines| KernelVariant::new(&KERNEL, &defines)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::NoiseSchedule;

    #[test]
    fn the_noised_density_integrates_to_one() {
        let score = MixtureScore::isotropic(&[1.0, 3.0], &[-1.0, 2.0], &[0.5, 1.5]).unwrap();
        for time in [0.0, 0.3, 1.0] {
            let level = NoiseSchedule::default().at(time);
            let width = 0.01;
            let cells = (-1500..1500)
                .map(|i| score.log_density(&[width * (f64::from(i) + 0.5)], &level).unwrap().exp());
            let mass = cells.sum::<f64>() * width;
            assert!((mass - 1.0).abs() < 1e-9, "{mass}");
        }
    }

    #[test]
    fn the_most_components_are_those_of_the_documentation() {
        assert_eq!([2, 4, 16].map(|dims| MAX_ROUNDS / rounds(dims)), [3120, 1985, 206]);
    }

    #[test]
    fn mixtures_without_sense_are_refused() {
        for (result, words) in [
            (MixtureScore::full(&[], &[], &[]), "the means"),
            (MixtureScore::full(&[1.0], &[0.0, 1.0], &[1.0, 2.0, 2.0, 1.0]), "not positive definite"),
            (MixtureScore::full(&[1.0], &[0.0], &[1e-90]), "not invertible in f32 in component 0"),
            (MixtureScore::full(&[1.0], &[1e60], &[1.0]), "the means have 1e60 at 0"),
            (MixtureScore::full(&[1.0], &[1.0], &[1e60]), "the covariances have 1e60 at 0"),
            (MixtureScore::isotropic(&[1.0], &[0.0; 17], &[1.0]), "allowed are 1 to 16 dimensions"),
            (MixtureScore::isotropic(&[1.0; 9000], &[0.0; 9000], &[1.0; 9000]), "components with these"),
            (MixtureScore::isotropic(&[1.0], &[0.0, 1.0], &[0.0]), "must be positive"),
            (MixtureScore::isotropic(&[1.0], &[0.0, 1.0], &[]), "for 1 component"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
