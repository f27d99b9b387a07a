use std::f64::consts::PI;

use rand::Rng;

use super::curve::{BlurredCurve, Panel};
use crate::math::{normal_pair, uniform};

const NOISE_STD: f64 = 0.1;
const LENGTHS: [f64; 2] = [0.5, 1.5];

/// A spiral of one arm, thick 0.1 and up to 4.7 from the origin.
///
/// A draw is `y = (-n cos n, n sin n) / 3 + 0.1 N(0, I)` with `n = 3 pi length sqrt(u)`, `u`
/// uniform in (0, 1), so
///
/// `p(y) = int_0^N N(y; c(n), 0.01 I) 2 n / N^2 dn`, `N = 3 pi length`,
/// `c(n) = (-n cos n, n sin n) / 3`,
///
/// computed by Gauss-Legendre panels one noise width long along the curve: within 1e-7 of exact,
/// relative, wherever the density is above 1e-6.
#[derive(Clone, Debug)]
pub struct Spiral {
    length: f64,
    curve: BlurredCurve,
}

impl Spiral {
    /// The spiral at a context, `length = 1 + x / 2` kept within 0.5 to 1.5.
    pub fn at(context: f64) -> Self {
        let length = (1.0 + 0.5 * context).clamp(LENGTHS[0], LENGTHS[1]);
        let end = 3.0 * PI * length;
        let mut panels = Vec::new();
        let mut from = 0.0;
        while from < end {
            // |dc/dn| = sqrt(1 + n^2) / 3
            let to = f64::min(from + 3.0 * NOISE_STD / f64::hypot(1.0, from), end);
            panels.push(Panel::new(from, to, curve, |n, width| width * 2.0 * n / (end * end)));
            from = to;
        }
        Self { length, curve: BlurredCurve::new(NOISE_STD, panels) }
    }

    /// The length, 0.5 to 1.5; the arm makes 1.5 turns per unit.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// `log p(y)` in nats.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        self.curve.log_density(y)
    }
}

/// A uniformly drawn length.
pub(super) fn random_length(rng: &mut impl Rng) -> f64 {
    LENGTHS[0] + (LENGTHS[1] - LENGTHS[0]) * uniform(rng)
}

/// `x = 2 (length - 1)`.
pub(super) fn context_of(length: f64) -> f64 {
    2.0 * (length - 1.0)
}

/// One draw of `y` from the spiral of a length; free of the quadrature that the density needs.
pub(super) fn draw(length: f64, rng: &mut impl Rng) -> [f64; 2] {
    let center = curve(3.0 * PI * length * uniform(rng).sqrt());
    let noise = normal_pair(rng);
    [center[0] + NOISE_STD * noise[0], center[1] + NOISE_STD * noise[1]]
}

fn curve(n: f64) -> [f64; 2] {
    let (sin, cos) = n.sin_cos();
    [-n * cos / 3.0, n * sin / 3.0]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::tasks::density::curve::squared_distance;

    /// The defining integral by brute force (Simpson), over `v = sqrt(u)` because `curve` is not
    /// smooth in `u` at 0.
    fn slow_density(length: f64, y: [f64; 2]) -> f64 {
        let intervals = 100_000;
        let variance = NOISE_STD * NOISE_STD;
        let sum: f64 = (0..=intervals)
            .map(|i| {
                let v = f64::from(i) / f64::from(intervals);
                let weight = match i {
                    _ if i == 0 || i == intervals => 1.0,
                    _ if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                let center = curve(3.0 * PI * length * v);
                weight * 2.0 * v * (-0.5 * squared_distance(center, y) / variance).exp()
            })
            .sum();
        sum / (3.0 * f64::from(intervals)) / (TAU * variance)
    }

    #[test]
    fn quadrature_agrees_with_the_defining_integral() {
        let mut compared = 0;
        for length in [0.5, 1.1, 1.5] {
            let spiral = Spiral::at(context_of(length));
            let end = 3.0 * PI * length;
            // On the curve, beside it, at its start, and past its end.
            for n in [0.0, 0.02, 0.4, 0.3 * end, 0.77 * end, end - 0.03, end, end + 0.1] {
                for offset in [[0.0, 0.0], [0.21, -0.13], [-0.3, 0.35]] {
                    let y = [curve(n)[0] + offset[0], curve(n)[1] + offset[1]];
                    let (found, wanted) = (spiral.log_density(y).exp(), slow_density(length, y));
                    let error = (found / wanted - 1.0).abs();

                    assert!(error < 1e-7, "length {length} y {y:?}: {found} {wanted}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 72);
    }

    #[test]
    fn far_points_stay_finite() {
        let spiral = Spiral::at(0.0);
        let far = spiral.log_density([80.0, -60.0]);
        assert!((-500_000.0..-450_000.0).contains(&far), "{far}");
    }
}
