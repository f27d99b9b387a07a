//! How 64-bit numbers become 32-bit ones: what a column loses, and the offset that keeps it.

use crate::error::few_digits;

/// A column needs an offset, or a warning, if rounding moves one of its numbers by more than this
/// part of its deviation.
const WORST: f64 = 0.01;
/// Or if fewer than this and less than half of its different numbers stay different, and there are
/// so many at least.
const FEW: usize = 100;
const DIFFERENT: usize = 8;
/// Differences below this part of a number are rounding of the 64-bit numbers themselves.
const NOISE: f64 = 1e-14;
/// Numbers that the usual ones of a column are taken from, at most.
const LOOKED_AT: usize = 4096;
/// From so many on, the lowest and highest hundredth of them are not usual.
const MANY: usize = 8;

/// What numbers lose.
#[derive(Clone, Debug)]
struct Loss {
    mean: f64,
    deviation: f64,
    /// How far rounding moves the one that is moved farthest.
    worst: f64,
}

impl Loss {
    /// What numbers lose relative to an offset.
    fn of(values: impl Iterator<Item = f64>, offset: f64) -> Self {
        let (mut count, mut mean, mut squares, mut worst) = (0.0, 0.0, 0.0, 0.0f64);
        for value in values {
            count += 1.0;
            let away = value - mean;
            mean += away / count;
            squares += away * (value - mean);
            let relative = value - offset;
            worst = worst.max((f64::from(relative as f32) - relative).abs());
        }
        Self { mean, deviation: (squares / f64::max(count, 1.0)).sqrt(), worst }
    }

    fn is_much(&self) -> bool {
        let varies = self.deviation > NOISE * self.mean.abs();
        varies && self.worst > WORST * self.deviation
    }
}

/// What a column loses relative to an offset.
struct Losses {
    /// All numbers, and the usual ones.
    all: Loss,
    usual: Loss,
    /// Different ones among the usual ones, and those that stay different.
    different: usize,
    kept: usize,
}

impl Losses {
    fn of(values: impl Iterator<Item = f64>, usual: &[f64], offset: f64) -> Self {
        let mut last: Option<(f64, f32)> = None;
        let (mut different, mut kept) = (0, 0);
        for &value in usual {
            let narrow = (value - offset) as f32;
            match last {
                Some((wide, _)) if value - wide <= NOISE * value.abs() => continue,
                Some((_, other)) => kept += usize::from(narrow != other),
                None => kept += 1,
            }
            different += 1;
            last = Some((value, narrow));
        }
        let all = Loss::of(values, offset);
        Self { all, usual: Loss::of(usual.iter().copied(), offset), different, kept }
    }

    fn collapse(&self) -> bool {
        self.different >= DIFFERENT && self.kept < FEW && 2 * self.kept < self.different
    }

    fn are_much(&self) -> bool {
        self.all.is_much() || self.usual.is_much() || self.collapse()
    }

    fn words(&self, column: &str, offset: f64) -> String {
        let from = match offset == 0.0 {
            true => String::new(),
            false => format!(", relative to {offset},"),
        };
        let loss = if self.usual.is_much() { &self.usual } else { &self.all };
        format!(
            "{column}: its numbers, round {} with a deviation of {},{from} are moved by up to {} when they become \
             32-bit numbers, and {} different ones of {} stay different. Leave out rows that are far from the \
             others, or split the column into two, such as days and seconds",
            few_digits(loss.mean),
            few_digits(loss.deviation),
            few_digits(loss.worst),
            self.kept,
            self.different
        )
    }
}

/// The offset of a column, and what it loses even so, in words. `values` are those that count;
/// an offset of the columns before it, in `others`, is taken again where it serves: the columns of
/// a history or of a chunk of actions have one then.
pub(super) fn offset(
    values: impl Iterator<Item = f64> + Clone,
    column: &str,
    others: &[f64],
) -> (f64, Option<String>) {
    let usual = usual(values.clone());
    let losses = |offset| Losses::of(values.clone(), &usual, offset);
    let (mut offset, mut found) = (0.0, losses(0.0));
    if found.are_much() {
        if let Some(&other) = others.iter().find(|&&other| other != 0.0 && !losses(other).are_much()) {
            return (other, None);
        }
        let middle = round_number(&usual);
        let relative = losses(middle);
        if (relative.kept, found.usual.worst) > (found.kept, relative.usual.worst) {
            (offset, found) = (middle, relative);
        }
    }
    (offset, found.are_much().then(|| found.words(column, offset)))
}

