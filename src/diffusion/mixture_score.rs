//! Mixtures of Gaussians as scores (`shaders/diffusion/mixture_score.wgsl`).

use super::{Cotangents, NoiseLevel, Score};
use crate::gpu::{Bindings, DType, KernelSource, KernelVariant, Recording, Shape, Value, embedded_kernel};
use crate::nn::HALF_LOG_TAU;
use crate::{Error, Result};

/// The operation named in errors.
const UNIT: &str = "mixture score";

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/mixture_score.wgsl");

/// Most dimensions.
const MOST_DIMS: usize = 16;
/// Loop rounds that an invocation may take on every device.
const MOST_ROUNDS: usize = 65535;

/// The exact score of a mixture of Gaussians: `q_t = sum_k w_k N(alpha_t mean_k, alpha_t^2 covariance_k + sigma_t^2)` for
/// `q_0 = sum_k w_k N(mean_k, covariance_k)`.
///
/// At most 16 dimensions; 1985 components in 4 dimensions, 206 in 16. The context is ignored. Numbers are given, and
/// inverted for each level, in f64 on the host; devices compute with f32. One dispatch for the noise, one more per product with
/// its Jacobian, which is symmetric.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureScore {
    dims: usize,
    /// `[components]`, sums to 1.
    weights: Vec<f64>,
    /// `[components, dims]`.
    means: Vec<f64>,
    /// `[components, dims, dims]`.
    covariances: Vec<f64>,
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
    /// With a covariance matrix per component.
    ///
    /// * `weights`: one per component, positive, divided by their sum; `means`: `[components, dims]`, data units;
    ///   `covariances`: `[components, dims, dims]`, symmetric and positive definite.
    ///
    /// # Errors
    /// [`Error::Argument`] if lengths disagree, beyond the bounds above, for numbers that are not finite in f32, for weights
    /// that are not positive, and for a matrix that is not symmetric or not positive definite.
    pub fn full(weights: &[f64], means: &[f64], covariances: &[f64]) -> Result<Self> {
        let components = weights.len();
        if components == 0 || means.is_empty() || !means.len().is_multiple_of(components) {
            let problem = format!("has {} numbers, not rows for {components} components", means.len());
            return Err(fault("the means", problem));
        }
        let dims = means.len() / components;
        if dims > MOST_DIMS || components.saturating_mul(rounds(dims)) > MOST_ROUNDS {
            let most = MOST_ROUNDS / rounds(dims.min(MOST_DIMS));
            let problem = format!(
                "are {components} and {dims}; allowed are {MOST_DIMS} dimensions, and {most} components with these"
            );
            return Err(fault("components and dimensions", problem));
        }
        if covariances.len() != means.len() * dims {
            let problem = format!(
                "has {} numbers, {} matrices of {dims} by {dims} are needed",
                covariances.len(),
                components
            );
            return Err(fault("the covariances", problem));
        }
        let finite = |v: f64| (v as f32).is_finite();
        Error::check_each(
            UNIT,
            "the weights",
            weights,
            |v| finite(v) && v as f32 > 0.0,
            "must be positive in f32",
        )?;
        Error::check_each(UNIT, "the means", means, finite, "must be finite in f32")?;
        Error::check_each(UNIT, "the covariances", covariances, finite, "must be finite in f32")?;
        for (index, matrix) in covariances.chunks_exact(dims * dims).enumerate() {
            let uneven = |at: usize| {
                let (here, there) = (matrix[at], matrix[at % dims * dims + at / dims]);
                (here - there).abs() > 1e-9 * here.abs().max(there.abs())
            };
            if (0..dims * dims).any(uneven) {
                return Err(fault("the covariances", format!("are not symmetric in component {index}")));
            }
            if whitening(matrix, dims).is_none() {
                let problem =
                    format!("are not positive definite in component {index}, or not invertible in f32");
                return Err(fault("the covariances", problem));
            }
        }
        let total: f64 = weights.iter().sum();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { dims, weights, means: means.to_vec(), covariances: covariances.to_vec() })
    }

    /// With a standard deviation per component and dimension: `stds`: `[components, dims]`.
    ///
    /// # Errors
    /// As [`MixtureScore::full`].
    pub fn diagonal(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        if stds.len() != means.len() {
            let problem = format!("has {} numbers, the means have {}", stds.len(), means.len());
            return Err(fault("the standard deviations", problem));
        }
        let positive = |std: f64| std > 0.0 && std.is_finite();
        if let Some(at) = stds.iter().position(|&std| !positive(std)) {
            return Err(fault(
                "the standard deviations",
                format!("has {} at {at}, must be positive", stds[at]),
            ));
        }
        let dims = means.len() / weights.len().max(1);
        if dims == 0 || dims > MOST_DIMS {
            return Err(fault(
                "components and dimensions",
                format!("are {} and {dims}; allowed are 1 to {MOST_DIMS} dimensions", weights.len()),
            ));
        }
        let mut covariances = vec![0.0; means.len() * dims];
        for (at, std) in stds.iter().enumerate() {
            covariances[at * dims + at % dims] = std * std;
        }
        Self::full(weights, means, &covariances)
    }

    /// With one standard deviation per component, the same in every dimension.
    ///
    /// # Errors
    /// As [`MixtureScore::full`].
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

    /// `log q_t(x)` in nats, in f64 on the host.
    ///
    /// # Errors
    /// [`Error::Argument`] if `x` has other dimensions.
    pub fn log_density(&self, x: &[f64], level: &NoiseLevel) -> Result<f64> {
        if x.len() != self.dims {
            return Err(fault("the point", format!("has {} numbers, not {}", x.len(), self.dims)));
        }
        let mut joint = Vec::new();
        for component in self.at(level)? {
            let apart: Vec<f64> = x.iter().zip(&component.mean).map(|(x, mean)| x - mean).collect();
            let rows = component.whitening.chunks_exact(self.dims);
            let squares = rows.map(|row| row.iter().zip(&apart).map(|(w, a)| w * a).sum::<f64>().powi(2));
            joint.push(component.coefficient - 0.5 * squares.sum::<f64>());
        }
        let largest = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(largest + joint.iter().map(|l| (l - largest).exp()).sum::<f64>().ln())
    }

    /// The components of `q_t`.
    fn at(&self, level: &NoiseLevel) -> Result<Vec<Component>> {
        let (alpha, sigma, dims) = (level.alpha(), level.sigma(), self.dims);
        let mut all = Vec::new();
        for (index, weight) in self.weights.iter().enumerate() {
            let entries = index * dims * dims..(index + 1) * dims * dims;
            let mut matrix: Vec<f64> = self.covariances[entries].iter().map(|v| alpha * alpha * v).collect();
            for j in 0..dims {
                matrix[j * dims + j] += sigma * sigma;
            }
            let Some(whitening) = whitening(&matrix, dims) else {
                let problem =
                    format!("is {}: it leaves a covariance that is not positive definite", level.time);
                return Err(fault("the time", problem));
            };
            let volume: f64 = (0..dims).map(|j| whitening[j * dims + j].ln()).sum();
            let mean = self.means[index * dims..][..dims].iter().map(|mean| alpha * mean).collect();
            let coefficient = weight.ln() + volume - dims as f64 * HALF_LOG_TAU;
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
        let (dims, blocks) = (self.dims, self.dims.div_ceil(4));
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
        if let Some(direction) = direction {
            recording.expect_shape("mixture score: direction", direction, Shape::packed(rows, dims))?;
        }
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
        let mode = if direction.is_some() { 2 } else { 1 };
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
            .flops((rows * self.components() * (4 * dims * dims + 8) * [0, 1, 3][mode as usize]) as u64)
            .finish()?;
        Ok(out)
    }
}

