//! Two-dimensional conditional densities `p(y | x)` with one context number `x` and an exact value everywhere.
//!
//! The benchmark of arXiv 2309.05803 trains on two such families but does not publish their constants; the ones here
//! are this crate's own choice, so coefficients compare with the paper's in kind, not digit for digit.
//!
//! Draws come from [`Xoshiro256PlusPlus`], one of the generators whose stream `rand` guarantees, and the conversions to
//! uniform and normal numbers are done here: one seed gives one data set with every version of `rand`, up to the last
//! bit of the platform's `ln`, `sin` and `cos`.

pub mod measure;
mod pinwheel;
mod spiral;

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

pub use pinwheel::Pinwheel;
pub use spiral::Spiral;

/// A family of densities over the plane, indexed by one context number in `[-1, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Density {
    /// [`Pinwheel`] of 3 to 6 arms, `x = (arms - 4.5) / 1.5`.
    #[default]
    Pinwheel,
    /// Single-arm [`Spiral`] of length 0.5 to 1.5, `x = 2 (length - 1)`.
    Spiral,
}

/// One member of a family: `p(y | x)` for a fixed `x`, with everything prepared that does not depend on `y`.
#[derive(Clone, Debug)]
pub enum Conditional {
    /// A pinwheel with its number of arms.
    Pinwheel(Pinwheel),
    /// A spiral with its length.
    Spiral(Spiral),
}

/// A density on the centres of a square grid over `[-half_width, half_width]^2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Half the side of the square, in the units of `y`.
    pub half_width: f64,
    /// Cells along each side.
    pub cells: usize,
    /// `[cells, cells]`, columns along `y[0]` and rows along `y[1]`, both ascending; integrates to 1 over the square.
    pub values: Vec<f64>,
}

impl Grid {
    /// The area of one cell.
    pub fn cell_area(&self) -> f64 {
        measure::cell_area(self.half_width, self.cells)
    }
}

/// The name of no [`Density`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown density `{0}`; known are `pinwheel` and `spiral`")]
pub struct UnknownDensity(pub String);

impl Density {
    /// Every family.
    pub const ALL: [Density; 2] = [Density::Pinwheel, Density::Spiral];

    /// The lower-case name, as in serde and [`FromStr`].
    pub fn name(self) -> &'static str {
        match self {
            Density::Pinwheel => "pinwheel",
            Density::Spiral => "spiral",
        }
    }

    /// The contexts to evaluate at: 3, 4, 5 and 6 arms; lengths 0.5, 0.75, 1, 1.25 and 1.5.
    pub fn contexts(self) -> &'static [f32] {
        match self {
            Density::Pinwheel => &[-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0],
            Density::Spiral => &[-1.0, -0.5, 0.0, 0.5, 1.0],
        }
    }

    /// What a context means, for captions: "5 arms", "length 1.25".
    pub fn label(self, context: f32) -> String {
        match self.conditional(context.into()) {
            Conditional::Pinwheel(pinwheel) => format!("{} arms", pinwheel.arms()),
            Conditional::Spiral(spiral) => format!("length {:.2}", spiral.length()),
        }
    }

    /// Half the side of the square to evaluate on; all but less than one part in a million of the mass lies inside.
    pub fn half_width(self) -> f64 {
        match self {
            Density::Pinwheel => 3.0,
            Density::Spiral => 5.5,
        }
    }

    /// Cells along each side of the evaluation grid, fine enough for the thinnest mode.
    pub fn cells(self) -> usize {
        match self {
            Density::Pinwheel => 128,
            Density::Spiral => 256,
        }
    }

    /// The member at `context`; one outside the family is replaced by the nearest member.
    pub fn conditional(self, context: f64) -> Conditional {
        match self {
            Density::Pinwheel => Conditional::Pinwheel(Pinwheel::at(context)),
            Density::Spiral => Conditional::Spiral(Spiral::at(context)),
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

    /// A data set: `count` contexts `x`, `[count, 1]`, drawn uniformly over the family (arm counts, or lengths), and
    /// one `y` for each, `[count, 2]`. Equal seeds give equal data.
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
            })
            .map(|(x, y)| (x as f32, y.map(|v| v as f32)))
            .unzip()
    }

    /// The exact density on the evaluation grid ([`Density::half_width`], [`Density::cells`]).
    pub fn grid(self, context: f64) -> Grid {
        let (half_width, cells) = (self.half_width(), self.cells());
        let conditional = self.conditional(context);
        let log_values: Vec<f64> =
            measure::cell_centres(half_width, cells).map(|y| conditional.log_density(y)).collect();
        let area = measure::cell_area(half_width, cells);
        Grid { half_width, cells, values: measure::normalise_log_density(&log_values, area) }
    }
}

impl Conditional {
    /// `log p(y | x)` in nats; `-inf` where the density is zero in `f64`.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        match self {
            Conditional::Pinwheel(pinwheel) => pinwheel.log_density(y),
            Conditional::Spiral(spiral) => spiral.log_density(y),
        }
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        match self {
            Conditional::Pinwheel(pinwheel) => pinwheel.draw(rng),
            Conditional::Spiral(spiral) => spiral::draw(spiral.length(), rng),
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

/// Uniform in the open interval (0, 1); 52 bits, because with 53 the half step would round up to 1.
fn uniform(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

/// Two independent standard normal numbers (Box-Muller).
fn normal_pair(rng: &mut impl Rng) -> [f64; 2] {
    let radius = (-2.0 * uniform(rng).ln()).sqrt();
    let (sin, cos) = (TAU * uniform(rng)).sin_cos();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests;
