//! Numbers that a data set probably should not have.

use crate::error::few_digits;

/// Samples that the usual numbers of a column are taken from, at most.
const LOOKED_AT: usize = 4096;
/// Fewer tell nothing of what is usual.
const FEWEST: usize = 8;
/// Deviations from which on a number is worth a word.
const FAR: f64 = 1e3;
/// Columns whose deviation lies outside have squares, such as step sizes, that 32-bit numbers do
/// not hold with room to either side.
const SQUARED: [f64; 2] = [1e-16, 1e16];

/// The contexts or the actions of a data set.
pub(super) struct Part<'a> {
    /// What its columns are called, with a number behind.
    pub letter: char,
    /// Whether squares of its units are computed with.
    pub squared: bool,
    /// What its columns are relative to.
    pub offsets: &'a [f64],
}

/// What most numbers of a column are like.
struct Usual {
    mean: f64,
    deviation: f64,
}

impl Usual {
    /// Of all but the lowest and highest hundredth.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let left_out = (values.len() / 100).max(1);
        let values = &values[left_out..values.len() - left_out];
        if let (Some(&first), Some(&last)) = (values.first(), values.last())
            && first == last
        {
            return Self { mean: first, deviation: 0.0 };
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt() }
    }

    /// Whether a number so far from the mean is not one of them. Where a column hardly varies, as a
    /// flag that is almost always set, another value says nothing unless it is of another size.
    fn is_far(&self, away: f64) -> bool {
        let hardly = self.deviation < 1e-3 * self.mean.abs();
        let unit = if hardly { self.mean.abs() } else { self.deviation };
        unit > 0.0 && away > FAR * unit
    }
}

impl Part<'_> {
    /// What is unusual in the columns of `values`, `[rows, per_row, width]`, over some of the rows:
    /// at most one thing per column.
    pub fn words(
        &self,
        values: &[f32],
        width: usize,
        per_row: usize,
        rows: impl Iterator<Item = usize> + Clone,
    ) -> Vec<String> {
        let of_row = |row: usize| (row * per_row..(row + 1) * per_row).map(move |sample| (row, sample));
        let samples = rows.flat_map(of_row).map(|(row, sample)| (row, &values[sample * width..][..width]));
        let count = if width == 0 { 0 } else { samples.clone().count() };
        if count < FEWEST {
            return Vec::new();
        }
        let some: Vec<&[f32]> =
            samples.clone().step_by(count.div_ceil(LOOKED_AT)).map(|(_, sample)| sample).collect();
        let usual: Vec<Usual> = (0..width)
            .map(|column| Usual::of(some.iter().map(|sample| f64::from(sample[column])).collect()))
            .collect();
        // Distance, row and value of the number farthest from the mean.
        let mut farthest = vec![(0.0, 0, 0.0); width];
        for (row, sample) in samples {
            for ((&value, usual), farthest) in sample.iter().zip(&usual).zip(&mut farthest) {
                let away = (f64::from(value) - usual.mean).abs();
                if away > farthest.0 {
                    *farthest = (away, row, value);
                }
            }
        }
        let columns = usual.iter().zip(farthest).enumerate();
        columns.filter_map(|(column, (usual, farthest))| self.of_column(column, usual, farthest)).collect()
    }

    fn of_column(&self, column: usize, usual: &Usual, farthest: (f64, usize, f32)) -> Option<String> {
        let Usual { mean, deviation } = *usual;
        let (away, row, value) = farthest;
        let name = format!("column {column} of the data's {}", self.letter);
        let offset = self.offsets.get(column).copied().unwrap_or(0.0);
        let value = f64::from(value) + offset;
        if usual.is_far(away) {
            let from = match deviation > 0.0 {
                true => format!("{} deviations from the others", few_digits(away / deviation)),
                false => format!("where the others are {}", few_digits(mean + offset)),
            };
            return Some(format!(
                "{name} is {} in row {row}, {from}; it decides how the column is scaled. If it is a fault, leave the row \
                 out or give it the weight 0",
                few_digits(value)
            ));
        }
        let holds = !self.squared || deviation == 0.0 || (SQUARED[0]..=SQUARED[1]).contains(&deviation);
        (!holds).then(|| {
            format!(
                "{name} has a deviation of {}; step sizes and variances are of the size of its square, which 32-bit \
                 numbers do not hold. Multiply the column by a constant, so that its deviation is nearer to 1",
                few_digits(deviation)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[f32], width: usize) -> Vec<String> {
        Part { letter: 'y', squared: true, offsets: &[] }.words(values, width, 1, 0..values.len() / width)
    }

    /// Numbers round 0 with a deviation of about `scale`.
    fn column(rows: usize, scale: f32) -> Vec<f32> {
        (0..rows).map(|row| scale * (1.7 * row as f32).sin()).collect()
    }

    #[test]
    fn an_outlier_is_named_with_column_row_value_and_distance() {
        let mut y: Vec<f32> =
            column(2000, 1.0).into_iter().flat_map(|value| [value, 5.0, 100.0 * value]).collect();
        assert_eq!(words(&y, 3), [""; 0]);
        y[3 * 1234] = 1e30;
        y[3 * 77 + 1] = -1e30;
        let found = words(&y, 3);
        assert_eq!(found.len(), 2, "{found:?}");
        for part in ["column 0 of the data's y", "1e30", "row 1234", "e30 deviations"] {
            assert!(found[0].contains(part), "{found:?} without {part}");
        }
        for part in ["column 1", "-1e30", "row 77", "the others are 5"] {
            assert!(found[1].contains(part), "{found:?} without {part}");
        }
        // Several of them do not hide each other.
        for row in 0..10 {
            y[3 * (100 * row) + 2] = 1e30;
        }
        assert_eq!(words(&y, 3).len(), 3);
    }

    #[test]
    fn tails_flags_and_few_rows_are_nothing_unusual() {
        let mut rare = vec![0.0f32; 4000];
        rare[1700] = 1.0;
        assert_eq!(words(&rare, 1), [""; 0]);
        let mut rare = vec![-0.3f32; 4000];
        rare[1700] = 1.0;
        assert_eq!(words(&rare, 1), [""; 0]);
        // Skewed, up to twenty times the mean.
        let heavy: Vec<f32> = column(4000, 2.0).into_iter().map(|value| (1.5 * value).exp()).collect();
        assert_eq!(words(&heavy, 1), [""; 0]);
        assert_eq!(words(&[0.0, 1.0, 1e30], 1), [""; 0]);
        assert_eq!(Part { letter: 'x', squared: false, offsets: &[] }.words(&[], 0, 1, 0..100), [""; 0]);
    }

    #[test]
    fn units_that_cannot_be_squared_are_named_for_actions() {
        for scale in [1e-30, 1e30] {
            let found = words(&column(100, scale), 1);
            assert!(found.len() == 1 && found[0].contains("Multiply") && found[0].len() < 250, "{found:?}");
            let contexts = Part { letter: 'x', squared: false, offsets: &[] };
            assert_eq!(contexts.words(&column(100, scale), 1, 1, 0..100), [""; 0]);
        }
        assert_eq!(words(&column(100, 1e-9), 1), [""; 0]);
    }
}
