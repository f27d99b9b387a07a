//! Data sets: contexts and actions, checked, with fitted normalizers.

mod csv_file;
mod device_data;
mod tensor_file;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use csv_file::CsvColumns;
pub(super) use device_data::DeviceData;

use super::alias;
use super::alias::AliasEntry;
use crate::math::Normalize;
use crate::nn::Normalizer;
use crate::{Error, Result};

/// Rows of a context `x` and actions `y`, in data units, on the host: one action per row, or
/// several that are compared there (its *support*, [`Dataset::grouped`]). Samples may have
/// energies, rows may have weights, and there may be no contexts.
#[derive(Clone, Debug)]
pub struct Dataset {
    x: Vec<f32>,
    y: Vec<f32>,
    energies: Option<Vec<f32>>,
    /// 0 without contexts.
    x_width: usize,
    y_width: usize,
    support: usize,
    weights: Option<Vec<f32>>,
}

/// What a data set was like: what it takes to use a model of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataDescription {
    /// A number that tells data sets apart, in hexadecimal digits.
    pub fingerprint: String,
    /// Rows.
    pub rows: usize,
    /// Samples per row.
    pub support: usize,
    /// Numbers per context; 0 for data without contexts.
    pub context_width: usize,
    /// Numbers per action.
    pub action_width: usize,
    /// Whether samples have energies.
    pub labeled: bool,
    /// The lowest value of each number of an action, in data units, over the rows that can be
    /// drawn.
    pub low: Vec<f32>,
    /// The highest.
    pub high: Vec<f32>,
}

/// How the numbers of a data set lie on a device.
#[derive(Clone, Copy, Debug)]
pub(in crate::train) struct DataShape {
    pub rows: usize,
    pub x_width: usize,
    pub y_width: usize,
    pub support: usize,
    pub labeled: bool,
}

impl DataShape {
    /// Numbers per sample in memory: its energy stands behind its coordinates.
    pub fn stride(&self) -> usize {
        self.y_width + usize::from(self.labeled)
    }
}

impl Dataset {
    /// A data set from rows of `x_width` and `y_width` numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if the row counts differ or are zero; [`Error::Argument`] naming the first
    /// value that is not finite.
    pub fn new(x: Vec<f32>, x_width: usize, y: Vec<f32>, y_width: usize) -> Result<Self> {
        if x_width == 0 {
            let hint = "data without contexts are made by `Dataset::unconditional`";
            return Err(Error::shape("data set", "x", "rows of 0 numbers", "at least 1", hint));
        }
        Self::grouped(x, x_width, y, y_width, 1)
    }

