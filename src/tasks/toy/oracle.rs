//! Exact intermediate energies of densities made of many atoms of one shape.

use std::f64::consts::TAU;

use super::blend::{Blend, Evaluation, Share, denoised};
use super::interval;
use super::labeled_point::{LabeledPoint, UNIT};
use crate::diffusion::NoiseLevel;
use crate::{Error, Result};

/// A density `sum_j w_j U_j * N(0, variance I)`, `U_j` uniform on a square, with an energy of its
/// own in every atom.
#[derive(Clone, Debug)]
pub(super) struct Atoms {
    pub atoms: Vec<Atom>,
    /// What every atom is blurred by.
    pub variance: f64,
    /// The side of every atom's square; 0 for a point.
    pub side: f64,
    /// `E(x) = atom's energy + curvature |x|^2 / 2`; only 0 beside a square.
    pub curvature: f64,
}

/// The middle of an atom, its share of the mass and its label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    pub middle: [f64; 2],
    pub log_weight: f64,
    pub energy: f64,
}

/// The intermediate energy of a density and of labels,
/// `E_t(x) = -log E_q[exp(-beta E(x_0)) | x_t = x]`, with its baselines.
///
/// With `a = alpha_t`, `s = sigma_t`, `G = a^2 v + s^2`, an atom at `mu` of variance `v` has the
/// likelihood `N(x; a mu, G I)`, or, spread over a square, a product of differences of the normal
/// distribution function; a quadratic energy is averaged over the atom's posterior
/// `N(mu + a v (x - a mu) / G, v s^2 / G I)` in closed form (section O1 to O4 of the derivations).
#[derive(Clone, Debug)]
pub struct Oracle {
    pub(super) atoms: Atoms,
    pub(super) beta: f64,
}

/// An [`Oracle`] at one time, with everything prepared that does not depend on the point.
#[derive(Clone, Debug)]
pub struct OracleAt<'a> {
    oracle: &'a Oracle,
    alpha: f64,
    /// Variance of an atom's noised blur.
    blur: f64,
    /// Half the side of its noised square.
    half: f64,
    /// Derivative of an atom's posterior mean by the point.
    slope: f64,
    /// `beta curvature`, and the posterior's variance.
    curvature: f64,
    posterior: f64,
    /// Log of an atom's normalization.
    log_scale: f64,
}

impl Oracle {
    /// # Errors
    /// [`Error::Argument`] if `beta` is negative, not finite, or makes the target density grow
    /// without bound.
    pub(super) fn new(atoms: Atoms, beta: f64) -> Result<Self> {
        check_beta(beta)?;
        if 1.0 + beta * atoms.variance * atoms.curvature <= 0.0 {
            let limit = -1.0 / (atoms.variance * atoms.curvature);
            let problem = format!("is {beta}; from {limit:.3} on the tilted density has no finite mass");
            return Err(Error::argument(UNIT, "beta", problem));
        }
        Ok(Self { atoms, beta })
    }

    /// The oracle of a finite data set, every point of the same weight.
    ///
    /// # Errors
    /// [`Error::Argument`] for no points, numbers that are not finite, or a negative `beta`.
    pub fn finite(points: &[LabeledPoint], beta: f64) -> Result<Self> {
        let finite = |point: &LabeledPoint| point.x.iter().chain([&point.energy]).all(|v| v.is_finite());
        if points.is_empty() || !points.iter().all(finite) {
            let problem = "must be at least one, of finite places and energies";
            return Err(Error::argument(UNIT, "the points", problem));
        }
        let log_weight = -(points.len() as f64).ln();
        let atoms = points
            .iter()
            .map(|point| Atom { middle: point.x.map(f64::from), log_weight, energy: point.energy.into() })
            .collect();
        Self::new(Atoms { atoms, variance: 0.0, side: 0.0, curvature: 0.0 }, beta)
    }

    /// The inverse temperature.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// The oracle at one noise level.
    ///
    /// # Errors
    /// [`Error::Argument`] for a level that is none, and for time 0 where the data themselves have
    /// no smooth density (finite sets, the checkerboard).
    pub fn at(&self, level: NoiseLevel) -> Result<OracleAt<'_>> {
        check_level(level)?;
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let Atoms { variance, side, curvature, .. } = self.atoms;
        let blur = alpha * alpha * variance + sigma * sigma;
        if blur <= 0.0 {
            let problem = format!("is {}; this density has no value there, use a later one", level.time);
            return Err(Error::argument(UNIT, "the time", problem));
        }
        let half = 0.5 * alpha * side;
        let log_scale = if half > 0.0 { -2.0 * (2.0 * half).ln() } else { -(TAU * blur).ln() };
        Ok(OracleAt {
            oracle: self,
            alpha,
            blur,
            half,
            slope: alpha * variance / blur,
            curvature: self.beta * curvature,
            posterior: variance * sigma * sigma / blur,
            log_scale,
        })
    }
}

