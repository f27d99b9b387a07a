//! Mixtures of Gaussians as data.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{HALF_LOG_TAU, log_sum_exp, normal_pair, pick};
use crate::error::counted;
use crate::{Error, Result};

/// The operation named in errors.
const UNIT: &str = "Gaussian mixture";

/// A mixture of Gaussians, `p(y) = sum_c w_c N(y; mean_c, covariance_c)`, in data units. Numbers
/// are f64, on the host.
///
/// In files: `{"weights": [..], "means": [..], "stds": [..]}`, or `"covariances"` in place of
/// `"stds"`.
///
/// ```
/// use gibbs::math::GaussianMixture;
///
/// let mixture = GaussianMixture::isotropic(&[1.0, 3.0], &[-1.0, 0.0, 2.0, 1.0], &[0.5, 1.5])?;
/// assert_eq!((mixture.components(), mixture.dims()), (2, 2));
/// assert!(mixture.log_density(&[2.0, 1.0])? > mixture.log_density(&[-4.0, 1.0])?);
/// assert_eq!(mixture.sample(100, 7).len(), 200);
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct GaussianMixture {
    /// `[components]`, sums to 1.
    weights: Vec<f64>,
    /// `[components, dims]`.
    means: Vec<f64>,
    #[serde(flatten)]
    spread: Spread,
}

/// How far the components of a mixture reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// Standard deviations along the axes, `[components, dims]`.
    Stds(Vec<f64>),
    /// Covariance matrices, `[components, dims, dims]`.
    Covariances(Vec<f64>),
}

/// A mixture as it stands in a file, before it is checked.
#[derive(Deserialize)]
struct Unchecked {
    weights: Vec<f64>,
    means: Vec<f64>,
    #[serde(flatten)]
    spread: Spread,
}

impl TryFrom<Unchecked> for GaussianMixture {
    type Error = Error;
    fn try_from(Unchecked { weights, means, spread }: Unchecked) -> Result<Self> {
        let mixture = match spread {
            Spread::Stds(stds) => Self::diagonal(&weights, &means, &stds)?,
            Spread::Covariances(covariances) => Self::full(&weights, &means, &covariances)?,
        };
        // What was written by this type comes back to the last bit.
        let is_normalized = (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12;
        Ok(if is_normalized { Self { weights, ..mixture } } else { mixture })
    }
}

impl GaussianMixture {
    /// With a standard deviation per component and dimension.
    ///
    /// * `weights`: one per component, positive, divided by their sum; `means`, `stds`:
    ///   `[components, dims]`, data units.
    ///
    /// # Errors
    /// [`Error::Argument`] if lengths disagree, or for numbers that are not finite, or not positive
    /// where they must be.
    pub fn diagonal(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        check_means(weights, means)?;
        if stds.len() != means.len() {
            let problem = format!("have {}, the means have {}", counted(stds.len(), "number"), means.len());
            return Err(fault("the standard deviations", problem));
        }
        let positive = |std: f64| std > 0.0 && std.is_finite();
        Error::check_each(UNIT, "the standard deviations", stds, positive, "must be positive and finite")?;
        Ok(Self::normalized(weights, means, Spread::Stds(stds.to_vec())))
    }

    /// With one standard deviation per component, the same in every dimension.
    ///
    /// # Errors
    /// As [`GaussianMixture::diagonal`].
    pub fn isotropic(weights: &[f64], means: &[f64], stds: &[f64]) -> Result<Self> {
        if stds.len() != weights.len() {
            let problem =
                format!("have {} for {}", counted(stds.len(), "number"), counted(weights.len(), "component"));
            return Err(fault("the standard deviations", problem));
        }
        let dims = means.len() / weights.len().max(1);
        let repeated: Vec<f64> = stds.iter().flat_map(|&std| std::iter::repeat_n(std, dims)).collect();
        Self::diagonal(weights, means, &repeated)
    }

