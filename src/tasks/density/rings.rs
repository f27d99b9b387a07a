use std::f64::consts::TAU;

use rand::Rng;

use crate::math::{log_sum_exp, normal_pair, uniform};

pub(in crate::tasks) const NOISE_STD: f64 = 0.08;
/// Radii from the outside in.
pub(in crate::tasks) const RADII: [f64; 4] = [3.0, 2.25, 1.5, 0.75];

/// One to four rings round the origin, the outermost of radius 3, all of the same mass, with noise
/// 0.08.
///
/// A draw is a uniform angle on a uniformly chosen ring plus `0.08 N(0, I)`. In closed form, with
/// `r = |y|` and the modified Bessel function of order 0,
///
/// `p(y) = mean_R exp(-(r^2 + R^2) / (2 s^2)) I0(r R / s^2) / (2 pi s^2)`, `s = 0.08`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    count: u32,
}

impl Rings {
    /// The rings at a context: 1 to 4 of them, `count = 1.5 x + 2.5`, the outermost first.
    pub fn at(context: f64) -> Self {
        let count = (1.5 * context + 2.5).round() as u32;
        Self { count: count.clamp(1, 4) }
    }

    /// A uniformly drawn member of the family.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        Self { count: 1 + (4.0 * uniform(rng)) as u32 }
    }

    /// The number of rings.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// `x = (count - 2.5) / 1.5`.
    pub fn context(&self) -> f64 {
        (f64::from(self.count) - 2.5) / 1.5
    }

    fn radii(&self) -> &'static [f64] {
        &RADII[..self.count as usize]
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        self.draw_labeled(rng).1
    }

    /// One draw of the ring, 0 for the outermost, and of `y`.
    pub(in crate::tasks) fn draw_labeled(&self, rng: &mut impl Rng) -> (usize, [f64; 2]) {
        let ring = (uniform(rng) * f64::from(self.count)) as usize;
        let radius = self.radii()[ring];
        let (sin, cos) = (TAU * uniform(rng)).sin_cos();
        let noise = normal_pair(rng);
        (ring, [radius * cos + NOISE_STD * noise[0], radius * sin + NOISE_STD * noise[1]])
    }

    /// `log p(y)` in nats, exact to rounding.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        let variance = NOISE_STD * NOISE_STD;
        let r = y[0].hypot(y[1]);
        let terms = self
            .radii()
            .iter()
            .map(|radius| log_scaled_bessel(r * radius / variance) - 0.5 * (r - radius).powi(2) / variance);
        log_sum_exp(terms) - (TAU * variance * f64::from(self.count)).ln()
    }
}

/// `ln (exp(-z) I0(z))` for `z >= 0`: the power series where it is short, beyond that the
/// asymptotic one, whose smallest term is below `exp(-40)` there.
fn log_scaled_bessel(z: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    if z < 20.0 {
        for k in 1..60 {
            term *= (0.5 * z / f64::from(k)).powi(2);
            sum += term;
        }
        return sum.ln() - z;
    }
    for k in 1..20 {
        let odd = f64::from(2 * k - 1);
        term *= odd * odd / (8.0 * z * f64::from(k));
        sum += term;
    }
    sum.ln() - 0.5 * (TAU * z).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form_agrees_with_the_defining_integral() {
        let slow = |rings: &Rings, y: [f64; 2]| {
            let variance = NOISE_STD * NOISE_STD;
            let points = 4000;
            let sum: f64 = rings
                .radii()
                .iter()
                .flat_map(|radius| (0..points).map(move |i| (radius, TAU * f64::from(i) / f64::from(points))))
                .map(|(radius, angle)| {
                    let (dx, dy) = (y[0] - radius * angle.cos(), y[1] - radius * angle.sin());
                    (-0.5 * (dx * dx + dy * dy) / variance).exp()
                })
                .sum();
            sum / f64::from(points) / f64::from(rings.count) / (TAU * variance)
        };
        for context in [-1.0, 0.4, 1.0] {
            let rings = Rings::at(context);
            for y in [[3.0, 0.1], [0.0, 0.0], [0.2, -0.5], [-1.4, 0.9], [1.6, -1.5], [0.01, 2.4], [2.3, 2.2]]
            {
                let (found, wanted) = (rings.log_density(y).exp(), slow(&rings, y));
                assert!(
                    (found - wanted).abs() <= 1e-10 * wanted + 1e-200,
                    "{rings:?} {y:?}: {found} {wanted}"
                );
            }
        }
    }

    #[test]
    fn both_series_meet() {
        // Known values of ln(exp(-z) I0(z)) beside the continuity at the border.
        let known = [
            (0.0, 0.0),
            (1.0, 1.266_065_877_752_008_4f64.ln() - 1.0),
            (10.0, 2_815.716_628_466_254f64.ln() - 10.0),
        ];
        for (z, wanted) in known {
            assert!((log_scaled_bessel(z) - wanted).abs() < 1e-13, "{z}");
        }
        let jump = log_scaled_bessel(20.0) - log_scaled_bessel(20.0f64.next_down());
        assert!(jump.abs() < 1e-14, "{jump}");
    }
}
