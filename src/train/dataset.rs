//! Data sets: contexts and actions, checked, with fitted normalisers.

mod csv_file;
mod tensor_file;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use csv_file::CsvColumns;

use super::alias;
use super::draw_batch::Choice;
use super::options::Draw;
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

/// Pairs of a context `x` and an action `y`, in data units, on the host; rows may have weights.
///
/// Data without contexts have a constant one, a single 0 per row ([`Dataset::unconditional`]): the first layer multiplies a
/// context once for all its candidates, so it costs next to nothing, and samplers are given `[0.0]` as the context.
#[derive(Clone, Debug)]
pub struct Dataset {
    x: Vec<f32>,
    y: Vec<f32>,
    x_width: usize,
    y_width: usize,
    weights: Option<Vec<f32>>,
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
        Ok(Self { x, y, x_width, y_width, weights: None })
    }

    /// A data set of actions alone, rows of `width` numbers: to learn `p(y)`.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn unconditional(y: Vec<f32>, width: usize) -> Result<Self> {
        Self::new(vec![0.0; y.len() / width.max(1)], 1, y, width)
    }

    /// The same rows, each drawn with a probability in proportion to its weight; one of weight 0 is never drawn. Normalisers
    /// are then fitted to the rows as they are drawn.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one weight per row; [`Error::Argument`] naming the first that is negative or not
    /// finite, or if all are 0.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self> {
        if weights.len() != self.rows() {
            let expected = format!("[{}]", self.rows());
            let found = format!("[{}]", weights.len());
            return Err(Error::shape("data set", "weight", found, expected, "give one weight per row"));
        }
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            let problem =
                format!("is {} in row {row}; weights must be finite and not negative", weights[row]);
            return Err(Error::argument("data set", "weight", problem));
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err(Error::argument("data set", "weight", "is 0 in every row; nothing could be drawn"));
        }
        Ok(Self { weights: Some(weights), ..self })
    }

    /// Reads a file, by the ending of its name: `.safetensors` ([`Dataset::from_safetensors`]) or `.csv`
    /// ([`Dataset::from_csv`] with the columns of [`CsvColumns::Numbered`]).
    ///
    /// # Errors
    /// [`Error::Data`] for another ending; those of the two readers.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.extension().map(|ending| ending.to_ascii_lowercase()) {
            Some(ending) if ending == "safetensors" => Self::from_safetensors(path),
            Some(ending) if ending == "csv" => Self::from_csv(path, &CsvColumns::default()),
            _ => Err(Error::Data {
                file: path.display().to_string(),
                problem: "its name must end in .safetensors or .csv".into(),
            }),
        }
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

    /// The weights, one per row; none if all rows are drawn alike.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }
    /// Whether the context is the constant of [`Dataset::unconditional`].
    pub fn is_unconditional(&self) -> bool {
        self.x_width == 1 && self.x.iter().all(|value| value.to_bits() == 0)
    }

    /// What draws rows by weight on the device: per row a threshold and an alias ([`Choice::Weighted`]). None without weights.
    pub fn alias_table(&self) -> Option<Vec<[u32; 2]>> {
        self.weights.as_deref().map(alias::table)
    }

    /// A normaliser for the contexts. A column that does not vary, as that of unconditional data, keeps its scale.
    pub fn fit_x(&self, how: Normalise) -> Affine {
        self.fit(&self.x, self.x_width, how)
    }

    /// A normaliser for the actions. A column that does not vary keeps its scale.
    pub fn fit_y(&self, how: Normalise) -> Affine {
        self.fit(&self.y, self.y_width, how)
    }

    /// Means and deviations in f64, of the rows as they are drawn.
    fn fit(&self, values: &[f32], width: usize, how: Normalise) -> Affine {
        let Normalise::Standard { deviation } = how else { return Affine::identity(width) };
        let weight = |row: usize| self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[row]));
        let total: f64 = (0..self.rows()).map(weight).sum();
        let mut affine = Affine::identity(width);
        for column in 0..width {
            let of_column = || {
                let values = values.iter().skip(column).step_by(width).map(|&value| f64::from(value));
                values.enumerate().map(|(row, value)| (weight(row), value))
            };
            let mean = of_column().map(|(weight, value)| weight * value).sum::<f64>() / total;
            let variance =
                of_column().map(|(weight, value)| weight * (value - mean).powi(2)).sum::<f64>() / total;
            let drawn = || of_column().filter(|(weight, _)| *weight > 0.0).map(|(_, value)| value);
            let first = drawn().next().unwrap_or(mean);
            if drawn().all(|value| value == first) {
                affine.shift[column] = first as f32;
                continue;
            }
            affine.shift[column] = mean as f32;
            let scale = (deviation / variance.sqrt()) as f32;
            if scale.is_normal() {
                affine.scale[column] = scale;
            }
        }
        affine
    }

    /// A number that tells data sets apart: FNV-1a over widths and bits, weights included.
    pub fn fingerprint(&self) -> u64 {
        let sizes = [self.x_width as u32, self.y_width as u32];
        let weights = self.weights.iter().flatten();
        let count = self.weights.as_ref().map(|weights| weights.len() as u32);
        let words = sizes
            .into_iter()
            .chain(self.x.iter().chain(&self.y).map(|value| value.to_bits()))
            .chain(count)
            .chain(weights.map(|value| value.to_bits()));
        words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    pub(crate) fn upload(&self, gpu: &Gpu) -> Result<DeviceData> {
        let rows = self.rows();
        Ok(DeviceData {
            x: Tensor::from_slice(gpu, "data/x", [rows, self.x_width], &self.x)?,
            y: Tensor::from_slice(gpu, "data/y", [rows, self.y_width], &self.y)?,
            table: match self.alias_table() {
                Some(table) => Some(Tensor::from_slice(gpu, "data/table", [rows, 2], table.as_flattened())?),
                None => None,
            },
        })
    }
}

