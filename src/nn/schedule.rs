//! Learning-rate schedules: f64 tables made on the host, read on the device by the optimiser's own count.

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
    /// Linear from 0 over `warmup` steps, then half a cosine down to `floor * rate` at the last step.
    Cosine {
        /// The highest rate.
        rate: f64,
        /// Steps of the linear part.
        warmup: u64,
        /// Share of `rate` that is left at the end, in [0, 1].
        floor: f64,
    },
}

impl Schedule {
    /// The rate at step `t` = 1, 2, .., `steps`.
    pub fn rate(&self, t: u64, steps: u64) -> f64 {
        match *self {
            Schedule::Constant { rate } => rate,
            Schedule::Cosine { rate, warmup, floor } => {
                if t <= warmup {
                    return rate * t as f64 / warmup as f64;
                }
                let span = steps.saturating_sub(warmup).max(1) as f64;
                let share = ((t - warmup) as f64 / span).min(1.0);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
                rate * (floor + (1.0 - floor) * cosine)
            }
        }
    }

    /// Whether every number is usable.
    pub(crate) fn is_valid(&self) -> bool {
        match *self {
            Schedule::Constant { rate } => (rate as f32).is_finite() && rate >= 0.0,
            Schedule::Cosine { rate, floor, .. } => {
                (rate as f32).is_finite() && rate >= 0.0 && (0.0..=1.0).contains(&floor)
            }
        }
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
}
