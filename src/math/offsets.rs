//! What is subtracted from the columns of data before they become 32-bit numbers.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// More columns than any data have: files may say anything.
const MAX_WIDTH: usize = 1 << 24;

/// What is subtracted in 64 bits from the columns of contexts and actions, so that 32-bit numbers
/// resolve what tells their rows apart. On a device everything is relative to it, and so are 32-bit
/// numbers on the host; 64-bit numbers are absolute. Most data have an offset of 0 in every column:
/// relative and absolute are one there.
///
/// ```
/// use gibbs::math::Offsets;
/// let offsets = Offsets::new(vec![0.0], vec![1.7e9, 0.0])?;
/// assert_eq!(offsets.relative_actions(&[1.7e9 + 0.5, 3.0])?, [0.5, 3.0]);
/// assert_eq!(offsets.absolute_actions(&[0.5, 3.0])?, [1.7e9 + 0.5, 3.0]);
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offsets {
    context: Vec<f64>,
    action: Vec<f64>,
}

impl Offsets {
    /// An offset for each column of contexts, of which there may be none, and of actions.
    ///
    /// # Errors
    /// [`Error::Argument`] for an offset that is not finite.
    pub fn new(context: Vec<f64>, action: Vec<f64>) -> Result<Self> {
        Error::check_each("offsets", "those of contexts", &context, f64::is_finite, "must be finite")?;
        Error::check_each("offsets", "those of actions", &action, f64::is_finite, "must be finite")?;
        Ok(Self { context, action })
    }

    /// Offsets of 0.
    pub fn zeros(context_width: usize, action_width: usize) -> Self {
        Self { context: vec![0.0; context_width], action: vec![0.0; action_width] }
    }

    /// Those of contexts, one per column.
    pub fn context(&self) -> &[f64] {
        &self.context
    }

    /// Those of actions, one per column.
    pub fn action(&self) -> &[f64] {
        &self.action
    }

    /// Whether all are 0, so that relative numbers are absolute ones.
    pub fn are_zero(&self) -> bool {
        self.context.iter().chain(&self.action).all(|offset| *offset == 0.0)
    }

    /// Rows of contexts, absolute, on their way to a device.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is not finite, or far from its offset;
    /// [`Error::Shape`] if they are no whole rows.
    pub fn relative_contexts(&self, absolute: &[f64]) -> Result<Vec<f32>> {
        relative("contexts", absolute, &self.context)
    }

    /// Rows of actions, absolute, on their way to a device.
    ///
    /// # Errors
    /// As [`Offsets::relative_contexts`].
    pub fn relative_actions(&self, absolute: &[f64]) -> Result<Vec<f32>> {
        relative("actions", absolute, &self.action)
    }

    /// Rows of contexts as they were before the offsets were subtracted.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are no whole rows.
    pub fn absolute_contexts(&self, relative: &[f32]) -> Result<Vec<f64>> {
        absolute("contexts", relative, &self.context)
    }

    /// Rows of actions, such as samples, in the data's own units.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are no whole rows.
    pub fn absolute_actions(&self, relative: &[f32]) -> Result<Vec<f64>> {
        absolute("actions", relative, &self.action)
    }

    /// Offsets for so many columns; a file that says nothing has offsets of 0. The problem in words
    /// if they are of another number, or not finite.
    pub(crate) fn for_widths(mut self, context_width: usize, action_width: usize) -> Result<Self, String> {
        for (what, offsets, width) in
            [("contexts", &mut self.context, context_width), ("actions", &mut self.action, action_width)]
        {
            if width > MAX_WIDTH {
                return Err(format!("has {what} of {width} columns, more than {MAX_WIDTH}"));
            }
            if offsets.is_empty() {
                *offsets = vec![0.0; width];
            }
            if offsets.len() != width || offsets.iter().any(|offset| !offset.is_finite()) {
                return Err(format!(
                    "has {} offsets for {what} of {width} columns; each needs one that is finite",
                    offsets.len()
                ));
            }
        }
        Ok(self)
    }

