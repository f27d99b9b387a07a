//! Comparators of device results with f64 references, and error bounds for them.
//!
//! An unusable bound (NaN, negative, infinite), a non-finite value on either side and an empty
//! comparison are failures: no wrong answer passes because something else is wrong too.

use std::fmt;

/// Unit of the error bounds: the spacing of f32 at 1.
const EPSILON: f64 = f32::EPSILON as f64;

/// Added to every summed bound: terms below the smallest normal f32 may be flushed to zero.
const TINY: f64 = 1e-30;

/// Largest difference allowed at an element.
pub trait Tolerance {
    /// Bound at `index`, `None` if there is none for it.
    fn at(&self, index: usize, expected: f64) -> Option<f64>;
}

impl<F: Fn(usize) -> f64> Tolerance for F {
    fn at(&self, index: usize, _expected: f64) -> Option<f64> {
        Some(self(index))
    }
}

impl Tolerance for &[f64] {
    fn at(&self, index: usize, _expected: f64) -> Option<f64> {
        self.get(index).copied()
    }
}

/// Common bounds. A bound follows the operation, not the result that happened to come out:
///
/// * sums of products (matrix products, reductions, means): [`Bound::sum`] with the sum of the
///   ABSOLUTE terms of each element, which cancellation does not shrink, and the number of terms;
/// * one correctly rounded operation per element, or a few: [`Bound::relative`] with that many
///   times `2^-23`; an absolute part for results near zero that come from larger numbers;
/// * functions such as `exp`, whose error grows with the argument: a closure of the index, or
///   [`Bound::Each`];
/// * copies, choices and integers: `|_| 0.0`, or [`compare_words`].
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// One bound per element.
    Each(Vec<f64>),
    /// `rel |expected| + abs`
    Relative {
        /// Factor on the expected value.
        rel: f64,
        /// Absolute part.
        abs: f64,
    },
}

impl Bound {
    /// For f32 sums of `terms` products: `eps (sqrt(terms) + 4) magnitude + tiny`, `eps = 2^-23`.
    /// `magnitudes` holds the sum of the absolute terms per element.
    pub fn sum(magnitudes: &[f64], terms: usize) -> Self {
        let factor = EPSILON * ((terms as f64).sqrt() + 4.0);
        Self::Each(magnitudes.iter().map(|magnitude| factor * magnitude + TINY).collect())
    }

    /// `rel |expected| + abs`
    pub fn relative(rel: f64, abs: f64) -> Self {
        Self::Relative { rel, abs }
    }

    /// The same bound times `factor`, for operations less exact than a sum.
    pub fn scaled(self, factor: f64) -> Self {
        match self {
            Self::Each(bounds) => Self::Each(bounds.into_iter().map(|bound| bound * factor).collect()),
            Self::Relative { rel, abs } => Self::Relative { rel: rel * factor, abs: abs * factor },
        }
    }

    /// The same bound plus an absolute part.
    pub fn plus(self, extra: f64) -> Self {
        match self {
            Self::Each(bounds) => Self::Each(bounds.into_iter().map(|bound| bound + extra).collect()),
            Self::Relative { rel, abs } => Self::Relative { rel, abs: abs + extra },
        }
    }
}

impl Tolerance for Bound {
    fn at(&self, index: usize, expected: f64) -> Option<f64> {
        match self {
            Self::Each(bounds) => bounds.get(index).copied(),
            Self::Relative { rel, abs } => Some(rel * expected.abs() + abs),
        }
    }
}

impl Tolerance for &Bound {
    fn at(&self, index: usize, expected: f64) -> Option<f64> {
        Bound::at(self, index, expected)
    }
}

/// One element out of bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Flat index.
    pub index: usize,
    /// Device result.
    pub found: f64,
    /// Reference.
    pub expected: f64,
    /// Largest difference allowed; NaN where the bound is missing.
    pub bound: f64,
}

