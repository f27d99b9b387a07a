//! Numbers that change along a chain: step sizes and temperatures.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::few_digits;
use crate::{Error, Result};

/// The course of a step size or a temperature over the steps of a chain.
///
/// Units are those of what it is a course of: squared scales ([`crate::math::Scales`]; data units
/// without) for the `eta` of Langevin steps, scales for leapfrog steps, the energy's units for
/// temperatures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum StepSchedule {
    /// The same at every step.
    Constant {
        /// The value.
        #[serde(alias = "eta")]
        value: f64,
    },
    /// From `first` to `last` by a constant factor.
    Geometric {
        /// Value of the first step.
        first: f64,
        /// Value of the last step.
        last: f64,
    },
    /// `last + (first - last) (1 - i / (n - 1))^power`.
    Polynomial {
        /// Value of the first step.
        first: f64,
        /// Value of the last step.
        last: f64,
        /// The power.
        power: f64,
    },
}

impl fmt::Display for StepSchedule {
    /// In words, each number in at most four digits: `0.1`, `0.006 to 6e-5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            StepSchedule::Constant { value } => f.pad(&few_digits(value)),
            StepSchedule::Geometric { first, last } | StepSchedule::Polynomial { first, last, .. } => {
                f.pad(&format!("{} to {}", few_digits(first), few_digits(last)))
            }
        }
    }
}

impl StepSchedule {
    /// The value of step `index` of `steps`.
    pub fn at(&self, index: usize, steps: usize) -> f64 {
        let share = if steps > 1 { index as f64 / (steps - 1) as f64 } else { 0.0 };
        match *self {
            StepSchedule::Constant { value } => value,
            StepSchedule::Geometric { first, last } => first * (last / first).powf(share),
            StepSchedule::Polynomial { first, last, power } => {
                last + (first - last) * (1.0 - share).powf(power)
            }
        }
    }

    /// Fails unless all values are positive on the device, which computes in f32.
    pub(super) fn check_positive(&self, operation: &str, what: &str, steps: usize) -> Result<()> {
        self.check(operation, what, steps, "positive", |value| value > 0.0)
    }

    /// Fails if a value is negative on the device.
    pub(super) fn check_not_negative(&self, operation: &str, what: &str, steps: usize) -> Result<()> {
        self.check(operation, what, steps, "zero or positive", |value| value >= 0.0)
    }

    fn check(
        &self,
        operation: &str,
        what: &str,
        steps: usize,
        wanted: &str,
        fits: impl Fn(f32) -> bool,
    ) -> Result<()> {
        // Every course is monotone: its ends are its extremes.
        let ends = [self.at(0, steps), self.at(steps.saturating_sub(1), steps)];
        if ends.iter().all(|&end| (end as f32).is_finite() && fits(end as f32)) {
            return Ok(());
        }
        let [first, last] = ends.map(few_digits);
        let problem =
            format!("go from {first} to {last}; as 32-bit numbers they must be finite and {wanted}");
        Err(Error::argument(operation, what, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_end_where_they_should() {
        let geometric = StepSchedule::Geometric { first: 1e-2, last: 1e-4 };
        assert!((geometric.at(0, 5) - 1e-2).abs() < 1e-12);
        assert!((geometric.at(2, 5) - 1e-3).abs() < 1e-12);
        assert!((geometric.at(4, 5) - 1e-4).abs() < 1e-12);
        let polynomial = StepSchedule::Polynomial { first: 1.0, last: 0.5, power: 2.0 };
        assert!((polynomial.at(2, 5) - 0.625).abs() < 1e-12);
        assert!((StepSchedule::Constant { value: 0.1 }.at(0, 1) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn words_have_few_digits() {
        let sizes = StepSchedule::Geometric { first: 6e-3 * 0.7, last: 6e-5 * 0.7 };
        assert_eq!(sizes.to_string(), "0.0042 to 4.2e-5");
        assert_eq!(StepSchedule::Constant { value: 0.1 + 0.2 }.to_string(), "0.3");
        let bad = StepSchedule::Constant { value: -0.1 - 0.2 };
        let error = bad.check_positive("chain", "step sizes", 4).unwrap_err().to_string();
        assert!(error.contains("from -0.3 to -0.3;"), "{error}");
    }

    #[test]
    fn files_may_call_a_constant_eta() {
        for text in [r#"{"kind":"constant","eta":0.5}"#, r#"{"kind":"constant","value":0.5}"#] {
            let read: StepSchedule = serde_json::from_str(text).unwrap();
            assert_eq!(read, StepSchedule::Constant { value: 0.5 });
        }
        let geometric: StepSchedule =
            serde_json::from_str(r#"{"kind":"geometric","first":2.0,"last":1.0}"#).unwrap();
        assert_eq!(geometric, StepSchedule::Geometric { first: 2.0, last: 1.0 });
    }

    #[test]
    fn courses_that_turn_negative_or_infinite_are_refused() {
        let zero = StepSchedule::Geometric { first: 0.1, last: 0.0 };
        assert!(zero.check_positive("chain", "step sizes", 4).is_err());
        assert!(zero.check_not_negative("chain", "temperatures", 4).is_ok());
        for bad in [-0.1, f64::NAN, 1e60, 1e-60] {
            assert!(
                StepSchedule::Constant { value: bad }.check_positive("chain", "step sizes", 4).is_err(),
                "{bad}"
            );
        }
        let far = StepSchedule::Constant { value: 6.0e-63 };
        let error = far.check_positive("chain", "step sizes", 4).unwrap_err().to_string();
        assert_eq!(
            error,
            "chain: step sizes go from 6e-63 to 6e-63; as 32-bit numbers they must be finite and positive"
        );
        let steep = StepSchedule::Polynomial { first: 0.1, last: 0.01, power: -1.0 };
        assert!(steep.check_not_negative("chain", "step sizes", 4).is_err());
    }
}
