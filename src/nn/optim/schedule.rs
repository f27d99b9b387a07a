//! Learning-rate schedules: f64 tables made on the host, read on the device by the optimizer's own
//! count.

use serde::{Deserialize, Serialize};

/// How the learning rate goes over the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Schedule {
    /// The same rate at every step.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// Linear from 0 over `warmup` steps, then half a cosine down to `floor * rate` at the last
    /// step.
    Cosine {
        /// The highest rate.
        rate: f64,
        /// Steps of the linear part.
        warmup: u64,
        /// Share of `rate` that is left at the end, in [0, 1].
        floor: f64,
    },
    /// Linear from 0 over `warmup` steps, then `rate` times `factor` for every `every` steps done
    /// since: piecewise constant.
    Step {
        /// The highest rate.
        rate: f64,
        /// Steps of the linear part.
        warmup: u64,
        /// Steps of one rate, at least 1.
        every: u64,
        /// From one rate to the next, in [0, 1].
        factor: f64,
    },
    /// Linear from 0 over `warmup` steps, then `rate factor^(steps since / every)`, at every step.
    Exponential {
        /// The highest rate.
        rate: f64,
        /// Steps of the linear part.
        warmup: u64,
        /// Steps after which `factor` is reached, at least 1.
        every: u64,
        /// Share of the rate left after `every` steps, in [0, 1].
        factor: f64,
    },
}

impl Schedule {
    /// The rate at step `t` = 1, 2, .., `steps`.
    pub fn rate(&self, t: u64, steps: u64) -> f64 {
        let (rate, warmup) = self.start();
        if t <= warmup {
            return rate * t as f64 / warmup as f64;
        }
        let since = t - warmup;
        match *self {
            Schedule::Constant { rate } => rate,
            Schedule::Cosine { floor, .. } => {
                let span = steps.saturating_sub(warmup).max(1) as f64;
                let share = (since as f64 / span).min(1.0);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
                rate * (floor + (1.0 - floor) * cosine)
            }
            // The first step behind the warm-up has the whole rate, as the last one of it.
            Schedule::Step { every, factor, .. } => rate * factor.powf(((since - 1) / every.max(1)) as f64),
            Schedule::Exponential { every, factor, .. } => {
                rate * factor.powf((since - 1) as f64 / every.max(1) as f64)
            }
        }
    }

    /// The highest rate and the steps of the warm-up.
    fn start(&self) -> (f64, u64) {
        match *self {
            Schedule::Constant { rate } => (rate, 0),
            Schedule::Cosine { rate, warmup, .. }
            | Schedule::Step { rate, warmup, .. }
            | Schedule::Exponential { rate, warmup, .. } => (rate, warmup),
        }
    }

    /// Whether every number is usable.
    pub(crate) fn is_valid(&self) -> bool {
        let (rate, _) = self.start();
        let decay = match *self {
            Schedule::Constant { .. } => true,
            Schedule::Cosine { floor, .. } => (0.0..=1.0).contains(&floor),
            Schedule::Step { every, factor, .. } | Schedule::Exponential { every, factor, .. } => {
                every > 0 && (0.0..=1.0).contains(&factor)
            }
        };
        (rate as f32).is_finite() && rate >= 0.0 && decay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_warms_up_and_ends_at_its_floor() {
        let schedule = Schedule::Cosine { rate: 2.0, warmup: 10, floor: 0.1 };
        assert!((schedule.rate(5, 110) - 1.0).abs() < 1e-12);
        assert!((schedule.rate(10, 110) - 2.0).abs() < 1e-12);
        assert!((schedule.rate(60, 110) - 1.1).abs() < 1e-12);
        assert!((schedule.rate(110, 110) - 0.2).abs() < 1e-12);
        assert!((schedule.rate(500, 110) - 0.2).abs() < 1e-12);
    }
    /// The rates of the first steps, worked out by hand.
    fn expect(schedule: Schedule, rates: &[f64]) {
        assert!(schedule.is_valid());
        for (index, rate) in rates.iter().enumerate() {
            let found = schedule.rate(index as u64 + 1, 1000);
            assert!((found - rate).abs() < 1e-12, "{schedule:?}, step {}: {found}, not {rate}", index + 1);
        }
    }

    #[test]
    fn steps_fall_by_their_factor_behind_the_warm_up() {
        let schedule = Schedule::Step { rate: 8.0, warmup: 2, every: 3, factor: 0.5 };
        expect(schedule, &[4.0, 8.0, 8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 2.0]);
        let schedule = Schedule::Step { rate: 3.0, warmup: 0, every: 1, factor: 0.1 };
        expect(schedule, &[3.0, 0.3, 0.03]);
        // Nothing is left of it, and 0^0 is 1.
        expect(Schedule::Step { rate: 3.0, warmup: 0, every: 2, factor: 0.0 }, &[3.0, 3.0, 0.0, 0.0]);
        assert_eq!(schedule.rate(4_000_000, 4_000_000), 0.0);
    }

    #[test]
    fn exponential_decay_reaches_its_factor_after_so_many_steps() {
        let schedule = Schedule::Exponential { rate: 8.0, warmup: 2, every: 2, factor: 0.25 };
        expect(schedule, &[4.0, 8.0, 8.0, 4.0, 2.0, 1.0, 0.5]);
        expect(Schedule::Exponential { rate: 2.0, warmup: 0, every: 7, factor: 1.0 }, &[2.0; 20]);
    }

    #[test]
    fn schedules_read_what_they_write_and_bad_ones_are_found() {
        for (schedule, text) in [
            (
                Schedule::Step { rate: 0.5, warmup: 1, every: 9, factor: 0.5 },
                r#"{"kind":"step","rate":0.5,"warmup":1,"every":9,"factor":0.5}"#,
            ),
            (
                Schedule::Exponential { rate: 0.5, warmup: 1, every: 9, factor: 0.5 },
                r#"{"kind":"exponential","rate":0.5,"warmup":1,"every":9,"factor":0.5}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
            assert_eq!(serde_json::from_str::<Schedule>(text).unwrap(), schedule);
        }
        let bad = |rate, every, factor| {
            let (warmup, step) = (0, Schedule::Step { rate, warmup: 0, every, factor });
            !step.is_valid() && !Schedule::Exponential { rate, warmup, every, factor }.is_valid()
        };
        assert!(!bad(1.0, 1, 0.5));
        assert!(bad(-1.0, 1, 0.5) && bad(1e60, 1, 0.5) && bad(1.0, 0, 0.5));
        assert!(bad(1.0, 1, 1.5) && bad(1.0, 1, -0.5) && bad(1.0, 1, f64::NAN));
    }
}
