//! What a column loses when its 64-bit numbers become 32-bit ones.

use crate::error::few_digits;

/// A column is worth a warning if rounding moves one of its numbers by more than this part of the
/// column's deviation.
const WORST: f64 = 0.01;
/// A deviation below this part of the mean is rounding of the 64-bit numbers themselves.
const NOISE: f64 = 1e-14;

/// A column of a file, while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounding {
    count: f64,
    mean: f64,
    squares: f64,
    worst: f64,
}

impl Rounding {
    /// Takes in a number and what it became.
    pub fn add(&mut self, wide: f64, narrow: f32) {
        self.count += 1.0;
        let away = wide - self.mean;
        self.mean += away / self.count;
        self.squares += away * (wide - self.mean);
        self.worst = self.worst.max((f64::from(narrow) - wide).abs());
    }

    /// What was lost, in words, if it is worth them.
    pub fn words(&self, column: &str) -> Option<String> {
        let deviation = (self.squares / self.count.max(1.0)).sqrt();
        let varies = deviation > NOISE * self.mean.abs();
        (varies && self.worst > WORST * deviation).then(|| {
            format!(
                "{column}: its numbers, round {} with a deviation of {}, are moved by up to {} when they become 32-bit \
                 numbers, more than a hundredth of the deviation. Subtract a constant from the column, such as its \
                 mean, before it is read",
                few_digits(self.mean),
                few_digits(deviation),
                few_digits(self.worst)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: impl Iterator<Item = f64>) -> Option<String> {
        let mut rounding = Rounding::default();
        values.for_each(|value| rounding.add(value, value as f32));
        rounding.words("column `y0`")
    }

    fn column(offset: f64, scale: f64) -> impl Iterator<Item = f64> {
        (0..1000).map(move |row| offset + scale * f64::from(row).sin())
    }

    #[test]
    fn an_offset_that_f32_does_not_resolve_is_named() {
        let found = words(column(1.7e9, 1.4)).unwrap();
        for part in ["`y0`", "1.7e9", "deviation of 0.9", "Subtract"] {
            assert!(found.contains(part), "{found:?} without {part}");
        }
        for lost in [column(-1e6, 1.0), column(1e6, 0.3), column(1.0, 1e-7), column(1e-3, 1e-10)] {
            assert!(words(lost).is_some());
        }
    }

    #[test]
    fn other_columns_are_not() {
        for kept in [column(0.0, 1.0), column(1e4, 1.0), column(0.0, 1e-30), column(1e30, 1e28)] {
            assert_eq!(words(kept), None);
        }
        assert_eq!(words([0.1; 50].into_iter()), None, "it does not vary");
        assert_eq!(words([0.1 + 0.2, 0.3, 0.3].into_iter()), None, "nor does this");
        let heavy = (0..1000).map(|row| (0.02 * f64::from(row)).exp() + 0.1);
        assert_eq!(words(heavy), None, "large numbers lose more, but not more of the spread");
        assert_eq!(Rounding::default().words("empty"), None);
    }
}