    /// A data set of actions alone, rows of `width` numbers: to learn `p(y)`.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn unconditional(y: Vec<f32>, width: usize) -> Result<Self> {
        Self::grouped(Vec::new(), 0, y, width, 1)
    }

    /// A data set of rows with `support` actions each, those of one row behind one another. Without
    /// contexts `x` is empty and `x_width` 0.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn grouped(x: Vec<f32>, x_width: usize, y: Vec<f32>, y_width: usize, support: usize) -> Result<Self> {
        let row = y_width.saturating_mul(support);
        let whole = row > 0 && !y.is_empty() && y.len().is_multiple_of(row);
        let rows = y.len() / row.max(1);
        if !whole || rows.checked_mul(x_width) != Some(x.len()) {
            let of_row = if support == 1 { String::new() } else { format!(" ({support} actions)") };
            let expected = match x_width {
                0 => "whole rows, at least one".into(),
                _ => format!("as many rows as x ({} numbers in rows of {x_width}), at least one", x.len()),
            };
            return Err(Error::shape(
                "data set",
                "y",
                format!("{} numbers in rows of {row}{of_row}", y.len()),
                expected,
                if support == 1 {
                    "give one action per context"
                } else {
                    "give every row equally many actions"
                },
            ));
        }
        for (name, values, width) in [("x", &x, x_width), ("y", &y, row)] {
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
        Ok(Self { x, y, energies: None, x_width, y_width, support, weights: None })
    }

    /// The same samples with an energy each, low where samples are wanted, in the order of the
    /// samples.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one energy per sample; [`Error::Argument`] naming the first
    /// that is not finite.
    pub fn with_energies(self, energies: Vec<f32>) -> Result<Self> {
        let samples = self.samples();
        if energies.len() != samples {
            let (found, expected) = (format!("[{}]", energies.len()), format!("[{samples}]"));
            return Err(Error::shape("data set", "energies", found, expected, "give one energy per sample"));
        }
        if let Some(sample) = energies.iter().position(|energy| !energy.is_finite()) {
            let problem = format!("is {} of sample {sample}; energies must be finite", energies[sample]);
            return Err(Error::argument("data set", "energy", problem));
        }
        Ok(Self { energies: Some(energies), ..self })
    }

    /// The same rows, each drawn with a probability in proportion to its weight; one of weight 0 is
    /// never drawn. Normalizers are then fitted to the rows as they are drawn.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one weight per row; [`Error::Argument`] naming the first
    /// that is negative or not finite, or if all are 0.
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

    /// Reads a file, by the ending of its name: `.safetensors` ([`Dataset::from_safetensors`]) or
    /// `.csv` ([`Dataset::from_csv`] with the columns of [`CsvColumns::Numbered`]).
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

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.samples() / self.support
    }
    /// Number of samples, [`Dataset::support`] per row.
    pub fn samples(&self) -> usize {
        self.y.len() / self.y_width
    }
    /// Samples per row.
    pub fn support(&self) -> usize {
        self.support
    }
    /// Numbers per context; 0 without contexts.
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
    /// The energies, one per sample, if there are any.
    pub fn energies(&self) -> Option<&[f32]> {
        self.energies.as_deref()
    }
    /// The weights, one per row; none if all rows are drawn alike.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }
    /// Whether there are no contexts.
    pub fn is_unconditional(&self) -> bool {
        self.x_width == 0
    }

    /// What a checkpoint says of the data.
    pub fn description(&self) -> DataDescription {
        let DataShape { rows, x_width, y_width, support, labeled } = self.shape();
        let (mut low, mut high) = (vec![f32::INFINITY; y_width], vec![f32::NEG_INFINITY; y_width]);
        for (row, samples) in self.y.chunks_exact(y_width * support).enumerate() {
            if self.weights.as_ref().is_some_and(|weights| weights[row] == 0.0) {
                continue;
            }
            for (at, value) in samples.iter().enumerate() {
                let column = at % y_width;
                low[column] = low[column].min(*value);
                high[column] = high[column].max(*value);
            }
        }
        DataDescription {
            fingerprint: format!("{:016x}", self.fingerprint()),
            rows,
            support,
            context_width: x_width,
            action_width: y_width,
            labeled,
            low,
            high,
        }
    }

    pub(super) fn shape(&self) -> DataShape {
        DataShape {
            rows: self.rows(),
            x_width: self.x_width,
            y_width: self.y_width,
            support: self.support,
            labeled: self.energies.is_some(),
        }
    }

    /// What draws rows by weight on the device: an entry per row
    /// ([`super::draw_batch::Choice::Weighted`]). None without weights.
    pub fn alias_table(&self) -> Option<Vec<AliasEntry>> {
        self.weights.as_deref().map(alias::table)
    }

    /// A normalizer for the contexts. A column that does not vary keeps its scale.
    pub fn fit_x(&self, how: Normalize) -> Normalizer {
        self.fit(&self.x, self.x_width, 1, how)
    }

    /// A normalizer for the actions. A column that does not vary keeps its scale.
    pub fn fit_y(&self, how: Normalize) -> Normalizer {
        self.fit(&self.y, self.y_width, self.support, how)
    }

    /// Fitted to the rows as they are drawn; `support` values of a column per row.
    fn fit(&self, values: &[f32], width: usize, support: usize, how: Normalize) -> Normalizer {
        let weight =
            |at: usize| self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[at / support]));
        how.fit(values, width, weight)
    }

    /// A number that tells data sets apart: FNV-1a over widths and bits, energies and weights
    /// included.
    pub fn fingerprint(&self) -> u64 {
        let count = |values: &Option<Vec<f32>>| values.as_ref().map_or(0, Vec::len) as u32;
        let (energies, weights) = (count(&self.energies), count(&self.weights));
        let sizes = [self.x_width as u32, self.y_width as u32, self.support as u32, energies, weights];
        let optional = self.energies.iter().chain(&self.weights).flatten();
        let values = self.x.iter().chain(&self.y).chain(optional).map(|value| value.to_bits());
        sizes.into_iter().chain(values).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        })
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
            let normalizer = data.fit_y(Normalize::Standard { deviation: 1.0 });
            assert_eq!((normalizer.shift[0], normalizer.scale[0]), (value, 1.0), "row 3 is never drawn");
            assert!(normalizer.scale[1] < 0.1);
        }
    }

    #[test]
    fn normalizers_have_the_asked_deviation() {
        let y = vec![1.0, 5.0, 3.0, 5.0, 5.0, 5.0];
        let data = Dataset::new(vec![0.0; 3], 1, y, 2).unwrap();
        let normalizer = data.fit_y(Normalize::Standard { deviation: 2.0 });
        assert_eq!(normalizer.shift, [3.0, 5.0]);
        assert!((normalizer.scale[0] - 2.0 / (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!(normalizer.scale[1], 1.0);
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
    fn unconditional_data_have_no_context() {
        let data = Dataset::unconditional(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((data.rows(), data.x_width(), data.x().len()), (2, 0, 0));
        assert!(data.is_unconditional());
        assert_eq!(data.fit_x(Normalize::Standard { deviation: 3.0 }), Normalizer::identity(0));
        assert!(Dataset::unconditional(vec![1.0; 3], 2).is_err());
        assert!(Dataset::unconditional(vec![1.0; 3], 0).is_err());
        assert!(Dataset::unconditional(Vec::new(), 2).is_err());
        assert!(!Dataset::new(vec![0.0, 0.0], 1, vec![1.0; 2], 1).unwrap().is_unconditional());
    }

    #[test]
    fn groups_and_energies_are_counted() {
        // Two rows of three actions of two numbers.
        let y: Vec<f32> = (0..12).map(|at| at as f32).collect();
        let data = Dataset::grouped(vec![7.0, 8.0], 1, y.clone(), 2, 3).unwrap();
        assert_eq!((data.rows(), data.samples(), data.support(), data.y_width()), (2, 6, 3, 2));
        let error = data.clone().with_energies(vec![0.0; 2]).unwrap_err().to_string();
        assert!(error.contains("[6]"), "{error}");
        let error =
            data.clone().with_energies(vec![0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]).unwrap_err().to_string();
        assert!(error.contains("sample 1"), "{error}");
        let labeled = data.clone().with_energies(vec![0.5; 6]).unwrap();
        assert_eq!(labeled.energies(), Some(&[0.5f32; 6][..]));
        assert_ne!(data.fingerprint(), labeled.fingerprint());
        for (x, support) in
            [(vec![7.0], 3), (vec![7.0, 8.0], 4), (vec![7.0, 8.0], 0), (vec![7.0, 8.0], usize::MAX)]
        {
            assert!(Dataset::grouped(x, 1, y.clone(), 2, support).is_err());
        }
        // The mean over all actions of a column, rows by their weights.
        let normalizer =
            data.with_weights(vec![1.0, 0.0]).unwrap().fit_y(Normalize::Standard { deviation: 1.0 });
        assert_eq!(normalizer.shift, [2.0, 3.0]);
    }

    #[test]
    fn a_description_has_the_range_of_what_can_be_drawn() {
        let y = vec![1.0, -5.0, 3.0, 2.0, 100.0, 100.0];
        let data = Dataset::unconditional(y, 2).unwrap().with_weights(vec![1.0, 2.0, 0.0]).unwrap();
        let description = data.description();
        assert_eq!((description.low, description.high), (vec![1.0, -5.0], vec![3.0, 2.0]));
        assert_eq!((description.rows, description.context_width, description.action_width), (3, 0, 2));
        assert!(!description.labeled && description.fingerprint.len() == 16);
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
        let normalizer = weighted.fit_y(Normalize::Standard { deviation: 1.0 });
        assert_eq!(normalizer.shift, [3.25]);
        assert!((normalizer.scale[0] - 1.0 / 1.6875f32.sqrt()).abs() < 1e-6);
    }
}