    /// With a covariance matrix per component.
    ///
    /// * `covariances`: `[components, dims, dims]`, symmetric and positive definite.
    ///
    /// # Errors
    /// As [`GaussianMixture::diagonal`], and for a matrix that is not symmetric (to 1e-9 of its
    /// entries) or not positive definite.
    pub fn full(weights: &[f64], means: &[f64], covariances: &[f64]) -> Result<Self> {
        let dims = check_means(weights, means)?;
        if covariances.len() != means.len() * dims {
            let (count, wanted) = (counted(covariances.len(), "number"), weights.len());
            let matrices = if wanted == 1 { "matrix" } else { "matrices" };
            let problem = format!("have {count}, not those of {wanted} {matrices} of {dims} by {dims}");
            return Err(fault("the covariances", problem));
        }
        Error::check_each(UNIT, "the covariances", covariances, f64::is_finite, "must be finite")?;
        for (index, matrix) in covariances.chunks_exact(dims * dims).enumerate() {
            let uneven = |at: usize| {
                let (here, there) = (matrix[at], matrix[at % dims * dims + at / dims]);
                (here - there).abs() > 1e-9 * here.abs().max(there.abs())
            };
            if (0..dims * dims).any(uneven) {
                return Err(fault("the covariances", format!("are not symmetric in component {index}")));
            }
            if whitening(matrix, dims).is_none() {
                let problem = format!("are not positive definite in component {index}");
                return Err(fault("the covariances", problem));
            }
        }
        Ok(Self::normalized(weights, means, Spread::Covariances(covariances.to_vec())))
    }

    fn normalized(weights: &[f64], means: &[f64], spread: Spread) -> Self {
        let total: f64 = weights.iter().sum();
        let weights = weights.iter().map(|weight| weight / total).collect();
        Self { weights, means: means.to_vec(), spread }
    }

    /// Dimensions of a point.
    pub fn dims(&self) -> usize {
        self.means.len() / self.weights.len()
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// `[components]`, in all 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `[components, dims]`.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Standard deviations, or covariances.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// The mean of a component, `[dims]`.
    pub(crate) fn mean_of(&self, component: usize) -> &[f64] {
        &self.means[component * self.dims()..][..self.dims()]
    }

    /// The covariance of a component, `[dims, dims]`.
    pub(crate) fn covariance_of(&self, component: usize) -> Vec<f64> {
        let dims = self.dims();
        match &self.spread {
            Spread::Covariances(all) => all[component * dims * dims..][..dims * dims].to_vec(),
            Spread::Stds(stds) => {
                let mut matrix = vec![0.0; dims * dims];
                for (axis, std) in stds[component * dims..][..dims].iter().enumerate() {
                    matrix[axis * dims + axis] = std * std;
                }
                matrix
            }
        }
    }

    /// `ln w_c + ln N(mean_c; mean_c, covariance_c)`, given the sum of the logarithms of the
    /// deviations.
    pub(crate) fn log_peak(&self, component: usize, log_stds: f64) -> f64 {
        self.weights[component].ln() - log_stds - self.dims() as f64 * HALF_LOG_TAU
    }

    /// `ln w_c + ln N(y; mean_c, covariance_c)`.
    fn log_term(&self, component: usize, y: &[f64]) -> f64 {
        let dims = self.dims();
        let apart = y.iter().zip(self.mean_of(component)).map(|(y, mean)| y - mean);
        let (log_stds, squares): (f64, f64) = match &self.spread {
            Spread::Stds(stds) => {
                let stds = &stds[component * dims..][..dims];
                let squares = apart.zip(stds).map(|(apart, std)| (apart / std).powi(2)).sum();
                (stds.iter().map(|std| std.ln()).sum(), squares)
            }
            Spread::Covariances(_) => {
                // Checked when the mixture was made.
                let whitening = whitening(&self.covariance_of(component), dims).unwrap_or_default();
                let apart: Vec<f64> = apart.collect();
                let rows = whitening.chunks_exact(dims);
                let squares = rows.map(|row| row.iter().zip(&apart).map(|(w, a)| w * a).sum::<f64>().powi(2));
                (-log_diagonal(&whitening, dims), squares.sum())
            }
        };
        self.log_peak(component, log_stds) - 0.5 * squares
    }

    /// `log p(y)` in nats with respect to data units; `y`: `[dims]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `y` has other dimensions.
    pub fn log_density(&self, y: &[f64]) -> Result<f64> {
        self.check_point(UNIT, y)?;
        let terms: Vec<f64> = (0..self.components()).map(|component| self.log_term(component, y)).collect();
        Ok(log_sum_exp(terms.iter().copied()))
    }

    /// Refuses a point of other dimensions.
    pub(crate) fn check_point(&self, operation: &str, y: &[f64]) -> Result<()> {
        if y.len() == self.dims() {
            return Ok(());
        }
        let problem = format!(
            "has {}, the mixture has {}",
            counted(y.len(), "number"),
            counted(self.dims(), "dimension")
        );
        Err(Error::argument(operation, "the point", problem))
    }

    /// `count` independent draws, `[count, dims]`. Equal seeds give equal draws.
    pub fn sample(&self, count: usize, seed: u64) -> Vec<f64> {
        let dims = self.dims();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let factors: Vec<Vec<f64>> = (0..self.components())
            .map(|c| cholesky(&self.covariance_of(c), dims).unwrap_or_default())
            .collect();
        let mut all = Vec::with_capacity(count * dims);
        for _ in 0..count {
            let chosen = pick(self.weights.iter().copied(), &mut rng);
            let normals: Vec<f64> = (0..dims.div_ceil(2)).flat_map(|_| normal_pair(&mut rng)).collect();
            let rows = factors[chosen].chunks_exact(dims);
            let shift = rows.map(|row| row.iter().zip(&normals).map(|(l, n)| l * n).sum::<f64>());
            all.extend(self.mean_of(chosen).iter().zip(shift).map(|(mean, shift)| mean + shift));
        }
        all
    }

    /// Mean, `[dims]`, and covariance, `[dims, dims]`, of the whole.
    pub fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let dims = self.dims();
        let (mut mean, mut second) = (vec![0.0; dims], vec![0.0; dims * dims]);
        for (c, weight) in self.weights.iter().enumerate() {
            for (sum, value) in mean.iter_mut().zip(self.mean_of(c)) {
                *sum += weight * value;
            }
        }
        for (c, weight) in self.weights.iter().enumerate() {
            let (own, covariance) = (self.mean_of(c), self.covariance_of(c));
            for i in 0..dims {
                for j in 0..dims {
                    let apart = (own[i] - mean[i]) * (own[j] - mean[j]);
                    second[i * dims + j] += weight * (covariance[i * dims + j] + apart);
                }
            }
        }
        (mean, second)
    }
}

/// Checks weights and means; returns the dimensions.
fn check_means(weights: &[f64], means: &[f64]) -> Result<usize> {
    let count = weights.len();
    if count == 0 || means.is_empty() || !means.len().is_multiple_of(count) {
        let problem =
            format!("have {}, not rows for {}", counted(means.len(), "number"), counted(count, "component"));
        return Err(fault("the means", problem));
    }
    let positive = |weight: f64| weight > 0.0 && weight.is_finite();
    Error::check_each(UNIT, "the weights", weights, positive, "must be positive and finite")?;
    Error::check_each(UNIT, "the means", means, f64::is_finite, "must be finite")?;
    Ok(means.len() / count)
}

/// `L` of `matrix = L L'`, lower triangular; nothing unless the matrix is positive definite.
fn cholesky(matrix: &[f64], dims: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; dims * dims];
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
    }
    Some(l)
}