/// A data set on a device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceData {
    x: Tensor,
    y: Tensor,
    table: Option<Tensor>,
}

impl DeviceData {
    pub(crate) fn values(&self, recording: &mut Recording) -> Result<(Value, Value)> {
        let x = recording.slot(self.x.label(), DType::F32, self.x.shape().clone())?;
        let y = recording.slot(self.y.label(), DType::F32, self.y.shape().clone())?;
        Ok((x, y))
    }

    /// How a run that draws by `draw` chooses rows. Data with weights are drawn by them.
    pub(crate) fn choice(&self, recording: &mut Recording, draw: Draw) -> Result<Choice> {
        Ok(match (draw, &self.table) {
            (Draw::Epochs, _) => Choice::Epochs,
            (Draw::Replacement, None) => Choice::Replacement,
            (Draw::Replacement, Some(table)) => {
                Choice::Weighted(recording.slot(table.label(), DType::U32, table.shape().clone())?)
            }
        })
    }

    pub(crate) fn bindings(&self) -> Bindings {
        let pairs = [&self.x, &self.y].into_iter().chain(&self.table);
        pairs.fold(Bindings::new(), |all, tensor| all.with(tensor.label(), tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_of_weighted_rows_keeps_its_scale() {
        let weights: Vec<f32> = (0..50).map(|row| 0.1 + 0.37 * (row as f32).sin().abs()).collect();
        for value in [0.3f32, 1.985, -7.7, 1e6] {
            let mut y: Vec<f32> = (0..50).flat_map(|row| [value, row as f32]).collect();
            y[6] = 9.0;
            let mut weights = weights.clone();
            weights[3] = 0.0;
            let data = Dataset::unconditional(y, 2).unwrap().with_weights(weights).unwrap();
            let affine = data.fit_y(Normalise::Standard { deviation: 1.0 });
            assert_eq!((affine.shift[0], affine.scale[0]), (value, 1.0), "row 3 is never drawn");
            assert!(affine.scale[1] < 0.1);
        }
    }

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

    #[test]
    fn unconditional_data_has_a_constant_context_that_keeps_its_scale() {
        let data = Dataset::unconditional(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((data.rows(), data.x_width(), data.x()), (2, 1, &[0.0, 0.0][..]));
        assert!(data.is_unconditional());
        let affine = data.fit_x(Normalise::Standard { deviation: 3.0 });
        assert_eq!((affine.shift, affine.scale), (vec![0.0], vec![1.0]));
        assert!(Dataset::unconditional(vec![1.0; 3], 2).is_err());
        assert!(Dataset::unconditional(vec![1.0; 3], 0).is_err());
        assert!(Dataset::unconditional(Vec::new(), 2).is_err());
        assert!(!Dataset::new(vec![0.0, 1.0], 1, vec![1.0; 2], 1).unwrap().is_unconditional());
    }

    #[test]
    fn weights_are_checked_and_count() {
        let data = || Dataset::unconditional(vec![1.0, 2.0, 4.0], 1).unwrap();
        let refused = |weights: Vec<f32>| data().with_weights(weights).unwrap_err().to_string();
        assert!(refused(vec![1.0; 2]).contains("[2]"));
        assert!(refused(vec![1.0, 2.0, -1.0]).contains("-1 in row 2"));
        assert!(refused(vec![1.0, f32::NAN, 1.0]).contains("row 1"));
        assert!(refused(vec![0.0; 3]).contains("every row"));
        let weighted = data().with_weights(vec![1.0, 0.0, 3.0]).unwrap();
        let other = data().with_weights(vec![1.0, 0.0, 2.0]).unwrap();
        let prints = [data().fingerprint(), weighted.fingerprint(), other.fingerprint()];
        assert!(prints[0] != prints[1] && prints[1] != prints[2] && prints[0] != prints[2]);
        // Like the rows 1, 4, 4, 4.
        let affine = weighted.fit_y(Normalise::Standard { deviation: 1.0 });
        assert_eq!(affine.shift, [3.25]);
        assert!((affine.scale[0] - 1.0 / 1.6875f32.sqrt()).abs() < 1e-6);
    }
}
