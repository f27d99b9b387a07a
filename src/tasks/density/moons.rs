use std::f64::consts::PI;

use rand::Rng;

use super::curve::{BlurredCurve, Panel};
use crate::math::{normal_pair, uniform};

/// The generator's scale and shift, after which the noise is 0.2.
pub(in crate::tasks) const SCALE: f64 = 2.0;
const SHIFT: [f64; 2] = [-1.0, -0.2];
pub(in crate::tasks) const NOISE_STD: f64 = 0.1 * SCALE;

/// Two half circles that reach into each other, with noise 0.2 after scaling.
///
/// With a uniform angle `a` in (0, pi), a draw is `2 c(a) + (-1, -0.2) + 0.2 N(0, I)`, where `c` is
/// one of the moons `(cos a, sin a)` and `(1 - cos a, 0.5 - gap - sin a)` with equal chance. The
/// density is integrated over `a` by Gauss-Legendre panels one noise width long: within 1e-9 of
/// exact, relative, wherever it is above 1e-6.
#[derive(Clone, Debug)]
pub struct Moons {
    gap: f64,
    curve: BlurredCurve,
}

impl Moons {
    /// The moons at a context, `gap = x / 4` kept within -0.25 to 0.25: from deep inside each other
    /// to almost apart.
    pub fn at(context: f64) -> Self {
        let gap = gap_of(context);
        let count = (PI * SCALE / NOISE_STD).ceil();
        let step = PI / count;
        let panels = [false, true]
            .into_iter()
            .flat_map(|second| {
                (0..count as usize).map(move |index| {
                    let from = index as f64 * step;
                    Panel::new(from, from + step, |a| moon(second, gap, a), |_, width| width / (2.0 * PI))
                })
            })
            .collect();
        Self { gap, curve: BlurredCurve::new(NOISE_STD, panels) }
    }

    /// How much lower than in the textbook shape the second moon lies, before scaling.
    pub fn gap(&self) -> f64 {
        self.gap
    }

    /// `log p(y)` in nats.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        self.curve.log_density(y)
    }
}

pub(super) fn gap_of(context: f64) -> f64 {
    0.25 * context.clamp(-1.0, 1.0)
}

/// One draw of `y` from moons with a gap; free of the quadrature that the density needs.
pub(super) fn draw(gap: f64, rng: &mut impl Rng) -> [f64; 2] {
    draw_labeled(gap, rng).1
}

/// One draw of the moon, `true` for the second, and of `y`.
pub(in crate::tasks) fn draw_labeled(gap: f64, rng: &mut impl Rng) -> (bool, [f64; 2]) {
    let second = uniform(rng) >= 0.5;
    let center = moon(second, gap, PI * uniform(rng));
    let noise = normal_pair(rng);
    (second, [center[0] + NOISE_STD * noise[0], center[1] + NOISE_STD * noise[1]])
}

/// The point of a moon at the angle `a`, before the noise.
pub(in crate::tasks) fn moon(second: bool, gap: f64, a: f64) -> [f64; 2] {
    let (sin, cos) = a.sin_cos();
    let c = if second { [1.0 - cos, 0.5 - gap - sin] } else { [cos, sin] };
    [SCALE * c[0] + SHIFT[0], SCALE * c[1] + SHIFT[1]]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::tasks::density::curve::squared_distance;

    #[test]
    fn quadrature_agrees_with_the_defining_integral() {
        // Simpson's rule over the angle of each moon.
        let slow = |gap: f64, y: [f64; 2]| {
            let intervals = 20_000;
            let sum: f64 = (0..=intervals)
                .map(|i| {
                    let a = PI * f64::from(i) / f64::from(intervals);
                    let weight = match i {
                        _ if i == 0 || i == intervals => 1.0,
                        _ if i % 2 == 1 => 4.0,
                        _ => 2.0,
                    };
                    let both = [false, true].map(|second| {
                        (-0.5 * squared_distance(moon(second, gap, a), y) / (NOISE_STD * NOISE_STD)).exp()
                    });
                    weight * 0.5 * (both[0] + both[1])
                })
                .sum();
            sum / (3.0 * f64::from(intervals)) / (TAU * NOISE_STD * NOISE_STD)
        };
        let mut compared = 0;
        for context in [-1.0, 0.0, 0.7] {
            let moons = Moons::at(context);
            for y in
                [[-3.0, 0.0], [0.1, 0.2], [1.0, -0.4], [3.1, 0.9], [-0.7, 1.7], [1.0, -1.4], [-2.0, -0.8]]
            {
                let (found, wanted) = (moons.log_density(y).exp(), slow(moons.gap(), y));
                if wanted > 1e-6 {
                    assert!((found / wanted - 1.0).abs() < 1e-9, "{context} {y:?}: {found} {wanted}");
                    compared += 1;
                }
            }
        }
        assert!(compared >= 15, "{compared}");
        let far = Moons::at(0.0).log_density([80.0, -60.0]);
        assert!((-130_000.0..-110_000.0).contains(&far), "{far}");
    }
}