/// The numbers of a column in their order, or some of them, without the lowest and highest
/// hundredth.
fn usual(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let count = values.clone().count();
    let mut some: Vec<f64> = values.step_by(count.div_ceil(LOOKED_AT).max(1)).collect();
    some.sort_by(f64::total_cmp);
    if some.len() < MANY {
        return some;
    }
    let left_out = (some.len() / 100).max(1);
    some[left_out..some.len() - left_out].to_vec()
}

/// A number of few digits in the middle of these, which are in order: the multiple next to the
/// median of the power of ten that is no smaller than the range of their middle half.
fn round_number(usual: &[f64]) -> f64 {
    let Some(&median) = usual.get(usual.len() / 2) else { return 0.0 };
    let half = &usual[usual.len() / 4..(3 * usual.len()).div_ceil(4)];
    let range = |part: &[f64]| part[part.len() - 1] - part[0];
    let range = if range(half) > 0.0 { range(half) } else { range(usual) };
    let (unit, size) = (range.log10().ceil(), median.abs().log10().floor());
    let decimals = size - unit;
    if !(0.0..=16.0).contains(&decimals) {
        return 0.0;
    }
    format!("{median:.*e}", decimals as usize).parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(offset: f64, scale: f64) -> impl Iterator<Item = f64> + Clone {
        (0..1000).map(move |row| offset + scale * f64::from(row).sin())
    }

    #[test]
    fn an_offset_that_f32_does_not_resolve_is_a_round_number() {
        for (middle, scale, expected) in [
            (1.7e9, 1.4, 1.7e9),
            (1_699_999_999.7, 1.0, 1.7e9),
            (-1e6, 1.0, -1e6),
            (1e6, 0.3, 1e6),
            (1_234_567.8, 2.0, 1_234_570.0),
            (1.0, 1e-7, 1.0),
            (1e-3, 1e-10, 1e-3),
        ] {
            let (found, lost) = offset(column(middle, scale), "column", &[]);
            assert_eq!((found, lost), (expected, None), "{middle} and {scale}");
        }
    }

    #[test]
    fn other_columns_have_none() {
        for kept in [column(0.0, 1.0), column(1e4, 1.0), column(0.0, 1e-30), column(1e30, 1e28)] {
            assert_eq!(offset(kept, "column", &[]), (0.0, None));
        }
        assert_eq!(offset([0.1; 50].into_iter(), "", &[]), (0.0, None), "it does not vary");
        assert_eq!(offset([0.1 + 0.2, 0.3, 0.3].into_iter(), "", &[]), (0.0, None), "nor does this");
        let heavy = (0..1000).map(|row| (0.02 * f64::from(row)).exp() + 0.1);
        assert_eq!(
            offset(heavy, "", &[]),
            (0.0, None),
            "large numbers lose more, but not more of the spread"
        );
        assert_eq!(offset(std::iter::empty(), "empty", &[]), (0.0, None));
        let whole = (0..100_000).map(|row| f64::from(row * 7919 % 99_991));
        assert_eq!(offset(whole, "", &[]), (0.0, None));
    }

    #[test]
    fn columns_that_are_alike_have_one_offset() {
        for (middle, expected) in [(1_699_999_997.0, 1.7e9), (1.7e9 + 64.0, 1.7e9), (-1.7e9, -1.7e9)] {
            let (found, lost) = offset(column(middle, 1.4), "column", &[0.0, 1.7e9]);
            assert_eq!((found, lost), (expected, None), "{middle}");
        }
        assert_eq!(offset(column(0.0, 1.0), "column", &[1.7e9]), (0.0, None));
    }

    #[test]
    fn strays_do_not_hide_what_the_others_lose() {
        let strays = |every: usize, stray: f64| {
            let column = column(1.7e9, 1.4).enumerate();
            column.map(move |(row, value)| if row.is_multiple_of(every) { stray } else { value })
        };
        for (every, stray) in [(1000, 0.0), (1000, 1.8e9), (10, 0.0), (10, -999.0)] {
            let (found, lost) = offset(strays(every, stray), "column", &[]);
            assert_eq!((found, lost), (1.7e9, None), "{stray} in every {every} rows");
        }
    }

    #[test]
    fn what_is_lost_even_so_is_named() {
        // Two places far apart: whichever is the offset, the other is not resolved.
        let places = column(0.0, 1.4).enumerate();
        let places = places.map(|(row, value)| value + if row.is_multiple_of(2) { 1.7e9 } else { 3.4e9 });
        let (found, lost) = offset(places, "column `y0`", &[]);
        assert_eq!(found, 0.0);
        let lost = lost.expect("it is lost");
        for part in ["`y0`", "2.5", "moved by up to", "stay different", "days and seconds"] {
            assert!(lost.contains(part), "{lost:?} without {part}");
        }
    }
}
