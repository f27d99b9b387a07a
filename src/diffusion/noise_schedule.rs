//! Variance-preserving noise schedules, in f64 on the host.

use std::f64::consts::{FRAC_PI_2, PI};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How much of a sample is left at each time: `x_t = alpha_t x_0 + sigma_t eps` with
/// `alpha_t^2 + sigma_t^2 = 1`.
///
/// All formulas keep their relative accuracy down to time 0, where `sigma_t` and the log-SNR are
/// differences of nearly equal numbers in the textbook form. Devices never evaluate a schedule:
/// they read tables made here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum NoiseSchedule {
    /// Noise added at the rate `start + t (end - start)` per unit of time:
    /// `log alpha_t = -t^2 (end - start) / 4 - t start / 2`.
    Linear {
        /// Rate at time 0, 0.1 in arXiv 2011.13456.
        start: f64,
        /// Rate at time 1, 20 there.
        end: f64,
    },
    /// `alpha_t = cos(pi/2 (t + offset) / (1 + offset)) / cos(pi/2 offset / (1 +
    /// offset))` (arXiv 2102.09672), up to the time 0.9946.
    Cosine {
        /// Keeps the first steps from vanishing, 0.008 there.
        offset: f64,
    },
}

/// Where the cosine schedule ends: its log-SNR runs to minus infinity at 1.
const COSINE_END: f64 = 0.9946;

impl Default for NoiseSchedule {
    /// Linear from 0.1 to 20.
    fn default() -> Self {
        Self::Linear { start: 0.1, end: 20.0 }
    }
}

/// A place on a schedule: what kernels need to know of a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// The time, 0 for data.
    pub time: f64,
    /// `log alpha_t`, never positive.
    pub log_alpha: f64,
}

impl NoiseLevel {
    /// `alpha_t`, the share of the sample.
    pub fn alpha(&self) -> f64 {
        self.log_alpha.exp()
    }

    /// `sigma_t = sqrt(1 - alpha_t^2)`, the standard deviation of the noise.
    pub fn sigma(&self) -> f64 {
        (-(2.0 * self.log_alpha).exp_m1()).sqrt()
    }

    /// `lambda_t = log(alpha_t / sigma_t)`, half the log of the signal-to-noise ratio.
    pub fn lambda(&self) -> f64 {
        self.log_alpha - self.sigma().ln()
    }
}

impl NoiseSchedule {
    /// The cosine schedule with offset 0.008.
    pub fn cosine() -> Self {
        Self::Cosine { offset: 0.008 }
    }

    /// Checks the constants.
    ///
    /// # Errors
    /// [`Error::Argument`] unless rates are positive and do not fall, or the offset lies between
    /// 1e-4 and 0.5; and if `alpha` at the end is not between 1e-30 and 0.2: sampling starts there
    /// at pure noise, and divides by it.
    pub fn check(&self) -> Result<()> {
        let (fits, problem) = match *self {
            Self::Linear { start, end } => (
                start > 0.0 && start <= end && end.is_finite(),
                format!("has rates {start} to {end}; they must be positive and finite, and not fall"),
            ),
            Self::Cosine { offset } => {
                ((1e-4..=0.5).contains(&offset), format!("has offset {offset}, allowed are 1e-4 to 0.5"))
            }
        };
        let left = self.at(self.end()).alpha();
        let problem = match fits {
            true if (1e-30..=0.2).contains(&left) => return Ok(()),
            true => format!("leaves a share of {left:.3e} of a sample at its end, allowed are 1e-30 to 0.2"),
            false => problem,
        };
        Err(Error::argument("diffusion", "the noise schedule", problem))
    }

    /// The last time, where sampling starts: 1, or 0.9946 for the cosine.
    pub fn end(&self) -> f64 {
        match self {
            Self::Linear { .. } => 1.0,
            Self::Cosine { .. } => COSINE_END,
        }
    }

    /// The level at a time from 0 to [`NoiseSchedule::end`]. Outside, the formula goes on, and
    /// where it ends (the cosine behind its end) alpha is NaN.
    pub fn at(&self, time: f64) -> NoiseLevel {
        let log_alpha = match *self {
            Self::Linear { start, end } => -0.25 * time * time * (end - start) - 0.5 * time * start,
            Self::Cosine { offset } => {
                let scale = FRAC_PI_2 / (1.0 + offset);
                // cos(a + d) / cos(a) = 1 - 2 sin^2(d / 2) - tan(a) sin(d)
                let (a, d) = (scale * offset, scale * time);
                (-2.0 * (0.5 * d).sin().powi(2) - a.tan() * d.sin()).ln_1p()
            }
        };
        NoiseLevel { time, log_alpha }
    }