/// `L^-1` for `matrix = L L'`, lower triangular; nothing unless the matrix is positive definite and
/// `L^-1` finite.
pub(crate) fn whitening(matrix: &[f64], dims: usize) -> Option<Vec<f64>> {
    let l = cholesky(matrix, dims)?;
    let mut inverse = vec![0.0; dims * dims];
    for i in 0..dims {
        for j in 0..=i {
            let known: f64 = (j..i).map(|k| l[i * dims + k] * inverse[k * dims + j]).sum();
            inverse[i * dims + j] = (f64::from(u8::from(i == j)) - known) / l[i * dims + i];
        }
    }
    inverse.iter().all(|v| v.is_finite()).then_some(inverse)
}

/// Sum of the logarithms of a matrix' diagonal.
pub(crate) fn log_diagonal(matrix: &[f64], dims: usize) -> f64 {
    (0..dims).map(|j| matrix[j * dims + j].ln()).sum()
}

fn fault(what: &str, problem: String) -> Error {
    Error::argument(UNIT, what, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_integrates_to_one() {
        let mixture = GaussianMixture::isotropic(&[1.0, 3.0], &[-1.0, 2.0], &[0.5, 1.5]).unwrap();
        let width = 0.01;
        let cells =
            (-1500..1500).map(|i| mixture.log_density(&[width * (f64::from(i) + 0.5)]).unwrap().exp());
        let mass = cells.sum::<f64>() * width;
        assert!((mass - 1.0).abs() < 1e-9, "{mass}");
        // The weights are 1/4 and 3/4; far out only the wide component counts.
        let far = (0.75f64 / 1.5).ln() - HALF_LOG_TAU - 0.5 * (100f64 / 1.5).powi(2);
        assert!((mixture.log_density(&[102.0]).unwrap() - far).abs() < 1e-9);
    }

    #[test]
    fn a_diagonal_covariance_is_a_pair_of_deviations() {
        let (weights, means) = ([0.2, 0.8], [1.0, -2.0, 0.5, 3.0]);
        let plain = GaussianMixture::diagonal(&weights, &means, &[0.5, 2.0, 1.5, 0.7]).unwrap();
        let matrices = [0.25, 0.0, 0.0, 4.0, 2.25, 0.0, 0.0, 0.7 * 0.7];
        let full = GaussianMixture::full(&weights, &means, &matrices).unwrap();
        for y in [[0.0, 0.0], [1.3, -2.2], [5.0, 9.0]] {
            let (a, b) = (plain.log_density(&y).unwrap(), full.log_density(&y).unwrap());
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        assert_eq!(plain.sample(20, 3), full.sample(20, 3));
        let ((mean, covariance), other) = (plain.moments(), full.moments());
        assert_eq!(mean, other.0);
        assert_eq!(covariance, other.1);
        assert!((mean[0] - 0.6).abs() < 1e-15 && (mean[1] - 2.0).abs() < 1e-15);
    }

    #[test]
    fn draws_have_the_moments_of_the_mixture() {
        let matrices = [1.0, 0.6, -0.2, 0.6, 2.0, 0.3, -0.2, 0.3, 0.5];
        let mixture = GaussianMixture::full(&[2.0], &[1.0, -1.0, 0.5], &matrices).unwrap();
        let count = 40_000;
        let draws = mixture.sample(count, 11);
        assert_eq!(draws, mixture.sample(count, 11));
        assert_ne!(draws[..3], mixture.sample(1, 12)[..]);
        let mean = |f: &dyn Fn(&[f64]) -> f64| draws.chunks(3).map(f).sum::<f64>() / count as f64;
        let (center, covariance) = mixture.moments();
        for i in 0..3 {
            assert!((mean(&|y| y[i]) - center[i]).abs() < 0.04);
            for j in 0..3 {
                let found = mean(&|y| (y[i] - center[i]) * (y[j] - center[j]));
                assert!((found - covariance[3 * i + j]).abs() < 0.06, "{i} {j} {found}");
            }
        }
    }

    #[test]
    fn files_hold_deviations_or_covariances() {
        let plain = GaussianMixture::diagonal(&[1.0], &[0.5, 1.0], &[1.0, 2.0]).unwrap();
        let text = r#"{"weights":[1.0],"means":[0.5,1.0],"stds":[1.0,2.0]}"#;
        assert_eq!(serde_json::to_string(&plain).unwrap(), text);
        assert_eq!(serde_json::from_str::<GaussianMixture>(text).unwrap(), plain);
        let full = r#"{"weights":[2.0,2.0],"means":[0.5,1.0],"covariances":[1.0,2.0]}"#;
        let read: GaussianMixture = serde_json::from_str(full).unwrap();
        assert_eq!(read.weights(), [0.5, 0.5]);
        assert_eq!(read.spread(), &Spread::Covariances(vec![1.0, 2.0]));
        assert!(serde_json::from_str::<GaussianMixture>(&text.replace("2.0", "-2.0")).is_err());
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
    fn mixtures_without_sense_are_refused() {
        for (result, words) in [
            (GaussianMixture::full(&[], &[], &[]), "the means have 0 numbers, not rows for 0 components"),
            (GaussianMixture::full(&[1.0, -1.0], &[0.0, 1.0], &[1.0, 1.0]), "the weights"),
            (GaussianMixture::full(&[1.0], &[0.0, f64::NAN], &[1.0, 0.0, 0.0, 1.0]), "the means"),
            (GaussianMixture::full(&[1.0], &[0.0, 1.0], &[1.0, 0.5, 0.4, 1.0]), "not symmetric"),
            (GaussianMixture::full(&[1.0], &[0.0, 1.0], &[1.0, 2.0, 2.0, 1.0]), "not positive definite"),
            (GaussianMixture::full(&[1.0], &[0.0, 1.0], &[1.0, 0.0]), "1 matrix of 2 by 2"),
            (GaussianMixture::isotropic(&[1.0], &[0.0, 1.0], &[0.0]), "must be positive"),
            (GaussianMixture::isotropic(&[1.0], &[0.0, 1.0], &[]), "have 0 numbers for 1 component"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let one = GaussianMixture::isotropic(&[1.0], &[0.0; 2], &[1.0]).unwrap();
        let error = one.log_density(&[1.0]).unwrap_err().to_string();
        assert!(error.ends_with("the point has 1 number, the mixture has 2 dimensions"), "{error}");
    }
}
