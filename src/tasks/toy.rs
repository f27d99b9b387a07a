//! Six densities over the plane with an energy on every point, and what a guided diffusion should make of them, exactly.
//!
//! The tasks are those of the contrastive energy prediction experiments (arXiv 2304.12824): data `q_0` and labels `E`, low
//! where points are wanted; the target is `p_0 = q_0 exp(-beta E) / Z`. Where the energy belongs to a point's making (which
//! Gaussian, moon or ring, where along a spiral) and not to its place, `exp(-beta E)` is its mean over everything
//! that may have made the point, as it is for a network that sees places only.
//!
//! Everything here is exact, by closed forms and sums over quadrature nodes: the intermediate energy `E_t` with its gradient
//! ([`Oracle`]), the target's probabilities and draws from it ([`Target`]), and Gaussian mixtures under quadratic energies
//! ([`MixtureOracle`]).

mod blend;
mod interval;
pub mod measure;
mod mixture;
mod oracle;
mod shapes;
mod target;

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use self::measure::Partition;
use crate::Result;

pub use blend::Evaluation;
pub use mixture::{Component, MixtureOracle, MixtureOracleAt, Quadratic, TiltedComponent, TiltedMixture};
pub use oracle::{Oracle, OracleAt};
pub use target::{Bins, Target};

/// The operation named in errors of this module.
const UNIT: &str = "tasks::toy";

/// A density with an energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A roll of one and a half turns, thick 0.2, `(a cos a, a sin a) / 5` with `a` uniform in (1.5 pi, 4.5 pi);
    /// `E = -|x|^2 / 9`, of the noisy point.
    SwissRoll,
    /// Eight Gaussians on a circle, numbered anticlockwise from the top; `E = -k / 7` for the one it was drawn from.
    #[default]
    EightGaussians,
    /// Two moons; `E` is -1 on the second, the lower one, and 0 on the first.
    Moons,
    /// Four rings of equal mass; `E` is -0.667, -0.333, -1 and 0 from the outside in.
    Rings,
    /// A board of four columns and rows; `E` is -1 in the first and third column from the left, else 0.
    Checkerboard,
    /// Two spiral arms, the point at `n = 3 pi sqrt(u)` along one; `E = -(1 - n / 10)`, lowest at the middle.
    TwoSpirals,
}

/// A point with the energy it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelledPoint {
    /// The point.
    pub x: [f32; 2],
    /// Its energy, low where wanted, `beta` not included.
    pub energy: f32,
}

/// The name of no [`Task`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown task `{0}`; known are {all}", all = Task::ALL.map(Task::name).join(", "))]
pub struct UnknownTask(pub String);

impl Task {
    /// Every task.
    pub const ALL: [Task; 6] = [
        Task::SwissRoll,
        Task::EightGaussians,
        Task::Moons,
        Task::Rings,
        Task::Checkerboard,
        Task::TwoSpirals,
    ];

    /// Bins along each side of the square that samples are compared on, except for eight Gaussians. For ten thousand exact
    /// draws the total variation is then 0.01 to 0.05.
    pub const BINS: usize = 16;

    /// The lower-case name, as in serde and [`FromStr`].
    pub fn name(self) -> &'static str {
        match self {
            Task::SwissRoll => "swiss_roll",
            Task::EightGaussians => "eight_gaussians",
            Task::Moons => "moons",
            Task::Rings => "rings",
            Task::Checkerboard => "checkerboard",
            Task::TwoSpirals => "two_spirals",
        }
    }

    /// Half the side of the square for bins and pictures. Borders of the checkerboard are borders of bins.
    pub fn half_width(self) -> f64 {
        match self {
            Task::EightGaussians => 5.0,
            Task::Checkerboard => 16.0 / 3.0,
            Task::SwissRoll | Task::Moons | Task::Rings | Task::TwoSpirals => 4.0,
        }
    }

    /// The constant that labels are scaled by: with `exp(-beta (E - lowest))` none is above 1. The roll's energy has no
    /// lower bound: there, fewer than one point in a thousand has a larger label.
    pub fn lowest_energy(self) -> f64 {
        match self {
            Task::SwissRoll => shapes::roll_lowest(),
            _ => -1.0,
        }
    }

    /// Whether the energy is a differentiable function of the place, so that it can be followed through a denoiser.
    pub fn has_gradient(self) -> bool {
        self.quadratic().is_some()
    }

    /// The energy as a function of the place, where it is a differentiable one: the swiss roll's `-|x|^2 / 9`.
    pub fn quadratic(self) -> Option<Quadratic> {
        let c = shapes::ROLL_CURVATURE;
        (self == Task::SwissRoll).then_some(Quadratic { matrix: [[c, 0.0], [0.0, c]], centre: [0.0; 2] })
    }

    /// `count` labelled points. Equal seeds give equal data.
    pub fn draw(self, count: usize, seed: u64) -> Vec<LabelledPoint> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..count).map(|_| shapes::draw(self, &mut rng)).collect()
    }

    /// The exact intermediate energy at an inverse temperature, within 1e-6 of a much finer quadrature, relative, wherever
    /// samples or their noised relatives are.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if `beta` is negative, not finite, or (from 112.5 on for the roll) makes the target's mass
    /// infinite.
    pub fn oracle(self, beta: f64) -> Result<Oracle> {
        Oracle::new(shapes::atoms(self, 1.0), beta)
    }

    /// The exact target at an inverse temperature.
    ///
    /// # Errors
    /// As [`Task::oracle`].
    pub fn target(self, beta: f64) -> Result<Target> {
        let partition = match self {
            Task::EightGaussians => Partition::Modes(shapes::gaussian_centres().to_vec()),
            _ => Partition::Bins { half_width: self.half_width(), cells: Self::BINS },
        };
        Ok(Target::new(&self.oracle(beta)?, partition))
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(name: &str) -> Result<Self, UnknownTask> {
        Task::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| UnknownTask(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
