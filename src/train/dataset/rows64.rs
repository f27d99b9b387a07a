//! Data sets from 64-bit numbers: an offset per column is subtracted before they become 32-bit
//! ones.

use super::Dataset;
use super::rounding;
use crate::error::few_digits;
use crate::math::Offsets;
use crate::{Error, Result};

/// Rows of 64-bit numbers, for [`Dataset::from_f64`]: contexts, which there may be none of, and
/// actions.
#[derive(Clone, Copy, Debug)]
pub struct Rows64<'a> {
    x: &'a [f64],
    x_width: usize,
    y: &'a [f64],
    y_width: usize,
    support: usize,
    weights: Option<&'a [f32]>,
    offsets: Option<&'a Offsets>,
}

impl<'a> Rows64<'a> {
    /// Rows of `x_width` and `y_width` numbers; without contexts `x` is empty and `x_width` 0.
    pub fn new(x: &'a [f64], x_width: usize, y: &'a [f64], y_width: usize) -> Self {
        Self { x, x_width, y, y_width, support: 1, weights: None, offsets: None }
    }

    /// The same with several actions per row, one behind the other ([`Dataset::grouped`]).
    #[must_use]
    pub fn with_support(self, support: usize) -> Self {
        Self { support, ..self }
    }

    /// The same with weights ([`Dataset::with_weights`]): what stands in rows of weight 0 decides
    /// no offset.
    #[must_use]
    pub fn with_weights(self, weights: &'a [f32]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The same with given offsets, such as those of other data ([`Dataset::offsets`]) whose model
    /// is to meet that of these, in place of those that suit these data.
    #[must_use]
    pub fn with_offsets(self, offsets: &'a Offsets) -> Self {
        Self { offsets: Some(offsets), ..self }
    }
}

impl Dataset {
    /// A data set from 64-bit numbers. From each column that 32-bit numbers do not resolve its
    /// offset is subtracted first, a round number in the middle of the rows that can be drawn
    /// ([`Dataset::offsets`]): a column that rounding would move by more than a hundredth of its
    /// deviation, or in which most different numbers would become equal. The others have an offset
    /// of 0 and are rounded.
    ///
    /// ```
    /// use gibbs::train::{Dataset, Rows64};
    /// let y: Vec<f64> = (0..100).map(|row| 1.7e9 + f64::from(row).sin()).collect();
    /// let data = Dataset::from_f64(&Rows64::new(&[], 0, &y, 1))?;
    /// assert_eq!(data.offsets().action(), [1.7e9]);
    /// assert_eq!(data.y()[1], (y[1] - 1.7e9) as f32);
    /// # Ok::<(), gibbs::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Dataset::grouped`] and [`Dataset::with_weights`]; [`Error::Argument`] for given offsets
    /// of other widths.
    pub fn from_f64(rows: &Rows64<'_>) -> Result<Self> {
        let Rows64 { x, x_width, y, y_width, support, weights, offsets } = *rows;
        if let Some(offsets) = offsets
            && (offsets.context().len() != x_width || offsets.action().len() != y_width)
        {
            let problem = format!(
                "are for contexts of {} and actions of {} columns, the rows have {x_width} and {y_width}",
                offsets.context().len(),
                offsets.action().len()
            );
            return Err(Error::argument("data set", "the offsets", problem));
        }
        let given = |of: fn(&Offsets) -> &[f64]| offsets.map(|offsets| of(offsets).to_vec());
        let part = |values: &[f64], width, offsets| Columns {
            narrow: values.iter().map(|value| *value as f32).collect(),
            wide: values.to_vec(),
            width,
            offsets,
        };
        let x = part(x, x_width, given(Offsets::context));
        let y = part(y, y_width, given(Offsets::action));
        let widths = |letter: char| if letter == 'x' { x_width } else { y_width.saturating_mul(support) };
        let names = Names {
            column: &|letter, column| format!("column {column} of the data's {letter}"),
            number: &|letter, at| {
                let width = widths(letter).max(1);
                format!("{letter} in row {}, column {},", at / width, at % width)
            },
        };
        Self::from_columns(x, y, support, weights.map(<[f32]>::to_vec), &names)
    }