    /// The level of a log-SNR, the inverse of [`NoiseLevel::lambda`].
    pub fn at_lambda(&self, lambda: f64) -> NoiseLevel {
        // log alpha = -log(1 + exp(-2 lambda)) / 2
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let log_alpha = -0.5 * softplus(-2.0 * lambda);
        let time = match *self {
            Self::Linear { start, end } => {
                let slope = end - start;
                // The root of t^2 slope / 4 + t start / 2 = -log alpha, without cancellation, also
                // for a slope of 0.
                -4.0 * log_alpha / (start + (start * start - 4.0 * slope * log_alpha).sqrt())
            }
            Self::Cosine { offset } => {
                let a = FRAC_PI_2 * offset / (1.0 + offset);
                let angle = (log_alpha.exp() * a.cos()).acos() - a;
                // One Newton step on the accurate form mends what the difference lost.
                let first = (angle * 2.0 * (1.0 + offset) / PI).max(0.0);
                let slope =
                    -FRAC_PI_2 / (1.0 + offset) * (FRAC_PI_2 * (first + offset) / (1.0 + offset)).tan();
                first - (self.at(first).log_alpha - log_alpha) / slope
            }
        };
        NoiseLevel { time, log_alpha }
    }

    /// `count` levels at the middles of equal parts of the times `from..to`: what training draws
    /// from.
    pub fn levels(
        &self,
        from: f64,
        to: f64,
        count: usize,
    ) -> impl ExactSizeIterator<Item = NoiseLevel> + use<> {
        let schedule = *self;
        let step = (to - from) / count as f64;
        (0..count).map(move |index| schedule.at(from + (index as f64 + 0.5) * step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 3.1: t, alpha, sigma, lambda.
    const TABLE: [(f64, f64, f64, f64); 8] = [
        (1e-5, 0.9999995, 0.0010004971, 6.9072578),
        (1e-3, 0.99994503, 0.010485416, 4.5577149),
        (0.01, 0.999003, 0.044643155, 3.1080568),
        (0.1, 0.9467218, 0.32205254, 1.0782906),
        (0.25, 0.72365719, 0.6901596, 0.047394899),
        (0.5, 0.28118288, 0.9596542, -1.2275677),
        (0.75, 0.058663503, 0.99827781, -2.8342138),
        (1.0, 0.0065715865, 0.99997841, -5.0249784),
    ];

    #[test]
    fn c1_the_linear_schedule_is_the_published_table() {
        for (time, alpha, sigma, lambda) in TABLE {
            let level = NoiseSchedule::default().at(time);
            for (found, known) in [(level.alpha(), alpha), (level.sigma(), sigma), (level.lambda(), lambda)] {
                // The table has 8 digits.
                assert!((found - known).abs() < 1e-7 * known.abs().max(0.1), "{time}: {found} {known}");
                let single = f64::from(found as f32);
                assert!((single - known).abs() < 1e-5 * known.abs(), "{time}: {single} {known}");
            }
        }
    }

    #[test]
    fn c2_a_level_is_found_again_by_its_log_snr() {
        for schedule in [
            NoiseSchedule::default(),
            NoiseSchedule::cosine(),
            NoiseSchedule::Linear { start: 1.0, end: 1.0 },
        ] {
            for step in 0..=1000 {
                let time = 1e-5 + (schedule.end() - 1e-5) * f64::from(step) / 1000.0;
                let level = schedule.at(time);
                let found = schedule.at_lambda(level.lambda());
                assert!((found.time - time).abs() < 1e-9, "{schedule:?} {time}: {}", found.time);
                assert!((found.log_alpha / level.log_alpha - 1.0).abs() < 1e-9, "{schedule:?} {time}");
            }
        }
    }

    #[test]
    fn the_cosine_schedule_is_its_definition() {
        let schedule = NoiseSchedule::cosine();
        let plain = |t: f64| (FRAC_PI_2 * (t + 0.008) / 1.008).cos() / (FRAC_PI_2 * 0.008 / 1.008).cos();
        for time in [0.1, 0.3, 0.7, 0.99] {
            assert!((schedule.at(time).alpha() - plain(time)).abs() < 1e-14, "{time}");
        }
        assert_eq!(schedule.at(0.0).sigma(), 0.0);
    }

    /// Near time 0 the square of sigma is `t start + O(t^2)`: its series, not a difference from 1,
    /// is the measure.
    #[test]
    fn levels_near_time_0_keep_their_accuracy() {
        for time in [1e-12, 1e-9, 1e-7, 1e-5] {
            let level = NoiseSchedule::default().at(time);
            let exponent: f64 = 0.1 * time + 0.5 * 19.9 * time * time;
            let series = exponent - exponent * exponent / 2.0 + exponent.powi(3) / 6.0;
            assert!((level.sigma() / series.sqrt() - 1.0).abs() < 1e-14, "{time}");
            assert!((level.lambda() + 0.5 * series.ln() + 0.5 * exponent).abs() < 1e-13, "{time}");
        }
    }

    #[test]
    fn schedules_without_sense_are_refused() {
        for bad in [
            NoiseSchedule::Linear { start: 0.0, end: 1.0 },
            NoiseSchedule::Linear { start: 2.0, end: 1.0 },
            NoiseSchedule::Linear { start: 1.0, end: f64::NAN },
            NoiseSchedule::Linear { start: 0.1, end: f64::INFINITY },
            NoiseSchedule::Linear { start: 0.1, end: 1000.0 },
            NoiseSchedule::Linear { start: 1.0, end: 1.0 },
            NoiseSchedule::Cosine { offset: 0.0 },
            NoiseSchedule::Cosine { offset: f64::INFINITY },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        NoiseSchedule::default().check().unwrap();
        NoiseSchedule::cosine().check().unwrap();
    }
}
