//! How normalizers are fitted to data.

use serde::{Deserialize, Serialize};

use crate::nn::Normalizer;
use crate::{Error, Result};

/// How a normalizer is fitted to the columns of a data set. Rows with weights count by them, as
/// they are drawn; a row of weight 0 does not count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Normalize {
    /// Leave the data as it is.
    Identity,
    /// Mean 0 and standard deviation `deviation` per column. Thin modes want more than 1: what is
    /// finest in the data should not be far below 1 after scaling.
    Standard {
        /// Standard deviation after scaling.
        deviation: f64,
    },
    /// Mean 0 per column and one scale for all of them: for columns of one unit, as the
    /// coordinates of a place or the pixels of a picture, whose proportions are to stay.
    Isotropic {
        /// Root mean square, over the columns that vary, of their deviations after scaling.
        deviation: f64,
    },
}

impl Normalize {
    /// Checks its number.
    ///
    /// # Errors
    /// [`Error::Argument`] for a deviation that is not positive and finite.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Standard { deviation } | Self::Isotropic { deviation }
                if !(deviation.is_finite() && deviation > 0.0) =>
            {
                let problem = format!("is {deviation}; it must be positive");
                Err(Error::argument("training", "the normalizer's deviation", problem))
            }
            _ => Ok(()),
        }
    }

    /// Fits a normalizer to the columns of rows of `width` numbers, with means and deviations in
    /// f64; row `at` counts as `weight(at)`. A column of one value keeps its scale; so do all that
    /// share one if none varies.
    pub fn fit(self, values: &[f32], width: usize, weight: impl Fn(usize) -> f64) -> Normalizer {
        let (deviation, shared) = match self {
            Normalize::Identity => return Normalizer::identity(width),
            Normalize::Standard { deviation } => (deviation, false),
            Normalize::Isotropic { deviation } => (deviation, true),
        };
        let total: f64 = (0..values.len() / width.max(1)).map(&weight).sum();
        let mut normalizer = Normalizer::identity(width);
        let mut variances = Vec::with_capacity(width);
        for column in 0..width {
            let of_column = || {
                let values = values.iter().skip(column).step_by(width).map(|&value| f64::from(value));
                values.enumerate().map(|(at, value)| (weight(at), value))
            };
            let mean = of_column().map(|(weight, value)| weight * value).sum::<f64>() / total;
            let variance =
                of_column().map(|(weight, value)| weight * (value - mean).powi(2)).sum::<f64>() / total;
            let drawn = || of_column().filter(|(weight, _)| *weight > 0.0).map(|(_, value)| value);
            let first = drawn().next().unwrap_or(mean);
            let varies = drawn().any(|value| value != first);
            normalizer.shift[column] = (if varies { mean } else { first }) as f32;
            variances.push(if varies { variance } else { 0.0 });
        }
        if shared {
            let varying = variances.iter().filter(|variance| **variance > 0.0).count();
            let mean = variances.iter().sum::<f64>() / varying.max(1) as f64;
            variances.fill(mean);
        }
        for (scale, variance) in normalizer.scale.iter_mut().zip(variances) {
            let fitted = (deviation / variance.sqrt()) as f32;
            if fitted.is_normal() {
                *scale = fitted;
            }
        }
        normalizer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scale_keeps_proportions_and_one_per_column_does_not() {
        // Columns of deviations 3 and 4 and one of none.
        let rows = [2.0f32, 4.0, 7.0, 8.0, -4.0, 7.0];
        let fit = |how: Normalize| how.fit(&rows, 3, |_| 1.0);
        let each = fit(Normalize::Standard { deviation: 6.0 });
        assert_eq!((each.shift, each.scale), (vec![5.0, 0.0, 7.0], vec![2.0, 1.5, 1.0]));
        let one = fit(Normalize::Isotropic { deviation: 10.0 });
        let scale = 10.0 / 12.5f64.sqrt();
        assert_eq!((one.shift, one.scale), (vec![5.0, 0.0, 7.0], vec![scale as f32; 3]));
        let still = Normalize::Isotropic { deviation: 1.0 }.fit(&[3.0, 3.0], 1, |_| 1.0);
        assert_eq!((still.shift, still.scale), (vec![3.0], vec![1.0]));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Normalize::Isotropic { deviation: bad }.check().is_err());
        }
    }

    #[test]
    fn rows_come_back_from_other_units() {
        let normalizer = Normalizer { shift: vec![100.0, -3.0], scale: vec![2.0, 0.125] };
        let rows = [101.0f32, 5.0, 99.5, -3.0];
        assert_eq!(normalizer.normalize(&rows), [2.0, 1.0, -1.0, 0.0]);
        assert_eq!(normalizer.denormalize(&normalizer.normalize(&rows)), rows);
    }
}
