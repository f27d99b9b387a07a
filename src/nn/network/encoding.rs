//! How a normalized input enters the first layer: as it is, or as Fourier features.

use std::f64::consts::TAU;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a normalized input `u` (see [`crate::nn::Normalizer`]) enters the first layer. Part of a
/// network's description, so it travels in the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is: one column per dimension.
    #[default]
    Raw,
    /// As cosines and sines of fixed projections.
    Fourier(Fourier),
}

/// What an encoded row holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FourierColumns {
    /// The cosines and sines alone.
    #[default]
    Features,
    /// The cosines and sines, then `u` itself.
    FeaturesAndInput,
}

/// Fourier features of a normalized input `u` of `width` numbers (arXiv 2006.10739, equation 5):
/// columns `2 j` and `2 j + 1` are `cos(2 pi sum_i u_i B_ij)` and `sin(2 pi sum_i u_i B_ij)`.
///
/// Phases are taken modulo one turn before they are rounded, so that features keep their accuracy
/// at any frequency: 5e-7 at the `f32` numbers `u` and `B`
/// (`shaders/nn/passes/fourier_features.wgsl`). A subnormal `u` or `B` counts as 0. The
/// normalizer's own rounding is multiplied by the frequency: high frequencies want an input that
/// needs no normalizer, as a time in 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fourier {
    /// `B`, `[width, count]` row by row, in turns per unit of `u`.
    pub frequencies: Vec<f32>,
    /// Columns of `B`.
    pub count: usize,
    /// What an encoded row holds.
    #[serde(default)]
    pub columns: FourierColumns,
}

impl Fourier {
    /// Features of given frequencies, for an input of one number.
    pub fn new(frequencies: Vec<f32>) -> Self {
        let count = frequencies.len();
        Self { frequencies, count, columns: FourierColumns::default() }
    }

    /// `count` frequencies in equal steps from `lowest` to `highest`, for an input of one number.
    pub fn linear(lowest: f32, highest: f32, count: usize) -> Self {
        Self::spaced(count, |part| (1.0 - part).mul_add(f64::from(lowest), part * f64::from(highest)))
    }

    /// `count` frequencies in equal ratios from `lowest` to `highest`, both positive, for an input
    /// of one number.
    pub fn geometric(lowest: f32, highest: f32, count: usize) -> Self {
        let (low, high) = (f64::from(lowest).ln(), f64::from(highest).ln());
        Self::spaced(count, |part| (1.0 - part).mul_add(low, part * high).exp())
    }

    fn spaced(count: usize, frequency: impl Fn(f64) -> f64) -> Self {
        let steps = count.saturating_sub(1).max(1) as f64;
        Self::new((0..count).map(|at| frequency(at as f64 / steps) as f32).collect())
    }

    /// `count` random frequencies for an input of `width` numbers: `B_ij` normal with mean 0 and
    /// standard deviation `std`, in turns per unit of `u`. Drawn on the host, the same for the same
    /// seed.
    pub fn gaussian(width: usize, count: usize, std: f32, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut normal = || {
            let (u, v): (f64, f64) = (rng.random(), rng.random());
            // 1 - u lies in (0, 1].
            (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
        };
        let frequencies =
            (0..width.saturating_mul(count)).map(|_| (f64::from(std) * normal()) as f32).collect();
        Self { frequencies, count, columns: FourierColumns::default() }
    }

    /// The same features with other columns.
    pub fn with_columns(self, columns: FourierColumns) -> Self {
        Self { columns, ..self }
    }

    /// The same features with the numbers they are made of behind them.
    pub fn with_input(self) -> Self {
        self.with_columns(FourierColumns::FeaturesAndInput)
    }

    /// How many columns of an encoded row hold `u` itself, for an input of `width` numbers.
    pub(crate) fn kept(&self, width: usize) -> usize {
        match self.columns {
            FourierColumns::Features => 0,
            FourierColumns::FeaturesAndInput => width,
        }
    }

    /// Columns of an encoded row, for an input of `width` numbers; saturates.
    pub fn encoded_width(&self, width: usize) -> usize {
        self.count.saturating_mul(2).saturating_add(self.kept(width))
    }

    /// Checks that `B` is finite and `[width, count]` with at least one column.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the entry.
    pub fn check(&self, owner: &str, width: usize) -> Result<()> {
        if self.count == 0 || width.checked_mul(self.count) != Some(self.frequencies.len()) {
            let problem = format!(
                "has {} numbers for {width} dimensions and {} features; it needs one for each pair, and at least one feature",
                self.frequencies.len(),
                self.count
            );
            return Err(Error::argument(owner, "the matrix of frequencies", problem));
        }
        match self.frequencies.iter().position(|frequency| !frequency.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let problem = format!(
                    "has the entry {} in dimension {}, feature {}; it must be finite",
                    self.frequencies[at],
                    at / self.count,
                    at % self.count
                );
                Err(Error::argument(owner, "the matrix of frequencies", problem))
            }
        }
    }
}

impl From<Fourier> for Encoding {
    fn from(fourier: Fourier) -> Self {
        Encoding::Fourier(fourier)
    }
}

impl Encoding {
    /// Columns of an encoded row, for an input of `width` numbers.
    pub fn encoded_width(&self, width: usize) -> usize {
        match self {
            Encoding::Raw => width,
            Encoding::Fourier(fourier) => fourier.encoded_width(width),
        }
    }

    /// Checks the encoding of an input of `width` numbers.
    ///
    /// # Errors
    /// As [`Fourier::check`].
    pub fn check(&self, owner: &str, width: usize) -> Result<()> {
        match self {
            Encoding::Raw => Ok(()),
            Encoding::Fourier(fourier) => fourier.check(owner, width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_by_hand() {
        assert_eq!(Fourier::linear(1.0, 4.0, 4).frequencies, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Fourier::linear(5.0, 7.0, 1).frequencies, [5.0]);
        let geometric = Fourier::geometric(0.5, 32.0, 7).frequencies;
        for (found, expected) in geometric.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]) {
            assert!((found / expected - 1.0f32).abs() < 1e-6, "{geometric:?}");
        }
        assert!(Fourier::geometric(1.0, 2.0, 0).check("t", 1).is_err());
        assert!(Fourier::geometric(-1.0, 2.0, 3).check("t", 1).is_err());
    }

    #[test]
    fn random_frequencies_have_their_spread_and_seed() {
        let fourier = Fourier::gaussian(3, 1000, 10.0, 1);
        fourier.check("x", 3).unwrap();
        assert!(fourier.check("x", 2).is_err() && fourier.check("x", 0).is_err());
        let values = &fourier.frequencies;
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        // Six standard errors: 10 / sqrt(3000) and 100 sqrt(2 / 3000).
        assert!(mean.abs() < 1.1 && (square - 100.0).abs() < 16.0, "{mean} {square}");
        assert_eq!(fourier, Fourier::gaussian(3, 1000, 10.0, 1));
        assert_ne!(fourier, Fourier::gaussian(3, 1000, 10.0, 2));
    }

    #[test]
    fn absurd_counts_are_refused() {
        let mut fourier = Fourier::new(vec![1.0, 2.0]);
        assert_eq!(fourier.encoded_width(1), 4);
        assert_eq!(fourier.clone().with_columns(FourierColumns::FeaturesAndInput).encoded_width(1), 5);
        fourier.count = usize::MAX;
        assert_eq!(fourier.encoded_width(1), usize::MAX);
        assert!(fourier.check("x", 2).is_err());
        assert!(Fourier::new(vec![f32::NAN]).check("x", 1).is_err());
    }
}
