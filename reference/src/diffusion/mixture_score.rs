//! The noise of a noised mixture of Gaussians and its Jacobian
//! (`shaders/diffusion/mixture_score.wgsl`).

use super::squared_distance_size;
use crate::nn::{Summed, check};
use crate::proposal::{HALF_LN_TAU, log_sum_exp};

/// Weights (which sum to 1), means and covariance matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianMixture<'a> {
    /// `[components]`
    pub weights: &'a [f64],
    /// `[components, dims]`
    pub means: &'a [f64],
    /// `[components, dims, dims]`
    pub covariances: &'a [f64],
}

/// A component of the noised mixture.
struct Component {
    /// `log w - log det / 2 - dims log(2 pi) / 2`
    coefficient: f64,
    mean: Vec<f64>,
    /// `[dims, dims]`, the inverse of the covariance.
    precision: Vec<f64>,
}

/// A component at a point.
struct Place {
    /// Log of weight times density.
    l: f64,
    /// Size of its terms.
    size: f64,
    /// `P (x - alpha mean)`
    p: Vec<f64>,
    /// `|P| (|x| + |alpha mean|)`
    p_size: Vec<f64>,
}

impl GaussianMixture<'_> {
    fn dims(&self) -> usize {
        self.means.len() / self.weights.len()
    }

    fn noised(&self, alpha: f64, sigma: f64) -> Vec<Component> {
        let dims = self.dims();
        (0..self.weights.len())
            .map(|k| {
                let mut matrix: Vec<f64> = self.covariances[k * dims * dims..][..dims * dims]
                    .iter()
                    .map(|v| alpha * alpha * v)
                    .collect();
                (0..dims).for_each(|j| matrix[j * dims + j] += sigma * sigma);
                let (precision, determinant) = invert(&matrix, dims);
                Component {
                    coefficient: self.weights[k].ln() - 0.5 * determinant.ln() - dims as f64 * HALF_LN_TAU,
                    mean: self.means[k * dims..][..dims].iter().map(|mean| alpha * mean).collect(),
                    precision,
                }
            })
            .collect()
    }
}

/// Inverse and determinant by elimination; the matrix is positive definite, so pivots need no
/// search.
fn invert(matrix: &[f64], dims: usize) -> (Vec<f64>, f64) {
    let (mut left, mut determinant) = (matrix.to_vec(), 1.0);
    let mut right: Vec<f64> = (0..dims * dims).map(|at| f64::from(u8::from(at % (dims + 1) == 0))).collect();
    for i in 0..dims {
        let pivot = left[i * dims + i];
        determinant *= pivot;
        for side in [&mut left, &mut right] {
            (0..dims).for_each(|j| side[i * dims + j] /= pivot);
        }
        for other in (0..dims).filter(|&other| other != i) {
            let factor = left[other * dims + i];
            for side in [&mut left, &mut right] {
                (0..dims).for_each(|j| side[other * dims + j] -= factor * side[i * dims + j]);
            }
        }
    }
    (right, determinant)
}

