//! Two-dimensional conditional densities `p(y | x)` with one context number `x` and an exact value
//! everywhere.
//!
//! The benchmark of arXiv 2309.05803 trains on two such families, a pinwheel and a spiral, but does
//! not publish their constants; the ones here are this crate's own choice, so coefficients compare
//! with the paper's in kind, not digit for digit. The other families are the usual toy shapes of
//! generative modeling with the constants of the contrastive energy prediction experiments (arXiv
//! 2304.12824): at its standard context each is the textbook shape, at others a relative of it.
//!
//! Draws come from [`Xoshiro256PlusPlus`], one of the generators whose stream `rand` guarantees,
//! and the conversions to uniform and normal numbers are done here: one seed gives one data set
//! with every version of `rand`, up to the last bit of the platform's `ln`, `sin` and `cos`.

mod checkerboard;
pub(super) mod curve;
mod eight_gaussians;
pub mod histogram;
pub(super) mod moons;
mod pinwheel;
pub(super) mod rings;
mod spiral;
pub(super) mod two_spirals;

use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::math::uniform;
pub use checkerboard::Checkerboard;
pub use eight_gaussians::EightGaussians;
pub use moons::Moons;
pub use pinwheel::Pinwheel;
pub use rings::Rings;
pub use spiral::Spiral;
pub use two_spirals::TwoSpirals;

/// A family of densities over the plane, indexed by one context number in `[-1, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Density {
    /// [`Pinwheel`] of 3 to 6 arms, `x = (arms - 4.5) / 1.5`.
    #[default]
    Pinwheel,
    /// Single-arm [`Spiral`] of length 0.5 to 1.5, `x = 2 (length - 1)`.
    Spiral,
    /// [`EightGaussians`] on a circle, turned by `x pi / 8`.
    EightGaussians,
    /// [`Checkerboard`] of 2, 4, 6 or 8 cells a side, `x = (cells - 5) / 3`.
    Checkerboard,
    /// One to four [`Rings`], `x = (count - 2.5) / 1.5`.
    Rings,
    /// Two [`Moons`] with a gap of -0.25 to 0.25, `x = 4 gap`.
    Moons,
    /// [`TwoSpirals`] of length 0.5 to 1.5, `x = 2 (length - 1)`.
    TwoSpirals,
}

/// One member of a family: `p(y | x)` for a fixed `x`, with everything prepared that does not
/// depend on `y`.
#[derive(Clone, Debug)]
pub enum Conditional {
    /// A pinwheel with its number of arms.
    Pinwheel(Pinwheel),
    /// A spiral with its length.
    Spiral(Spiral),
    /// Eight Gaussians with their angle.
    EightGaussians(EightGaussians),
    /// A checkerboard with its number of cells.
    Checkerboard(Checkerboard),
    /// Rings with their number.
    Rings(Rings),
    /// Moons with their gap.
    Moons(Moons),
    /// Two spirals with their length.
    TwoSpirals(TwoSpirals),
}

/// A density on the centers of a square grid over `[-half_width, half_width]^2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Half the side of the square, in the units of `y`.
    pub half_width: f64,
    /// Cells along each side.
    pub cells: usize,
    /// `[cells, cells]`, columns along `y[0]` and rows along `y[1]`, both ascending; integrates to
    /// 1 over the square.
    pub values: Vec<f64>,
}

impl Grid {
    /// The area of one cell.
    pub fn cell_area(&self) -> f64 {
        histogram::cell_area(self.half_width, self.cells)
    }
}

/// The name of no [`Density`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown density `{0}`; known are {all}", all = Density::ALL.map(Density::name).join(", "))]
pub struct UnknownDensity(pub String);

impl Density {
    /// Every family.
    pub const ALL: [Density; 7] = [
        Density::Pinwheel,
        Density::Spiral,
        Density::EightGaussians,
        Density::Checkerboard,
        Density::Rings,
        Density::Moons,
        Density::TwoSpirals,
    ];