impl Score for MixtureScore {
    fn dims(&self) -> usize {
        self.dims
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

/// `L^-1` for `matrix = L L'`, lower triangular; nothing unless it is positive definite and `L^-1` is finite in f32.
fn whitening(matrix: &[f64], dims: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; dims * dims];
    let mut inverse = vec![0.0; dims * dims];
    for i in 0..dims {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i * dims + k] * l[j * dims + k]).sum();
            let rest = matrix[i * dims + j] - known;
            l[i * dims + j] = if i == j { rest.sqrt() } else { rest / l[j * dims + j] };
        }
        // A pivot below the rounding of its own sum is noise.
        let pivot = l[i * dims + i];
        let sound = pivot * pivot > 1e-14 * matrix[i * dims + i];
        if !sound {
            return None;
        }
        for j in 0..=i {
            let known: f64 = (j..i).map(|k| l[i * dims + k] * inverse[k * dims + j]).sum();
            inverse[i * dims + j] = (f64::from(u8::from(i == j)) - known) / pivot;
        }
    }
    inverse.iter().all(|&v| (v as f32).is_finite()).then_some(inverse)
}

fn defines(mode: u32, blocks: u32) -> [(&'static str, u32); 2] {
    [("MODE", mode), ("BLOCKS", blocks)]
}

/// The kernel in every variant that can be recorded.
pub(super) fn variants() -> Vec<KernelVariant> {
    let all = [1, 2]
        .into_iter()
        .flat_map(|mode| (1..=MOST_DIMS as u32 / 4).map(move |blocks| defines(mode, blocks)));
    all.map(|defines| KernelVariant::new(&KERNEL, &defines)).collect()
}

fn fault(what: &str, problem: String) -> Error {
    Error::argument(UNIT, what, problem)
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
    fn whitening_inverts_the_root_of_a_matrix() {
        // L = [[2, 0], [3, 0.5]]
        let inverse = whitening(&[4.0, 6.0, 6.0, 9.25], 2).unwrap();
        for (found, known) in inverse.iter().zip([0.5, 0.0, -3.0, 2.0]) {
            assert!((found - known).abs() < 1e-12, "{inverse:?}");
        }
        assert!(whitening(&[1.0, 1.0, 1.0, 1.0], 2).is_none());
        assert!(whitening(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }

    #[test]
    fn the_most_components_are_those_of_the_documentation() {
        assert_eq!([2, 4, 16].map(|dims| MOST_ROUNDS / rounds(dims)), [3120, 1985, 206]);
    }

    #[test]
    fn mixtures_without_sense_are_refused() {
        for (result, words) in [
            (MixtureScore::full(&[], &[], &[]), "the means"),
            (MixtureScore::full(&[1.0, -1.0], &[0.0, 1.0], &[1.0, 1.0]), "the weights"),
            (MixtureScore::full(&[1.0], &[0.0, f64::NAN], &[1.0, 0.0, 0.0, 1.0]), "the means"),
            (MixtureScore::full(&[1.0], &[0.0, 1.0], &[1.0, 0.5, 0.4, 1.0]), "not symmetric"),
            (MixtureScore::full(&[1.0], &[0.0, 1.0], &[1.0, 2.0, 2.0, 1.0]), "not positive definite"),
            (MixtureScore::full(&[1.0], &[0.0, 1.0], &[1.0, 0.0]), "matrices of 2 by 2"),
            (MixtureScore::isotropic(&[1.0], &[0.0; 17], &[1.0]), "allowed are 1 to 16 dimensions"),
            (MixtureScore::isotropic(&[1.0; 9000], &[0.0; 9000], &[1.0; 9000]), "components with these"),
            (MixtureScore::isotropic(&[1.0], &[0.0, 1.0], &[0.0]), "must be positive"),
            (MixtureScore::isotropic(&[1.0], &[0.0, 1.0], &[]), "for 1 components"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