impl OracleAt<'_> {
    /// Everything at one point; sums over atoms leave out what is below `exp(-45)` of the largest.
    pub fn evaluate(&self, x: [f64; 2]) -> Evaluation {
        let mut blend = Blend::new();
        for atom in &self.oracle.atoms.atoms {
            if let Some(share) = self.share(atom, x, &blend) {
                blend.add(&share);
            }
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

    /// The energy of the denoised point and its gradient (diffusion posterior sampling); none if
    /// the energy of a point is not a differentiable function of the point.
    pub fn denoised(&self, x: [f64; 2]) -> Option<(f64, [f64; 2])> {
        if self.oracle.atoms.curvature == 0.0 {
            return None;
        }
        let log_density = self.evaluate(x).log_density;
        let components = self.oracle.atoms.atoms.iter().map(|atom| {
            let d = self.offset(atom, x);
            let log = self.log_gaussian(atom, d);
            let mean = [0, 1].map(|i| atom.middle[i] + self.slope * d[i]);
            ((log - log_density).exp(), mean, d.map(|v| -v / self.blur), self.slope)
        });
        Some(denoised(components, |[u, v]| {
            (0.5 * self.curvature * (u * u + v * v), [self.curvature * u, self.curvature * v])
        }))
    }

    fn offset(&self, atom: &Atom, x: [f64; 2]) -> [f64; 2] {
        [x[0] - self.alpha * atom.middle[0], x[1] - self.alpha * atom.middle[1]]
    }

    fn log_gaussian(&self, atom: &Atom, [u, v]: [f64; 2]) -> f64 {
        atom.log_weight + self.log_scale - 0.5 * (u * u + v * v) / self.blur
    }

    /// An atom's share; none if it adds nothing to the sums so far.
    fn share(&self, atom: &Atom, x: [f64; 2], so_far: &Blend) -> Option<Share> {
        let d = self.offset(atom, x);
        let constant = self.oracle.beta * atom.energy;
        if self.half > 0.0 {
            return self.square_share(atom, d, constant, so_far);
        }
        let [u, v] = [0, 1].map(|i| atom.middle[i] + self.slope * d[i]);
        let square = u * u + v * v;
        // The determinant of I + beta P A in the plane is the square of this.
        let stretch = 1.0 + self.curvature * self.posterior;
        let pull = self.curvature / stretch;
        let share = Share {
            log_density: self.log_gaussian(atom, d),
            score: d.map(|v| -v / self.blur),
            log_tilt: -constant - stretch.ln() - 0.5 * pull * square,
            tilt: [-pull * self.slope * u, -pull * self.slope * v],
            energy: constant + 0.5 * self.curvature * (square + 2.0 * self.posterior),
            force: [self.curvature * self.slope * u, self.curvature * self.slope * v],
        };
        so_far.matters(share.log_density, share.log_tilt).then_some(share)
    }

    fn square_share(&self, atom: &Atom, d: [f64; 2], constant: f64, so_far: &Blend) -> Option<Share> {
        let std = self.blur.sqrt();
        let outside = d.map(|v| (v.abs() - self.half).max(0.0) / std);
        let log_weight = atom.log_weight + self.log_scale;
        // A half line's mass is below exp(-z^2 / 2).
        let bound = log_weight - 0.5 * (outside[0] * outside[0] + outside[1] * outside[1]);
        if !so_far.matters(bound, -constant) {
            return None;
        }
        let [[log_u, slope_u], [log_v, slope_v]] = d.map(|v| {
            let (low, high) = ((v - self.half) / std, (v + self.half) / std);
            let log = interval::log_mass(low, high);
            let edge = |z: f64| (-0.5 * z * z - log).exp();
            [log, (edge(high) - edge(low)) / (std * TAU.sqrt())]
        });
        Some(Share {
            log_density: log_weight + log_u + log_v,
            score: [slope_u, slope_v],
            log_tilt: -constant,
            tilt: [0.0; 2],
            energy: constant,
            force: [0.0; 2],
        })
    }
}

pub(super) fn check_beta(beta: f64) -> Result<()> {
    match (0.0..=1e6).contains(&beta) {
        true => Ok(()),
        false => Err(Error::argument(UNIT, "beta", format!("is {beta}, allowed are 0 to 1e6"))),
    }
}

pub(super) fn check_level(level: NoiseLevel) -> Result<()> {
    match (-200.0..=0.0).contains(&level.log_alpha) {
        true => Ok(()),
        false => {
            let problem = format!("has log alpha {}, allowed are -200 to 0", level.log_alpha);
            Err(Error::argument(UNIT, "the noise level", problem))
        }
    }
}