    /// The columns whose offset is not 0, in words.
    pub(crate) fn words(&self) -> String {
        let of = |what: &str, offsets: &[f64]| -> Vec<String> {
            let shifted = offsets.iter().enumerate().filter(|(_, offset)| **offset != 0.0);
            shifted.map(|(column, offset)| format!("{offset} in column {column} of the {what}")).collect()
        };
        let mut all = of("contexts", &self.context);
        all.extend(of("actions", &self.action));
        const MOST: usize = 4;
        let more = all.len().saturating_sub(MOST);
        all.truncate(MOST);
        if all.is_empty() {
            return "0 in every column".into();
        }
        all.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    }
}

fn whole_rows(what: &str, numbers: usize, width: usize) -> Result<()> {
    if numbers == 0 || width > 0 && numbers.is_multiple_of(width) {
        return Ok(());
    }
    let (found, expected) = (format!("{numbers} numbers"), format!("[rows, {width}]"));
    Err(Error::shape("offsets", what, found, expected, "give whole rows"))
}

fn relative(what: &str, absolute: &[f64], offsets: &[f64]) -> Result<Vec<f32>> {
    whole_rows(what, absolute.len(), offsets.len())?;
    let width = offsets.len().max(1);
    let numbers = absolute.iter().enumerate().map(|(at, value)| {
        let relative = (value - offsets[at % width]) as f32;
        if relative.is_finite() {
            return Ok(relative);
        }
        let problem = format!(
            "have {value} in row {}, column {}, which becomes {relative} relative to {}; they must be finite",
            at / width,
            at % width,
            offsets[at % width]
        );
        Err(Error::argument("offsets", what, problem))
    });
    numbers.collect()
}

fn absolute(what: &str, relative: &[f32], offsets: &[f64]) -> Result<Vec<f64>> {
    whole_rows(what, relative.len(), offsets.len())?;
    let width = offsets.len().max(1);
    let numbers = relative.iter().enumerate().map(|(at, value)| f64::from(*value) + offsets[at % width]);
    Ok(numbers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_device_and_come_back() {
        let offsets = Offsets::new(vec![-2e15, 0.0], vec![1.7e9]).unwrap();
        assert!(!offsets.are_zero() && Offsets::zeros(2, 1).are_zero());
        let absolute = [-2e15 + 1.0, 0.25, -2e15 - 3.0, 1e-3];
        let relative = offsets.relative_contexts(&absolute).unwrap();
        assert_eq!(relative, [1.0, 0.25, -3.0, 1e-3]);
        assert_eq!(offsets.absolute_contexts(&relative[..2]).unwrap(), absolute[..2]);
        assert_eq!(offsets.absolute_actions(&[-0.5]).unwrap(), [1_699_999_999.5]);
        assert!(offsets.absolute_actions(&[]).unwrap().is_empty());
        for error in [
            offsets.relative_contexts(&[1.0; 3]).unwrap_err(),
            offsets.relative_contexts(&[0.0, f64::NAN]).unwrap_err(),
            offsets.relative_actions(&[1e300]).unwrap_err(),
            Offsets::zeros(0, 1).relative_contexts(&[1.0]).unwrap_err(),
            Offsets::new(vec![], vec![f64::INFINITY]).unwrap_err(),
        ] {
            assert!(error.to_string().contains("offsets"), "{error}");
        }
        assert_eq!(
            offsets.words(),
            "-2000000000000000 in column 0 of the contexts, 1700000000 in column 0 of the actions"
        );
    }

    #[test]
    fn what_a_file_says_is_checked() {
        let none = Offsets::default().for_widths(2, 1).unwrap();
        assert_eq!(none, Offsets::zeros(2, 1));
        let given = Offsets { context: Vec::new(), action: vec![1.0] };
        assert_eq!(given.clone().for_widths(1, 1).unwrap().context(), [0.0]);
        assert!(given.clone().for_widths(1, 2).unwrap_err().contains("1 offsets for actions of 2"));
        assert!(Offsets { context: vec![f64::NAN], ..given }.for_widths(1, 1).is_err());
    }
}