    /// A data set of columns whose offsets may still have to be found.
    pub(super) fn from_columns(
        mut x: Columns,
        mut y: Columns,
        support: usize,
        weights: Option<Vec<f32>>,
        names: &Names<'_>,
    ) -> Result<Self> {
        let drawn = |row: usize| weights.as_ref().is_none_or(|all| all.get(row).is_some_and(|w| *w > 0.0));
        let mut lost = x.settle(drawn, |column| (names.column)('x', column));
        lost.extend(y.settle(|sample| drawn(sample / support.max(1)), |column| (names.column)('y', column)));
        for (letter, columns) in [('x', &x), ('y', &y)] {
            if let Some((at, words)) = columns.overflow() {
                let problem = format!("is {words}; data must be finite 32-bit numbers");
                return Err(Error::argument("data set", (names.number)(letter, at), problem));
            }
        }
        let data = Self::grouped(x.narrow, x.width, y.narrow, y.width, support)?;
        let of = |offsets: Option<Vec<f64>>, width: usize| offsets.unwrap_or(vec![0.0; width]);
        let offsets = Offsets::new(of(x.offsets, x.width), of(y.offsets, y.width))?;
        let data = Self { lost, offsets, ..data };
        match weights {
            Some(weights) => data.with_weights(weights),
            None => Ok(data),
        }
    }
}

/// What columns and numbers are called in warnings and errors, by the letter of contexts or
/// actions.
pub(super) struct Names<'a> {
    pub column: &'a dyn Fn(char, usize) -> String,
    pub number: &'a dyn Fn(char, usize) -> String,
}

/// Columns of contexts or actions on their way to 32-bit numbers.
#[derive(Default)]
pub(super) struct Columns {
    /// Row by row, as they are without offsets.
    pub narrow: Vec<f32>,
    /// The same as they were; none if the 32-bit numbers are all there is.
    pub wide: Vec<f64>,
    pub width: usize,
    /// Given ones; those that suit the columns are put here.
    pub offsets: Option<Vec<f64>>,
}

impl Columns {
    /// Finds the offsets unless they are given, subtracts them, and returns what is lost even so,
    /// in words.
    fn settle(&mut self, counts: impl Fn(usize) -> bool, name: impl Fn(usize) -> String) -> Vec<String> {
        if self.wide.is_empty() || self.width == 0 {
            return Vec::new();
        }
        let mut lost = Vec::new();
        if self.offsets.is_none() {
            let rows = || self.wide.chunks_exact(self.width).enumerate().filter(|(row, _)| counts(*row));
            let mut found: Vec<f64> = Vec::with_capacity(self.width);
            for column in 0..self.width {
                let values = rows().map(|(_, row)| row[column]);
                let (offset, words) = rounding::offset(values, &name(column), &found);
                lost.extend(words);
                found.push(offset);
            }
            self.offsets = Some(found);
        }
        let shifted = self.offsets.iter().flatten().enumerate().filter(|(_, offset)| **offset != 0.0);
        for (column, &offset) in shifted {
            let pairs = self.narrow.iter_mut().zip(&self.wide).skip(column).step_by(self.width);
            pairs.for_each(|(narrow, wide)| *narrow = (wide - offset) as f32);
        }
        lost
    }

    /// The place of the first number that 32 bits do not hold, with what it was and what it became.
    fn overflow(&self) -> Option<(usize, String)> {
        let at = self.narrow.iter().position(|value| !value.is_finite())?;
        let was =
            self.wide.get(at).map_or(String::new(), |wide| format!("{}, which becomes ", few_digits(*wide)));
        Some((at, format!("{was}{}", self.narrow[at])))
    }
}
