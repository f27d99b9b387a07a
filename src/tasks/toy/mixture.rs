//! Gaussian mixtures in the plane under a quadratic energy: everything in closed form.

use std::f64::consts::TAU;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::blend::{Blend, Evaluation, Share, denoised};
use super::labeled_point::UNIT;
use super::oracle::{check_beta, check_level};
use crate::diffusion::NoiseLevel;
use crate::math::{GaussianMixture, log_sum_exp, normal_pair, pick};
use crate::{Error, Result};

type Matrix = [[f64; 2]; 2];

/// `E(x) = (x - center)' matrix (x - center) / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadratic {
    /// Symmetric.
    pub matrix: [[f64; 2]; 2],
    /// Where the energy is 0 and, for a positive matrix, lowest.
    pub center: [f64; 2],
}

/// One round Gaussian of a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Share of the mass; shares need not add up to 1.
    pub weight: f64,
    /// Center.
    pub mean: [f64; 2],
    /// Variance along every axis.
    pub variance: f64,
}

/// One Gaussian of the tilted mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TiltedComponent {
    /// Share of the mass; all together 1.
    pub weight: f64,
    /// Center.
    pub mean: [f64; 2],
    /// Covariance.
    pub covariance: [[f64; 2]; 2],
}

/// The tilted density `p_0 = q_0 exp(-beta E) / Z`, again a mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct TiltedMixture {
    /// One for each component of the data.
    pub components: Vec<TiltedComponent>,
    /// `log Z = log E_q[exp(-beta E)]`.
    pub log_z: f64,
}

/// The intermediate energy of a Gaussian mixture `q_0` and a [`Quadratic`] energy, with its
/// baselines.
///
/// With `a = alpha_t`, `s = sigma_t`, `G_k = a^2 v_k + s^2`,
/// `m_k = mu_k + a v_k (x - a mu_k) / G_k`, `P_k = v_k s^2 / G_k` and `r_k` proportional to
/// `w_k N(x; a mu_k, G_k I)`, summing to 1:
///
/// `exp(-E_t) = sum_k r_k det(I + beta P_k A)^(-1/2) exp(-beta (m_k - c)' A (I + beta P_k A)^(-1)
/// (m_k - c) / 2)`.
#[derive(Clone, Debug)]
pub struct MixtureOracle {
    components: Vec<Component>,
    energy: Quadratic,
    beta: f64,
}

/// A [`MixtureOracle`] at one time.
#[derive(Clone, Debug)]
pub struct MixtureOracleAt<'a> {
    oracle: &'a MixtureOracle,
    alpha: f64,
    terms: Vec<Term>,
}

/// What of a component depends on the time only.
#[derive(Clone, Copy, Debug)]
struct Term {
    component: Component,
    blur: f64,
    slope: f64,
    log_weight: f64,
    /// `-log det(I + beta P A) / 2`, `beta A (I + beta P A)^(-1)`, and `beta tr(A) P / 2`.
    log_stretch: f64,
    pull: Matrix,
    jitter: f64,
}

impl Quadratic {
    /// `E(x)`.
    pub fn energy(&self, x: [f64; 2]) -> f64 {
        0.5 * form(self.matrix, self.offset(x))
    }

    /// `grad E(x)`.
    pub fn gradient(&self, x: [f64; 2]) -> [f64; 2] {
        product(self.matrix, self.offset(x))
    }

    fn offset(&self, x: [f64; 2]) -> [f64; 2] {
        [x[0] - self.center[0], x[1] - self.center[1]]
    }
}

impl MixtureOracle {
    /// The oracle of a mixture, an energy and an inverse temperature.
    ///
    /// # Errors
    /// [`Error::Argument`] for no components, weights or variances that are not positive, a matrix
    /// that is not symmetric, a negative `beta`, or one that leaves the tilted density without a
    /// finite mass.
    pub fn new(components: Vec<Component>, energy: Quadratic, beta: f64) -> Result<Self> {
        check_beta(beta)?;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let fits = |c: &Component| {
            positive(c.weight) && positive(c.variance) && c.mean.iter().all(|v| v.is_finite())
        };
        if components.is_empty() || !components.iter().all(fits) {
            let problem = "must be at least one, with positive weights and variances and finite means";
            return Err(Error::argument(UNIT, "the components", problem));
        }
        let [[a, b], [other, d]] = energy.matrix;
        let finite = [a, b, d, energy.center[0], energy.center[1]].iter().all(|v| v.is_finite());
        if b != other || !finite {
            let problem = "must have a symmetric matrix and finite numbers";
            return Err(Error::argument(UNIT, "the quadratic energy", problem));
        }
        // The lower eigenvalue of A decides whether I + beta v A is positive.
        let lowest = 0.5 * (a + d) - (0.5 * (a - d)).hypot(b);
        if components.iter().any(|c| 1.0 + beta * c.variance * lowest <= 0.0) {
            let problem = format!("is {beta}; with this energy the tilted density has no finite mass");
            return Err(Error::argument(UNIT, "beta", problem));
        }
        Ok(Self { components, energy, beta })
    }

