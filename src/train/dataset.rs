//! Data sets: contexts and actions, checked, with fitted normalisers.

use serde::{Deserialize, Serialize};

use crate::gpu::{Bindings, DType, Gpu, Recording, Tensor, Value};
use crate::nn::Affine;
use crate::{Error, Result};

/// How a normaliser is fitted to the columns of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Normalise {
    /// Leave the data as it is.
    Identity,
    /// Mean 0 and standard deviation `deviation` per column. Thin modes want more than 1: what is finest in the data should
    /// not be far below 1 after scaling.
    Standard {
        /// Standard deviation after scaling.
        deviation: f64,
    },
}

/// Pairs of a context `x` and an action `y`, in data units, on the host.
#[derive(Clone, Debug)]
pub struct Dataset {
    x: Vec<f32>,
    y: Vec<f32>,
    x_width: usize,
    y_width: usize,
}

impl Dataset {
    /// A data set from rows of `x_width` and `y_width` numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if the row counts differ or are zero; [`Error::Argument`] naming the first value that is not
    /// finite.
    pub fn new(x: Vec<f32>, x_width: usize, y: Vec<f32>, y_width: usize) -> Result<Self> {
        let whole =
            x_width > 0 && y_width > 0 && x.len().is_multiple_of(x_width) && y.len().is_multiple_of(y_width);
        if !whole || x.is_empty() || x.len() / x_width.max(1) != y.len() / y_width.max(1) {
            return Err(Error::shape(
                "data set",
                "y",
                format!("{} numbers in rows of {y_width}", y.len()),
                format!("as many rows as x ({} numbers in rows of {x_width}), at least one", x.len()),
                "give one action per context",
            ));
        }
        for (name, values, width) in [("x", &x, x_width), ("y", &y, y_width)] {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let problem = format!(
                    "is {} in row {}, column {}; data must be finite",
                    values[at],
                    at / width,
                    at % width
                );
                return Err(Error::argument("data set", name, problem));
            }
        }
        Ok(Self { x, y, x_width, y_width })
    }

    /// Number of pairs.
    pub fn rows(&self) -> usize {
        self.x.len() / self.x_width
    }
    /// Numbers per context.
    pub fn x_width(&self) -> usize {
        self.x_width
    }
    /// Numbers per action.
    pub fn y_width(&self) -> usize {
        self.y_width
    }
    /// The contexts, row by row.
    pub fn x(&self) -> &[f32] {
        &self.x
    }
    /// The actions, row by row.
    pub fn y(&self) -> &[f32] {
        &self.y
    }

    /// A normaliser for the contexts.
    pub fn fit_x(&self, how: Normalise) -> Affine {
        fit(&self.x, self.x_width, how)
    }

    /// A normaliser for the actions.
    pub fn fit_y(&self, how: Normalise) -> Affine {
        fit(&self.y, self.y_width, how)
    }

    /// A number that tells data sets apart: FNV-1a over widths and bits.
    pub fn fingerprint(&self) -> u64 {
        let sizes = [self.x_width as u32, self.y_width as u32];
        let words = sizes.into_iter().chain(self.x.iter().chain(&self.y).map(|value| value.to_bits()));
        words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    pub(crate) fn upload(&self, gpu: &Gpu) -> Result<DeviceData> {
        let rows = self.rows();
        Ok(DeviceData {
            x: Tensor::from_slice(gpu, "data/x", [rows, self.x_width], &self.x)?,
            y: Tensor::from_slice(gpu, "data/y", [rows, self.y_width], &self.y)?,
        })
    }
}

/// A data set on a device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceData {
    x: Tensor,
    y: Tensor,
}

impl DeviceData {
    pub(crate) fn values(&self, recording: &mut Recording) -> Result<(Value, Value)> {
        let x = recording.slot(self.x.label(), DType::F32, self.x.shape().clone())?;
        let y = recording.slot(self.y.label(), DType::F32, self.y.shape().clone())?;
        Ok((x, y))
    }

    pub(crate) fn bindings(&self) -> Bindings {
        Bindings::new().with(self.x.label(), &self.x).with(self.y.label(), &self.y)
    }
}

/// Means and deviations in f64. A column that does not vary keeps its scale.
fn fit(values: &[f32], width: usize, how: Normalise) -> Affine {
    let Normalise::Standard { deviation } = how else { return Affine::identity(width) };
    let rows = (values.len() / width) as f64;
    let mut affine = Affine::identity(width);
    for column in 0..width {
        let of_column = || values.iter().skip(column).step_by(width).map(|&value| f64::from(value));
        let mean = of_column().sum::<f64>() / rows;
        let variance = of_column().map(|value| (value - mean).powi(2)).sum::<f64>() / rows;
        affine.shift[column] = mean as f32;
        let scale = (deviation / variance.sqrt()) as f32;
        if scale.is_normal() {
            affine.scale[column] = scale;
        }
    }
    affine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisers_have_the_asked_deviation() {
        let y = vec![1.0, 5.0, 3.0, 5.0, 5.0, 5.0];
        let data = Dataset::new(vec![0.0; 3], 1, y, 2).unwrap();
        let affine = data.fit_y(Normalise::Standard { deviation: 2.0 });
        assert_eq!(affine.shift, [3.0, 5.0]);
        assert!((affine.scale[0] - 2.0 / (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!(affine.scale[1], 1.0);
    }

    #[test]
    fn bad_data_is_named() {
        let error = Dataset::new(vec![0.0; 2], 1, vec![0.0, 1.0, 2.0, f32::NAN], 2).unwrap_err();
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
        assert!(Dataset::new(vec![0.0; 2], 1, vec![0.0; 6], 2).is_err());
        assert!(Dataset::new(Vec::new(), 1, Vec::new(), 2).is_err());
        assert!(Dataset::new(vec![1.0], 0, vec![1.0], 1).is_err());
    }
}