    /// The lower-case name, as in serde and [`FromStr`].
    pub fn name(self) -> &'static str {
        match self {
            Density::Pinwheel => "pinwheel",
            Density::Spiral => "spiral",
            Density::EightGaussians => "eight_gaussians",
            Density::Checkerboard => "checkerboard",
            Density::Rings => "rings",
            Density::Moons => "moons",
            Density::TwoSpirals => "two_spirals",
        }
    }

    /// The contexts to evaluate at: 3, 4, 5 and 6 arms; spirals of length 0.5, 0.75, 1, 1.25 and
    /// 1.5; Gaussians turned by -22.5, -11.25, 0 and 11.25 degrees; 2, 4, 6 and 8 cells; 1 to 4
    /// rings; gaps from -0.25 to 0.25.
    pub fn contexts(self) -> &'static [f32] {
        match self {
            Density::Pinwheel | Density::Checkerboard | Density::Rings => &[-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0],
            Density::Spiral | Density::Moons | Density::TwoSpirals => &[-1.0, -0.5, 0.0, 0.5, 1.0],
            // A turn by an eighth of a circle, from -1 to 1, is the same shape.
            Density::EightGaussians => &[-1.0, -0.5, 0.0, 0.5],
        }
    }

    /// The context of the textbook shape, one of [`Density::contexts`]: 5 arms, length 1, no turn,
    /// 4 cells a side, 4 rings, no gap. Unconditional data are drawn there.
    pub fn standard_context(self) -> f32 {
        match self {
            Density::Pinwheel => 1.0 / 3.0,
            Density::Checkerboard => -1.0 / 3.0,
            Density::Rings => 1.0,
            Density::Spiral | Density::EightGaussians | Density::Moons | Density::TwoSpirals => 0.0,
        }
    }

    /// What a context means, for captions: "5 arms", "length 1.25".
    pub fn label(self, context: f32) -> String {
        match self.conditional(context.into()) {
            Conditional::Pinwheel(pinwheel) => format!("{} arms", pinwheel.arms()),
            Conditional::Spiral(spiral) => format!("length {:.2}", spiral.length()),
            Conditional::EightGaussians(eight) => format!("turn {:.2}", eight.angle()),
            Conditional::Checkerboard(board) => format!("{} cells", board.cells()),
            Conditional::Rings(rings) if rings.count() == 1 => "1 ring".into(),
            Conditional::Rings(rings) => format!("{} rings", rings.count()),
            Conditional::Moons(moons) => format!("gap {:.3}", moons.gap()),
            Conditional::TwoSpirals(spirals) => format!("length {:.2}", spirals.length()),
        }
    }

    /// Half the side of the square to evaluate on; all but less than one part in a million of the
    /// mass lies inside.
    pub fn half_width(self) -> f64 {
        match self {
            Density::Pinwheel => 3.0,
            Density::Spiral | Density::TwoSpirals => 5.5,
            Density::EightGaussians => 5.0,
            // Every border of every board lies between two cells of the grid, and of one half as
            // fine.
            Density::Checkerboard => 16.0 / 3.0,
            Density::Rings => 3.5,
            Density::Moons => 4.25,
        }
    }

    /// Cells along each side of the evaluation grid, fine enough for the thinnest mode.
    pub fn cells(self) -> usize {
        match self {
            Density::Pinwheel | Density::EightGaussians | Density::Checkerboard | Density::Moons => 128,
            Density::Spiral | Density::Rings | Density::TwoSpirals => 256,
        }
    }

    /// The member at `context`; one outside the family is replaced by the nearest member.
    pub fn conditional(self, context: f64) -> Conditional {
        match self {
            Density::Pinwheel => Conditional::Pinwheel(Pinwheel::at(context)),
            Density::Spiral => Conditional::Spiral(Spiral::at(context)),
            Density::EightGaussians => Conditional::EightGaussians(EightGaussians::at(context)),
            Density::Checkerboard => Conditional::Checkerboard(Checkerboard::at(context)),
            Density::Rings => Conditional::Rings(Rings::at(context)),
            Density::Moons => Conditional::Moons(Moons::at(context)),
            Density::TwoSpirals => Conditional::TwoSpirals(TwoSpirals::at(context)),
        }
    }

    /// `log p(y | x)` in nats. For many `y` at one context, keep the [`Density::conditional`].
    pub fn log_density(self, context: f64, y: [f64; 2]) -> f64 {
        self.conditional(context).log_density(y)
    }

    /// `count` draws of `y` at one context, `[count, 2]`.
    pub fn sample(self, context: f32, count: usize, rng: &mut impl Rng) -> Vec<[f32; 2]> {
        let conditional = self.conditional(context.into());
        (0..count).map(|_| conditional.draw(rng).map(|v| v as f32)).collect()
    }

    /// A data set without contexts: `count` draws of `y` at the standard context, `[count, 2]`.
    /// Equal seeds give equal data.
    pub fn standard_samples(self, count: usize, seed: u64) -> Vec<[f32; 2]> {
        self.sample(self.standard_context(), count, &mut Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A data set: `count` contexts `x`, `[count, 1]`, drawn uniformly over the family (arm counts,
    /// lengths, turns ..), and one `y` for each, `[count, 2]`. Equal seeds give equal data.
    pub fn samples(self, count: usize, seed: u64) -> (Vec<f32>, Vec<[f32; 2]>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..count)
            .map(|_| match self {
                Density::Pinwheel => {
                    let pinwheel = Pinwheel::random(&mut rng);
                    (pinwheel.context(), pinwheel.draw(&mut rng))
                }
                Density::Spiral => {
                    let length = spiral::random_length(&mut rng);
                    (spiral::context_of(length), spiral::draw(length, &mut rng))
                }
                Density::EightGaussians => {
                    let x = random_context(&mut rng);
                    (x, EightGaussians::at(x).draw(&mut rng))
                }
                Density::Checkerboard => {
                    let board = Checkerboard::random(&mut rng);
                    (board.context(), board.draw(&mut rng))
                }
                Density::Rings => {
                    let rings = Rings::random(&mut rng);
                    (rings.context(), rings.draw(&mut rng))
                }
                Density::Moons => {
                    let x = random_context(&mut rng);
                    (x, moons::draw(moons::gap_of(x), &mut rng))
                }
                Density::TwoSpirals => {
                    let x = random_context(&mut rng);
                    (x, two_spirals::draw(two_spirals::length_of(x), &mut rng))
                }
            })
            .map(|(x, y)| (x as f32, y.map(|v| v as f32)))
            .unzip()
    }

    /// The exact density on the evaluation grid ([`Density::half_width`], [`Density::cells`]).
    pub fn grid(self, context: f64) -> Grid {
        let (half_width, cells) = (self.half_width(), self.cells());
        let conditional = self.conditional(context);
        let log_values: Vec<f64> =
            histogram::cell_centers(half_width, cells).map(|y| conditional.log_density(y)).collect();
        let area = histogram::cell_area(half_width, cells);
        Grid { half_width, cells, values: histogram::normalize_log_density(&log_values, area) }
    }
}

impl Conditional {
    /// `log p(y | x)` in nats; `-inf` where the density is zero in `f64`.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        match self {
            Conditional::Pinwheel(pinwheel) => pinwheel.log_density(y),
            Conditional::Spiral(spiral) => spiral.log_density(y),
            Conditional::EightGaussians(eight) => eight.log_density(y),
            Conditional::Checkerboard(board) => board.log_density(y),
            Conditional::Rings(rings) => rings.log_density(y),
            Conditional::Moons(moons) => moons.log_density(y),
            Conditional::TwoSpirals(spirals) => spirals.log_density(y),
        }
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        match self {
            Conditional::Pinwheel(pinwheel) => pinwheel.draw(rng),
            Conditional::Spiral(spiral) => spiral::draw(spiral.length(), rng),
            Conditional::EightGaussians(eight) => eight.draw(rng),
            Conditional::Checkerboard(board) => board.draw(rng),
            Conditional::Rings(rings) => rings.draw(rng),
            Conditional::Moons(moons) => moons::draw(moons.gap(), rng),
            Conditional::TwoSpirals(spirals) => two_spirals::draw(spirals.length(), rng),
        }
    }
}

impl fmt::Display for Density {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Density {
    type Err = UnknownDensity;

    fn from_str(name: &str) -> Result<Self, UnknownDensity> {
        Density::ALL
            .into_iter()
            .find(|density| density.name() == name)
            .ok_or_else(|| UnknownDensity(name.to_owned()))
    }
}

/// A uniformly drawn context of a family without gaps.
fn random_context(rng: &mut impl Rng) -> f64 {
    2.0 * uniform(rng) - 1.0
}

#[cfg(test)]
mod tests;
