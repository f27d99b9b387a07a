use std::f64::consts::{PI, TAU};

use rand::Rng;

use crate::math::{normal_pair, uniform};

const RADIAL_STD: f64 = 0.3;
const TANGENTIAL_STD: f64 = 0.1;
const RATE: f64 = 0.25;
const ARMS: std::ops::RangeInclusive<u32> = 3..=6;

/// Beyond this radius the density is called zero: it is below 1e-100, and the number of roots grows
/// as `exp(r)`.
const FAR: f64 = 8.0;

/// Smallest Jacobian: it vanishes on the folds, curves of no area far out in the tails, where the
/// density is infinite.
const CAUSTIC: f64 = 1e-9;

/// `arms` blurred spokes bent into a pinwheel of radius 1.
///
/// A draw is `f = (1 + 0.3 n1, 0.1 n2)` turned by `-g`, `g = 2 pi j / arms + 0.25 exp(f1)`, with a
/// uniform arm `j` and standard normal `n`. Its density in closed form: with `r = |y|`,
/// `phi = atan2(y2, y1)`, for every arm and every root `psi` of
/// `psi - 2 pi j / arms - 0.25 exp(r cos psi) = phi (mod 2 pi)`, at `f = r (cos psi, sin psi)`,
///
/// `p(y) = sum p(f) / (arms |1 + 0.25 exp(f1) f2|)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinwheel {
    arms: u32,
}

impl Pinwheel {
    /// The pinwheel at a context, `arms = 1.5 x + 4.5` rounded and kept within 3 to 6.
    pub fn at(context: f64) -> Self {
        let arms = (1.5 * context + 4.5).round() as u32;
        Self { arms: arms.clamp(*ARMS.start(), *ARMS.end()) }
    }

    /// A uniformly drawn member of the family.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        let count = ARMS.end() - ARMS.start() + 1;
        Self { arms: ARMS.start() + (uniform(rng) * f64::from(count)) as u32 }
    }

    /// The number of arms.
    pub fn arms(&self) -> u32 {
        self.arms
    }

    /// `x = (arms - 4.5) / 1.5`.
    pub fn context(&self) -> f64 {
        (f64::from(self.arms) - 4.5) / 1.5
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        let arm = (uniform(rng) * f64::from(self.arms)).floor();
        let n = normal_pair(rng);
        let f = [1.0 + RADIAL_STD * n[0], TANGENTIAL_STD * n[1]];
        let (sin, cos) = (TAU * arm / f64::from(self.arms) + RATE * f[0].exp()).sin_cos();
        [f[0] * cos + f[1] * sin, f[1] * cos - f[0] * sin]
    }

    /// `log p(y)` in nats, exact to rounding; `-inf` beyond radius 8.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        let mut density = 0.0;
        self.for_each_source(y, |f, jacobian| density += source_density(f) / jacobian);
        (density / f64::from(self.arms)).ln()
    }

    /// Every `f` that some arm turns into `y`, with `|d phi / d psi|` there.
    pub(super) fn for_each_source(&self, y: [f64; 2], mut visit: impl FnMut([f64; 2], f64)) {
        let r = y[0].hypot(y[1]);
        if r.is_nan() || r > FAR {
            return;
        }
        let turn = |psi: f64| psi - RATE * (r * psi.cos()).exp();
        let slope = |psi: f64| 1.0 + RATE * (r * psi.cos()).exp() * r * psi.sin();
        let bend = |psi: f64| {
            let (sin, cos) = psi.sin_cos();
            RATE * (r * cos).exp() * r * (cos - r * sin * sin)
        };

        // The slope has one minimum, at negative psi; if it dips below zero there, two folds bound
        // a falling stretch.
        let lowest = -(2.0 * r / (1.0 + (1.0 + 4.0 * r * r).sqrt())).acos();
        let cuts = if slope(lowest) < 0.0 {
            let first = falling_root(-PI, lowest, |psi| (slope(psi), bend(psi)));
            let second = falling_root(lowest, 0.0, |psi| (-slope(psi), -bend(psi)));
            vec![first, second, first + TAU]
        } else {
            vec![-PI, PI]
        };

        // The arms together want turn(psi) = phi + i * 2 pi / arms for any integer i, over one
        // period of psi.
        let phi = y[1].atan2(y[0]);
        let step = TAU / f64::from(self.arms);
        for stretch in cuts.windows(2) {
            let (from, to) = (turn(stretch[0]), turn(stretch[1]));
            let sign = if to > from { 1.0 } else { -1.0 };
            let (low, high) = (from.min(to), from.max(to));
            let mut index = ((low - phi) / step).ceil();
            while phi + index * step < high {
                let target = phi + index * step;
                let psi = falling_root(stretch[0], stretch[1], |psi| {
                    (sign * (target - turn(psi)), -sign * slope(psi))
                });
                let (sin, cos) = psi.sin_cos();
                visit([r * cos, r * sin], slope(psi).abs().max(CAUSTIC));
                index += 1.0;
            }
        }
    }
}

pub(super) fn source_density(f: [f64; 2]) -> f64 {
    let (a, b) = ((f[0] - 1.0) / RADIAL_STD, f[1] / TANGENTIAL_STD);
    (-0.5 * (a * a + b * b)).exp() / (TAU * RADIAL_STD * TANGENTIAL_STD)
}

/// The root of a function that falls from `low` to `high`, given with its derivative: Newton steps,
/// and bisection where one would leave the bracket. The nearer end if there is no sign change.
fn falling_root(mut low: f64, mut high: f64, function: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut point = 0.5 * (low + high);
    for _ in 0..100 {
        let (value, derivative) = function(point);
        if value > 0.0 {
            low = point;
        } else {
            high = point;
        }
        let newton = point - value / derivative;
        let next = if low < newton && newton < high { newton } else { 0.5 * (low + high) };
        if (next - point).abs() <= 1e-15 {
            return next;
        }
        point = next;
    }
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::density::histogram::cell_centers;

    #[test]
    fn sources_lead_back_from_every_arm() {
        for arms in ARMS {
            let pinwheel = Pinwheel { arms };
            for y in cell_centers(3.0, 48) {
                let mut reached = vec![0; arms as usize];
                pinwheel.for_each_source(y, |f, jacobian| {
                    let expected = (1.0 + RATE * f[0].exp() * f[1]).abs();
                    assert!((jacobian - expected).abs() <= 1e-9 * (1.0 + expected));
                    for (arm, count) in reached.iter_mut().enumerate() {
                        let angle = TAU * arm as f64 / f64::from(arms) + RATE * f[0].exp();
                        let (sin, cos) = angle.sin_cos();
                        let back = [f[0] * cos + f[1] * sin, f[1] * cos - f[0] * sin];
                        let miss = (back[0] - y[0]).hypot(back[1] - y[1]);
                        *count += usize::from(miss < 1e-9);
                    }
                });
                // A fold adds roots in pairs.
                assert!(reached.iter().all(|count| count % 2 == 1), "{y:?}: {reached:?}");
            }
        }
    }

    #[test]
    fn far_points_are_zero_and_quick() {
        for y in [[9.0, 0.0], [1e300, 1e300], [f64::NAN, 0.0], [f64::INFINITY, 0.0]] {
            assert_eq!(Pinwheel::at(0.3).log_density(y), f64::NEG_INFINITY);
        }
    }
}