    /// The oracle at one noise level.
    ///
    /// # Errors
    /// [`Error::Argument`] for a level that is none.
    pub fn at(&self, level: NoiseLevel) -> Result<MixtureOracleAt<'_>> {
        check_level(level)?;
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let trace = self.energy.matrix[0][0] + self.energy.matrix[1][1];
        let total: f64 = self.components.iter().map(|component| component.weight).sum();
        let terms = self
            .components
            .iter()
            .map(|&component| {
                let blur = alpha * alpha * component.variance + sigma * sigma;
                let posterior = component.variance * sigma * sigma / blur;
                let (log_stretch, pull) = self.tilt(posterior);
                Term {
                    component,
                    blur,
                    slope: alpha * component.variance / blur,
                    log_weight: (component.weight / total).ln() - (TAU * blur).ln(),
                    log_stretch,
                    pull,
                    jitter: 0.5 * self.beta * trace * posterior,
                }
            })
            .collect();
        Ok(MixtureOracleAt { oracle: self, alpha, terms })
    }

    /// The tilted mixture: `w'_k` proportional to `w_k` times the factor of `E_t` at `m_k = mu_k`,
    /// `P_k = v_k`; `Sigma'_k = (I / v_k + beta A)^(-1)`,
    /// `mu'_k = Sigma'_k (mu_k / v_k + beta A c)`.
    pub fn tilted(&self) -> TiltedMixture {
        let total: f64 = self.components.iter().map(|component| component.weight).sum();
        let logs: Vec<f64> = self
            .components
            .iter()
            .map(|component| {
                let (log_stretch, pull) = self.tilt(component.variance);
                let off = self.energy.offset(component.mean);
                (component.weight / total).ln() + log_stretch - 0.5 * form(pull, off)
            })
            .collect();
        let log_z = log_sum_exp(logs.iter().copied());
        let components = self
            .components
            .iter()
            .zip(logs)
            .map(|(component, log)| {
                let precision = 1.0 / component.variance;
                let [[a, b], [_, d]] = self.energy.matrix.map(|row| row.map(|v| self.beta * v));
                let covariance = inverse([[precision + a, b], [b, precision + d]]);
                let pulled = product([[a, b], [b, d]], self.energy.center);
                let mean = product(covariance, [0, 1].map(|i| precision * component.mean[i] + pulled[i]));
                TiltedComponent { weight: (log - log_z).exp(), mean, covariance }
            })
            .collect();
        TiltedMixture { components, log_z }
    }

    /// `-log det(I + beta v A) / 2` and `beta A (I + beta v A)^(-1)`.
    fn tilt(&self, variance: f64) -> (f64, Matrix) {
        let [[a, b], [_, d]] = self.energy.matrix.map(|row| row.map(|v| self.beta * v));
        let stretch = [[1.0 + variance * a, variance * b], [variance * b, 1.0 + variance * d]];
        let inverse = inverse(stretch);
        let pull =
            [[a, b], [b, d]].map(|row| [0, 1].map(|j| row[0] * inverse[0][j] + row[1] * inverse[1][j]));
        (-0.5 * determinant(stretch).ln(), pull)
    }
}

impl TiltedMixture {
    /// The same as plain data: what [`crate::diffusion::MixtureScore`] takes.
    ///
    /// # Errors
    /// [`Error::Argument`] if a weight is 0 in f64: so strong a tilt leaves that component without
    /// mass.
    pub fn mixture(&self) -> Result<GaussianMixture> {
        let weights: Vec<f64> = self.components.iter().map(|component| component.weight).collect();
        let means: Vec<f64> = self.components.iter().flat_map(|component| component.mean).collect();
        let covariances: Vec<f64> = self.components.iter().flat_map(|c| c.covariance).flatten().collect();
        GaussianMixture::full(&weights, &means, &covariances)
    }

    /// Mean and covariance of the whole mixture.
    pub fn moments(&self) -> ([f64; 2], [[f64; 2]; 2]) {
        let mean = [0, 1].map(|i| self.components.iter().map(|c| c.weight * c.mean[i]).sum::<f64>());
        let entry = |c: &TiltedComponent, i: usize, j: usize| {
            c.weight * (c.covariance[i][j] + (c.mean[i] - mean[i]) * (c.mean[j] - mean[j]))
        };
        let covariance =
            [0, 1].map(|i| [0, 1].map(|j| self.components.iter().map(|c| entry(c, i, j)).sum::<f64>()));
        (mean, covariance)
    }

