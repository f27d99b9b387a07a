//! Data sets: contexts and actions, checked, with fitted normalizers.

mod csv_file;
mod description;
mod device_data;
mod rounding;
mod rows64;
mod tensor_file;
mod unusual;

use std::path::Path;

pub use csv_file::CsvColumns;
pub use description::DataDescription;
pub(super) use device_data::DeviceData;
pub use rows64::Rows64;

use super::alias;
use super::alias::AliasEntry;
use crate::error::few_digits;
use crate::math::{Normalize, Offsets, Scales};
use crate::nn::Normalizer;
use crate::{Error, Result};

/// Rows of a context `x` and actions `y`, in data units, on the host: one action per row, or
/// several that are compared there (its *support*, [`Dataset::grouped`]). Samples may have
/// energies, rows may have weights, and there may be no contexts. Data that were 64-bit numbers are
/// relative to the data's [`Offsets`], which are 0 for most.
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
    offsets: Offsets,
    /// What was lost when it was read, in words.
    lost: Vec<String>,
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
        let (offsets, lost) = (Offsets::zeros(x_width, y_width), Vec::new());
        Ok(Self { x, y, energies: None, x_width, y_width, support, weights: None, offsets, lost })
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
    /// never drawn, so its numbers do not matter, though they must be finite. Normalizers and
    /// variances are then those of the rows as they are drawn, by weight; ranges are those of all
    /// rows that can be drawn.
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
            let weight = few_digits(weights[row].into());
            let problem = format!("is {weight} in row {row}; weights must be finite and not negative");
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
    /// What was subtracted from the columns of 64-bit numbers; 0 for data that were given in 32
    /// bits.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }
    /// The contexts, row by row, relative to their offsets.
    pub fn x(&self) -> &[f32] {
        &self.x
    }
    /// The actions, row by row, relative to their offsets.
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

    /// The rows that can be drawn: all but those of weight 0, in order.
    pub fn drawn_rows(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.rows()).filter(|&row| self.can_be_drawn(row))
    }

    fn can_be_drawn(&self, row: usize) -> bool {
        self.weights.as_ref().is_none_or(|weights| weights[row] > 0.0)
    }

    /// The lowest and the highest value of each number of an action that can be drawn.
    fn range(&self) -> [Vec<f32>; 2] {
        let mut low = vec![f32::INFINITY; self.y_width];
        let mut high = vec![f32::NEG_INFINITY; self.y_width];
        let per_row = self.y_width * self.support;
        for row in self.drawn_rows() {
            for (at, value) in self.y[row * per_row..][..per_row].iter().enumerate() {
                let column = at % self.y_width;
                low[column] = low[column].min(*value);
                high[column] = high[column].max(*value);
            }
        }
        [low, high]
    }

    /// What a checkpoint says of the data.
    pub fn description(&self) -> DataDescription {
        let DataShape { rows, x_width, y_width, support, labeled } = self.shape();
        let [low, high] = self.range();
        DataDescription {
            fingerprint: format!("{:016x}", self.fingerprint()),
            rows,
            support,
            context_width: x_width,
            action_width: y_width,
            labeled,
            low,
            high,
            offsets: self.offsets.clone(),
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

    /// A normalizer for the contexts, fitted to the rows as they are drawn: by their weights. A
    /// column that does not vary keeps its scale.
    pub fn fit_x(&self, how: Normalize) -> Normalizer {
        how.fit(&self.x, self.x_width, |at| self.weight(at))
    }

    /// A normalizer for the actions, as [`Dataset::fit_x`].
    pub fn fit_y(&self, how: Normalize) -> Normalizer {
        how.fit(&self.y, self.y_width, |at| self.weight(at / self.support))
    }

    /// The chance of a row, up to a factor.
    fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[row]))
    }

    /// The variance of each number of an action, in squared data units, of the rows as they are
    /// drawn: by their weights. Exactly 0 for a column that does not vary.
    pub fn y_variances(&self) -> Vec<f64> {
        let mean_of = |column: usize, of: &dyn Fn(f64) -> f64| {
            let (mut sum, mut total) = (0.0, 0.0);
            for (at, value) in self.y.iter().skip(column).step_by(self.y_width).enumerate() {
                let weight = self.weight(at / self.support);
                sum += weight * of(f64::from(*value));
                total += weight;
            }
            sum / total
        };
        let [low, high] = self.range();
        let variance = |column: usize| {
            if low[column] == high[column] {
                return 0.0;
            }
            let mean = mean_of(column, &|value| value);
            mean_of(column, &|value| (value - mean).powi(2))
        };
        (0..self.y_width).map(variance).collect()
    }

    /// The deviation of each number of an action, as the scales of chains' steps
    /// ([`crate::mcmc::Langevin::scales`]); of a number that does not vary, that of a uniform
    /// density over its side of the frame ([`DataDescription::frame`]).
    pub fn y_deviations(&self) -> Scales {
        let deviations = self.y_variances().into_iter().zip(self.description().frame());
        Scales::nearest(deviations.map(|(variance, [_, half])| match variance > 0.0 {
            true => variance.sqrt(),
            false => half / 3f64.sqrt(),
        }))
    }

    /// What is probably wrong with the data, in words: columns that lost much of what tells their
    /// numbers apart when 64-bit numbers were read, even relative to an offset, a number more than
    /// a thousand deviations from the others of its column, columns of actions whose squares 32-bit
    /// numbers do not hold. Empty for most data; [`crate::train::Trainer::new`] logs them. Looks at
    /// rows that can be drawn only.
    pub fn warnings(&self) -> Vec<String> {
        let (rows, offsets) = (self.drawn_rows(), &self.offsets);
        let contexts = unusual::Part { letter: 'x', squared: false, offsets: offsets.context() };
        let actions = unusual::Part { letter: 'y', squared: true, offsets: offsets.action() };
        let x = contexts.words(&self.x, self.x_width, 1, rows.clone());
        let y = actions.words(&self.y, self.y_width, self.support, rows);
        self.lost.iter().cloned().chain(x).chain(y).collect()
    }

    /// A number that tells data sets apart: FNV-1a over widths and bits, energies, weights and
    /// offsets included, what stands in rows of weight 0 left out.
    pub fn fingerprint(&self) -> u64 {
        self.hash(|row| self.can_be_drawn(row))
    }

    /// Whether a file that says so was made of these data. Files of earlier versions took in rows
    /// of weight 0.
    pub(super) fn has_fingerprint(&self, digits: &str) -> bool {
        [self.fingerprint(), self.hash(|_| true)].iter().any(|known| format!("{known:016x}") == digits)
    }

    /// Over the rows that count.
    fn hash(&self, counts: impl Fn(usize) -> bool) -> u64 {
        let count = |values: &Option<Vec<f32>>| values.as_ref().map_or(0, Vec::len) as u32;
        let (energies, weights) = (count(&self.energies), count(&self.weights));
        let sizes = [self.x_width as u32, self.y_width as u32, self.support as u32, energies, weights];
        let parts = [
            (&self.x[..], self.x_width),
            (&self.y[..], self.y_width * self.support),
            (self.energies().unwrap_or_default(), self.support),
        ];
        let counts = &counts;
        let values = parts.into_iter().flat_map(|(values, per_row)| {
            let rows = values.chunks_exact(per_row.max(1)).enumerate();
            rows.filter(move |(row, _)| counts(*row)).flat_map(|(_, values)| values)
        });
        let values = values.chain(self.weights().unwrap_or_default()).map(|value| value.to_bits());
        let offsets = self.offsets.context().iter().chain(self.offsets.action());
        // Those of 0 say nothing, so that data without have the number that they always had.
        let offsets = offsets.take_while(|_| !self.offsets.are_zero());
        let offsets =
            offsets.map(|offset| offset.to_bits()).flat_map(|bits| [bits as u32, (bits >> 32) as u32]);
        sizes.into_iter().chain(values).chain(offsets).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

#[cfg(test)]
mod tests;
