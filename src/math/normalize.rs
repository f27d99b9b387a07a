//! How normalizers are fitted to data.

use serde::{Deserialize, Serialize};

use crate::nn::Normalizer;

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
}

impl Normalize {
    /// Fits a normalizer to the columns of rows of `width` numbers, with means and deviations in
    /// f64; row `at` counts as `weight(at)`. A column of one value keeps its scale.
    pub fn fit(self, values: &[f32], width: usize, weight: impl Fn(usize) -> f64) -> Normalizer {
        let Normalize::Standard { deviation } = self else { return Normalizer::identity(width) };
        let total: f64 = (0..values.len() / width.max(1)).map(&weight).sum();
        let mut normalizer = Normalizer::identity(width);
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
            if drawn().all(|value| value == first) {
                normalizer.shift[column] = first as f32;
                continue;
            }
            normalizer.shift[column] = mean as f32;
            let scale = (deviation / variance.sqrt()) as f32;
            if scale.is_normal() {
                normalizer.scale[column] = scale;
            }
        }
        normalizer
    }
}