/// Why a comparison failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// Lengths differ; nothing was compared.
    Length {
        /// Elements of the device result.
        found: usize,
        /// Elements of the reference.
        expected: usize,
    },
    /// Both sides are empty.
    Empty,
    /// Elements differ by more than their bound.
    Values {
        /// Elements out of bounds.
        failures: usize,
        /// Elements compared.
        total: usize,
        /// Elements of the device result that are NaN or infinite.
        non_finite: usize,
        /// Elements whose reference or bound is unusable: the test is wrong, whatever the device
        /// did.
        unusable: usize,
        /// Out of bounds at the lowest index.
        first: Deviation,
        /// Out of bounds by the largest multiple of its bound; a non-finite value counts as the
        /// worst.
        worst: Deviation,
    },
    /// Words differ.
    Words {
        /// Words that differ.
        failures: usize,
        /// Words compared.
        total: usize,
        /// First index that differs.
        index: usize,
        /// Device result there.
        found: u32,
        /// Reference there.
        expected: u32,
    },
}

impl Deviation {
    fn difference(&self) -> f64 {
        (self.found - self.expected).abs()
    }

    fn severity(&self) -> f64 {
        let ratio = self.difference() / self.bound;
        if ratio.is_nan() { f64::INFINITY } else { ratio }
    }

    /// The reference or the bound cannot be compared with.
    fn unusable(&self) -> bool {
        !(self.expected.is_finite() && self.bound.is_finite() && self.bound >= 0.0)
    }
}

/// Checks `|found - expected| <= bound` at every element.
///
/// # Errors
/// [`Mismatch`] if any element fails, any value is not finite, lengths differ or there is nothing
/// to compare.
pub fn compare(found: &[f32], expected: &[f64], bound: impl Tolerance) -> Result<(), Mismatch> {
    check_lengths(found.len(), expected.len())?;
    let mut failures = 0;
    let mut non_finite = 0;
    let mut unusable = 0;
    let mut extremes: Option<(Deviation, Deviation)> = None;
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let bound = bound.at(index, expected).unwrap_or(f64::NAN);
        let element = Deviation { index, found: f64::from(found), expected, bound };
        non_finite += usize::from(!found.is_finite());
        unusable += usize::from(element.unusable());
        if found.is_finite() && !element.unusable() && element.difference() <= bound {
            continue;
        }
        failures += 1;
        let (_, worst) = extremes.get_or_insert((element, element));
        if element.severity() > worst.severity() {
            *worst = element;
        }
    }
    match extremes {
        None => Ok(()),
        Some((first, worst)) => {
            Err(Mismatch::Values { failures, total: expected.len(), non_finite, unusable, first, worst })
        }
    }
}

/// Checks that all words are equal.
///
/// # Errors
/// [`Mismatch`] if any word differs, lengths differ or there is nothing to compare.
pub fn compare_words(found: &[u32], expected: &[u32]) -> Result<(), Mismatch> {
    check_lengths(found.len(), expected.len())?;
    let differs = |&index: &usize| found[index] != expected[index];
    match (0..expected.len()).find(differs) {
        None => Ok(()),
        Some(index) => Err(Mismatch::Words {
            failures: (0..expected.len()).filter(differs).count(),
            total: expected.len(),
            index,
            found: found[index],
            expected: expected[index],
        }),
    }
}

fn check_lengths(found: usize, expected: usize) -> Result<(), Mismatch> {
    if found != expected {
        return Err(Mismatch::Length { found, expected });
    }
    if expected == 0 {
        return Err(Mismatch::Empty);
    }
    Ok(())
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, found, expected, bound } = self;
        write!(f, "index {index}: found {found:.9e}, expected {expected:.9e}, ")?;
        write!(f, "difference {:.3e}, bound {bound:.3e}", self.difference())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found, expected } => {
                write!(f, "length differs: found {found} elements, expected {expected}; nothing was compared")
            }
            Self::Empty => write!(f, "nothing to compare: both sides are empty"),
            Self::Values { failures, total, non_finite, unusable, first, worst } => {
                write!(f, "{failures} of {total} elements out of bounds")?;
                if *non_finite > 0 {
                    write!(f, "; {non_finite} found values are NaN or infinite")?;
                }
                if *unusable > 0 {
                    write!(f, "; {unusable} references or bounds are unusable (check the test)")?;
                }
                write!(f, "\n  first {first}\n  worst {worst}")
            }
            Self::Words { failures, total, index, found, expected } => {
                write!(f, "{failures} of {total} words differ\n  first index {index}: ")?;
                write!(f, "found {found:#010x}, expected {expected:#010x}")
            }
        }
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests;