fn product(matrix: &[f64], v: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(v.len()).map(|row| row.iter().zip(v).map(|(m, v)| m * v).sum()).collect()
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

fn places(components: &[Component], x: &[f64]) -> Vec<Place> {
    components
        .iter()
        .map(|component| {
            let apart: Vec<f64> = x.iter().zip(&component.mean).map(|(x, mean)| x - mean).collect();
            let reach: Vec<f64> =
                x.iter().zip(&component.mean).map(|(x, mean)| x.abs() + mean.abs()).collect();
            let p = product(&component.precision, &apart);
            let p_size = product(&absolute(&component.precision), &reach);
            let squares: f64 = p.iter().zip(&apart).map(|(p, a)| p * a).sum();
            let size = component.coefficient.abs() + squared_distance_size(&apart, &p_size);
            Place { l: component.coefficient - 0.5 * squares, size, p, p_size }
        })
        .collect()
}

/// `log q_t` of rows `x: [rows, dims]`, `q_t = sum_k w_k N(alpha mean_k, alpha^2 covariance_k +
/// sigma^2)`.
pub fn mixture_log_density(mixture: GaussianMixture<'_>, (alpha, sigma): (f64, f64), x: &[f64]) -> Vec<f64> {
    let components = mixture.noised(alpha, sigma);
    let joint = |x: &[f64]| places(&components, x).iter().map(|place| place.l).collect::<Vec<_>>();
    x.chunks_exact(mixture.dims()).map(|x| log_sum_exp(&joint(x))).collect()
}

/// `eps = -sigma grad log q_t = sigma sum_k r_k P_k (x - alpha
/// mean_k)`, `P_k` the precisions, `r` the responsibilities.
pub fn mixture_score(mixture: GaussianMixture<'_>, (alpha, sigma): (f64, f64), x: &[f64]) -> Summed {
    let components = mixture.noised(alpha, sigma);
    let mut result = Summed { value: Vec::new(), magnitude: Vec::new() };
    for x in x.chunks_exact(mixture.dims()) {
        let (places, r, unsure) = shares(&components, x);
        for j in 0..x.len() {
            let sum: f64 = places.iter().zip(&r).map(|(place, r)| r * place.p[j]).sum();
            let sizes = places.iter().zip(&unsure).zip(&r);
            let size: f64 = sizes.map(|((place, u), r)| u * place.p[j].abs() + r * place.p_size[j]).sum();
            result.value.push(sigma * sum);
            result.magnitude.push(sigma * size);
        }
    }
    result
}

/// `J v` with `J = d eps / d x`, symmetric:
/// `sigma [ sum_k r_k P_k v - sum_k r_k p_k (p_k . v) + p (p . v) ]` for `p_k = P_k (x - alpha
/// mean_k)` and `p = sum_k r_k p_k`. `x`, `direction`: `[rows, dims]`.
pub fn mixture_score_product(
    mixture: GaussianMixture<'_>,
    (alpha, sigma): (f64, f64),
    x: &[f64],
    direction: &[f64],
) -> Summed {
    check("direction", direction.len(), x.len());
    let (components, dims) = (mixture.noised(alpha, sigma), mixture.dims());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut result = Summed { value: Vec::new(), magnitude: Vec::new() };
    for (x, v) in x.chunks_exact(dims).zip(direction.chunks_exact(dims)) {
        let (places, r, unsure) = shares(&components, x);
        let mean: Vec<f64> =
            (0..dims).map(|j| places.iter().zip(&r).map(|(place, r)| r * place.p[j]).sum()).collect();
        for j in 0..dims {
            let (mut sum, mut size) = (mean[j] * dot(&mean, v), 0.0);
            for (k, place) in places.iter().enumerate() {
                let row = &components[k].precision[j * dims..][..dims];
                sum += r[k] * (dot(row, v) - place.p[j] * dot(&place.p, v));
                // The device sums around the mean.
                let apart: Vec<f64> = place.p.iter().zip(&mean).map(|(p, m)| (p - m).abs()).collect();
                let v = absolute(v);
                size += unsure[k] * (dot(&absolute(row), &v) + apart[j] * dot(&apart, &v));
                size += r[k] * (place.p_size[j] * dot(&apart, &v) + apart[j] * dot(&place.p_size, &v));
            }
            result.value.push(sigma * sum);
            result.magnitude.push(sigma * size);
        }
    }
    result
}

/// The components at a point, their responsibilities, and those widened by what their logs may be
/// off.
fn shares(components: &[Component], x: &[f64]) -> (Vec<Place>, Vec<f64>, Vec<f64>) {
    let places = places(components, x);
    let joint: Vec<f64> = places.iter().map(|place| place.l).collect();
    let total = log_sum_exp(&joint);
    let r: Vec<f64> = joint.iter().map(|l| (l - total).exp()).collect();
    let spread: f64 = r.iter().zip(&places).map(|(r, place)| r * place.size).sum();
    let unsure = r.iter().zip(&places).map(|(r, place)| r * (1.0 + place.size + spread)).collect();
    (places, r, unsure)
}