    /// `log p_0(x)`, in nats.
    pub fn log_density(&self, x: [f64; 2]) -> f64 {
        log_sum_exp(self.components.iter().map(|component| {
            let off = [0, 1].map(|i| x[i] - component.mean[i]);
            let spread = TAU.ln() + 0.5 * determinant(component.covariance).ln();
            component.weight.ln() - spread - 0.5 * form(inverse(component.covariance), off)
        }))
    }

    /// `count` independent draws. Equal seeds give equal draws.
    pub fn draw(&self, count: usize, seed: u64) -> Vec<[f32; 2]> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        if self.components.is_empty() {
            return Vec::new();
        }
        (0..count)
            .map(|_| {
                let chosen = pick(self.components.iter().map(|component| component.weight), &mut rng);
                let TiltedComponent { mean, covariance: [[a, b], [_, d]], .. } = self.components[chosen];
                // The lower root of the covariance.
                let first = a.sqrt();
                let below = b / first;
                let second = (d - below * below).max(0.0).sqrt();
                let [u, v] = normal_pair(&mut rng);
                [(mean[0] + first * u) as f32, (mean[1] + below * u + second * v) as f32]
            })
            .collect()
    }
}

impl MixtureOracleAt<'_> {
    /// Everything at one point.
    pub fn evaluate(&self, x: [f64; 2]) -> Evaluation {
        let mut blend = Blend::new();
        for term in &self.terms {
            let (off, mean) = self.posterior(term, x);
            let from = self.oracle.energy.offset(mean);
            let pulled = product(term.pull, from);
            let force = product(self.oracle.energy.matrix, from).map(|v| self.oracle.beta * v);
            blend.add(&Share {
                log_density: term.log_density(off),
                score: off.map(|v| -v / term.blur),
                log_tilt: term.log_stretch - 0.5 * (from[0] * pulled[0] + from[1] * pulled[1]),
                tilt: pulled.map(|v| -term.slope * v),
                energy: 0.5 * (from[0] * force[0] + from[1] * force[1]) + term.jitter,
                force: force.map(|v| term.slope * v),
            });
        }
        blend.evaluation()
    }

    /// `E_t(x)`, `beta` included.
    pub fn energy(&self, x: [f64; 2]) -> f64 {
        self.evaluate(x).energy
    }

    /// `grad E_t(x)`.
    pub fn gradient(&self, x: [f64; 2]) -> [f64; 2] {
        self.evaluate(x).gradient
    }

    /// `grad log q_t(x)`.
    pub fn score(&self, x: [f64; 2]) -> [f64; 2] {
        self.evaluate(x).score
    }

    /// The energy of the denoised point, `beta E(x_hat)` with `x_hat = E_q[x_0 | x_t]`, and its
    /// gradient through the denoiser (diffusion posterior sampling).
    pub fn denoised(&self, x: [f64; 2]) -> (f64, [f64; 2]) {
        let log_density = self.evaluate(x).log_density;
        let components = self.terms.iter().map(|term| {
            let (off, mean) = self.posterior(term, x);
            let share = (term.log_density(off) - log_density).exp();
            (share, mean, off.map(|v| -v / term.blur), term.slope)
        });
        denoised(components, |mean| {
            let force = self.oracle.energy.gradient(mean).map(|v| self.oracle.beta * v);
            (self.oracle.beta * self.oracle.energy.energy(mean), force)
        })
    }

    /// `x - a mu` and the mean of `x_0` within a component.
    fn posterior(&self, term: &Term, x: [f64; 2]) -> ([f64; 2], [f64; 2]) {
        let center = term.component.mean;
        let off = [x[0] - self.alpha * center[0], x[1] - self.alpha * center[1]];
        (off, [center[0] + term.slope * off[0], center[1] + term.slope * off[1]])
    }
}

impl Term {
    fn log_density(&self, [u, v]: [f64; 2]) -> f64 {
        self.log_weight - 0.5 * (u * u + v * v) / self.blur
    }
}

fn product(matrix: Matrix, [u, v]: [f64; 2]) -> [f64; 2] {
    matrix.map(|row| row[0] * u + row[1] * v)
}

fn form(matrix: Matrix, x: [f64; 2]) -> f64 {
    let [u, v] = product(matrix, x);
    x[0] * u + x[1] * v
}

fn determinant([[a, b], [c, d]]: Matrix) -> f64 {
    a * d - b * c
}

fn inverse(matrix: Matrix) -> Matrix {
    let [[a, b], [c, d]] = matrix;
    let scale = 1.0 / determinant(matrix);
    [[d * scale, -b * scale], [-c * scale, a * scale]]
}
