use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI, TAU};
use std::sync::LazyLock;

use rand::Rng;

use super::curve::{GAUSS, Panel, nodes_near};
use crate::math::{log_sum_exp, normal_pair, uniform};

pub(in crate::tasks) const NOISE_STD: f64 = 0.1;
/// Side of the square over which a point of the arm is spread before the noise: 0.5 before scaling.
pub(in crate::tasks) const JITTER: f64 = 0.5 / 3.0;
const LENGTHS: [f64; 2] = [0.5, 1.5];

/// Two spiral arms, one the other turned by half a circle, each spread over a small square and
/// blurred.
///
/// With `n = 3 pi length sqrt(u)`, a draw is
/// `+-(-n cos n + 0.5 u', n sin n + 0.5 u'') / 3 + 0.1 N(0,
/// I)`, all `u` uniform in (0, 1) and both signs equally likely. So
///
/// `p(y) = (q(y) + q(-y)) / 2`, `q(y) = int_0^N f(y0 - c0(n)) f(y1 - c1(n)) 2 n / N^2 dn`,
/// `N = 3 pi length`, `f(d) = mean over u in (0, 1/6) of N(d; u, 0.01)`.
///
/// Both integrals are Gauss-Legendre sums of 8 nodes: over panels two noise widths long along the
/// arm, and over the square, the latter tabulated as `ln f`. Within 1e-7 of exact, relative,
/// wherever the density is above 1e-6.
#[derive(Clone, Debug)]
pub struct TwoSpirals {
    length: f64,
    panels: Vec<Panel>,
}

impl TwoSpirals {
    /// The spirals at a context, `length = 1 + x / 2` kept within 0.5 to 1.5.
    pub fn at(context: f64) -> Self {
        let length = length_of(context);
        let end = 3.0 * PI * length;
        let mut panels = Vec::new();
        let mut from = 0.0;
        while from < end {
            // |dc/dn| = sqrt(1 + n^2) / 3
            let to = f64::min(from + 6.0 * NOISE_STD / f64::hypot(1.0, from), end);
            panels.push(Panel::new(from, to, arm, |n, width| width * 2.0 * n / (end * end)));
            from = to;
        }
        Self { length, panels }
    }

    /// The length, 0.5 to 1.5; each arm makes 1.5 turns per unit.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// `log p(y)` in nats.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        log_sum_exp([self.one_arm(y), self.one_arm([-y[0], -y[1]])]) - LN_2
    }

    fn one_arm(&self, y: [f64; 2]) -> f64 {
        // A point's square lies to the upper right of it.
        let y = y.map(|v| v - 0.5 * JITTER);
        let slack = NOISE_STD + FRAC_1_SQRT_2 * JITTER;
        let scale = 0.5 / (NOISE_STD * NOISE_STD);
        let (nearest, nodes) = nodes_near(&self.panels, y, slack, scale);
        let offset = scale * nearest * nearest;
        let terms = nodes.map(|node| {
            let spread = log_spread(y[0] - node.point[0]) + log_spread(y[1] - node.point[1]);
            (node.weight, spread)
        });
        let sum: f64 = terms.clone().map(|(weight, spread)| weight * (spread + offset).exp()).sum();
        // Far out a node may be much likelier than the middle of its panel.
        if sum > 0.0 && sum.is_finite() {
            sum.ln() - offset
        } else {
            log_sum_exp(terms.map(|(weight, spread)| weight.ln() + spread))
        }
    }
}

/// `ln f` at `d` from the middle of the interval: cubics between the places of a table, far out the
/// sum itself.
fn log_spread(d: f64) -> f64 {
    /// Values and slopes, `STEPS` to a noise width, out to `FAR` widths; the cubics are within 1e-9
    /// of the sum.
    static TABLE: LazyLock<Vec<[f64; 2]>> = LazyLock::new(|| {
        (0..=FAR * STEPS + 1).map(|at| log_spread_and_slope(at as f64 * NOISE_STD / STEPS as f64)).collect()
    });
    const STEPS: usize = 40;
    const FAR: usize = 20;
    let place = d.abs() * (STEPS as f64 / NOISE_STD);
    let at = place as usize;
    let (Some(a), Some(b)) = (TABLE.get(at), TABLE.get(at.saturating_add(1))) else {
        return log_spread_and_slope(d.abs())[0];
    };
    let (t, width) = (place - at as f64, NOISE_STD / STEPS as f64);
    let (rise, from, to) = (b[0] - a[0], a[1] * width, b[1] * width);
    // Hermite's cubic by its differences.
    a[0] + t * (from + t * ((3.0 * rise - 2.0 * from - to) + t * (from + to - 2.0 * rise)))
}

