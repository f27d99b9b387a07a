//! The times that a solver visits.

use serde::{Deserialize, Serialize};

use super::{NoiseLevel, NoiseSchedule};

/// How the times of a solver are spaced between the schedule's end and the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeGrid {
    /// Equal steps of time: what the experiments of arXiv 2304.12824 use. It shrinks clusters when
    /// steps are few.
    Time,
    /// Equal steps of the log-SNR: the better choice at 15 to 25 evaluations.
    #[default]
    LogSnr,
    /// `t_i = (r_0 + i / n (r_n - r_0))^2` with `r` the roots of the first and last time.
    Quadratic,
}

crate::error::named!("time grid", TimeGrid { Time => "time", LogSnr => "log_snr", Quadratic => "quadratic" });

impl TimeGrid {
    /// `steps + 1` levels, from the schedule's end down to `last_time`.
    pub fn levels(self, schedule: &NoiseSchedule, last_time: f64, steps: usize) -> Vec<NoiseLevel> {
        let first_time = schedule.end();
        let between = |first: f64, last: f64, index: usize| {
            let part = index as f64 / steps.max(1) as f64;
            (1.0 - part) * first + part * last
        };
        let [first, last] = [first_time, last_time].map(|time| schedule.at(time));
        (0..=steps)
            .map(|index| match self {
                // The ends exactly.
                _ if index == 0 => first,
                _ if index == steps => last,
                TimeGrid::Time => schedule.at(between(first_time, last_time, index)),
                TimeGrid::LogSnr => schedule.at_lambda(between(first.lambda(), last.lambda(), index)),
                TimeGrid::Quadratic => {
                    schedule.at(between(first_time.sqrt(), last_time.sqrt(), index).powi(2))
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fall_between_their_ends_in_equal_steps_of_their_own() {
        for schedule in [NoiseSchedule::default(), NoiseSchedule::cosine()] {
            for grid in [TimeGrid::Time, TimeGrid::LogSnr, TimeGrid::Quadratic] {
                let levels = grid.levels(&schedule, 1e-3, 20);
                assert_eq!((levels.len(), levels[0].time, levels[20].time), (21, schedule.end(), 1e-3));
                let place = |level: &NoiseLevel| match grid {
                    TimeGrid::Time => level.time,
                    TimeGrid::LogSnr => -level.lambda(),
                    TimeGrid::Quadratic => level.time.sqrt(),
                };
                let whole = place(&levels[0]) - place(&levels[20]);
                for pair in levels.windows(2) {
                    let step = place(&pair[0]) - place(&pair[1]);
                    assert!((step - whole / 20.0).abs() < 1e-9, "{grid:?} {step}");
                }
            }
        }
        assert_eq!(TimeGrid::Time.levels(&NoiseSchedule::default(), 1e-3, 1).len(), 2);
    }
}