/// `ln f` and its derivative at `d` from the middle: `f` is the density of a uniform number in an
/// interval of `JITTER` with noise.
fn log_spread_and_slope(d: f64) -> [f64; 2] {
    let scale = 0.5 / (NOISE_STD * NOISE_STD);
    let terms = GAUSS.iter().flat_map(|&(place, weight)| [(place, weight), (-place, weight)]).map(
        |(place, weight)| {
            let off = d - 0.5 * JITTER * place;
            (-scale * off * off + (0.5 * weight).ln(), -2.0 * scale * off)
        },
    );
    let log = log_sum_exp(terms.clone().map(|(term, _)| term));
    let slope = terms.map(|(term, slope)| (term - log).exp() * slope).sum();
    [log - 0.5 * (TAU * NOISE_STD * NOISE_STD).ln(), slope]
}

pub(super) fn length_of(context: f64) -> f64 {
    (1.0 + 0.5 * context).clamp(LENGTHS[0], LENGTHS[1])
}

/// One draw of `y` from spirals of a length; free of the quadrature that the density needs.
pub(super) fn draw(length: f64, rng: &mut impl Rng) -> [f64; 2] {
    draw_labeled(length, rng).1
}

/// One draw of the place `n` along an arm, and of `y`.
pub(in crate::tasks) fn draw_labeled(length: f64, rng: &mut impl Rng) -> (f64, [f64; 2]) {
    let n = 3.0 * PI * length * uniform(rng).sqrt();
    let sign = if uniform(rng) < 0.5 { 1.0 } else { -1.0 };
    let noise = normal_pair(rng);
    let center = arm(n).map(|v| sign * (v + JITTER * uniform(rng)));
    (n, [center[0] + NOISE_STD * noise[0], center[1] + NOISE_STD * noise[1]])
}

/// The point of the first arm at the place `n`, before the spread and the noise.
pub(in crate::tasks) fn arm(n: f64) -> [f64; 2] {
    let (sin, cos) = n.sin_cos();
    [-n * cos / 3.0, n * sin / 3.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defining integrals by brute force (Simpson), over the arm, in `v = sqrt(u)`, and over
    /// the square.
    fn slow_density(length: f64, y: [f64; 2]) -> f64 {
        let simpson = |intervals: u32, function: &dyn Fn(f64) -> f64| {
            let sum: f64 = (0..=intervals)
                .map(|i| {
                    let weight = match i {
                        _ if i == 0 || i == intervals => 1.0,
                        _ if i % 2 == 1 => 4.0,
                        _ => 2.0,
                    };
                    weight * function(f64::from(i) / f64::from(intervals))
                })
                .sum();
            sum / (3.0 * f64::from(intervals))
        };
        let spread = |d: f64| {
            let density = |u: f64| (-0.5 * ((d - JITTER * u) / NOISE_STD).powi(2)).exp();
            simpson(120, &density) / (TAU.sqrt() * NOISE_STD)
        };
        simpson(50_000, &|v| {
            let c = arm(3.0 * PI * length * v);
            let both = [1.0, -1.0].map(|sign| {
                let d = [sign * y[0] - c[0], sign * y[1] - c[1]];
                if d[0].abs() > 1.0 || d[1].abs() > 1.0 { 0.0 } else { spread(d[0]) * spread(d[1]) }
            });
            v * (both[0] + both[1])
        })
    }

    #[test]
    fn quadrature_agrees_with_the_defining_integral() {
        let mut compared = 0;
        for context in [-1.0, 0.2, 1.0] {
            let spirals = TwoSpirals::at(context);
            let end = 3.0 * PI * spirals.length();
            for n in [0.0, 0.3, 0.5 * end, end, end + 0.1] {
                for (sign, offset) in [(1.0, [0.0, 0.0]), (-1.0, [0.21, -0.13]), (1.0, [-0.25, 0.3])] {
                    let y = [sign * arm(n)[0] + offset[0], sign * arm(n)[1] + offset[1]];
                    let (found, wanted) = (spirals.log_density(y).exp(), slow_density(spirals.length(), y));
                    if wanted > 1e-6 {
                        let error = (found / wanted - 1.0).abs();
                        assert!(error < 1e-7, "{context} {y:?}: {found} {wanted}");
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared >= 35, "{compared}");
    }

    #[test]
    fn the_table_of_the_spread_is_accurate_and_far_points_stay_finite() {
        for step in 0..5000 {
            let d = f64::from(step) * 0.000_471;
            let (found, wanted) = (log_spread(-d), log_spread_and_slope(d)[0]);
            assert!((found - wanted).abs() < 1e-9, "{d}: {found} {wanted}");
        }
        let far = TwoSpirals::at(0.0).log_density([80.0, -60.0]);
        assert!((-500_000.0..-450_000.0).contains(&far), "{far}");
    }
}
