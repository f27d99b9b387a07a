//! The standard normal's mass over an interval, accurate in the far tails and for narrow intervals.

use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

use crate::tasks::density::curve::GAUSS;

/// `ln (Phi(high) - Phi(low))` for `low < high`, to about 1e-10.
pub(super) fn log_mass(low: f64, high: f64) -> f64 {
    // By symmetry the middle is never negative.
    let (low, high) = if low + high < 0.0 { (-high, -low) } else { (low, high) };
    let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
    if half <= 1.0 && half * middle <= 2.0 {
        // Two tails of nearly the same mass would cancel: the density's integral instead.
        let sum: f64 = GAUSS
            .iter()
            .map(|&(place, weight)| {
                let off = half * place;
                let tilt = (middle * off).exp();
                weight * (-0.5 * off * off).exp() * (tilt + tilt.recip())
            })
            .sum();
        return (sum * half).ln() - 0.5 * (middle * middle + TAU.ln());
    }
    let [low, high] = [low, high].map(|v| v * FRAC_1_SQRT_2);
    if low >= 0.0 {
        let share = (-(high - low) * (high + low)).exp();
        (0.5 * (scaled_tail(low) - share * scaled_tail(high))).ln() - low * low
    } else {
        (-0.5 * (tail(-low) + tail(high))).ln_1p()
    }
}

/// `Phi(z)`.
pub(super) fn cumulative(z: f64) -> f64 {
    let upper = 0.5 * tail(z.abs() * FRAC_1_SQRT_2);
    if z < 0.0 { upper } else { 1.0 - upper }
}

/// The antiderivative of `Phi` that vanishes at minus infinity, `z Phi(z) + phi(z)`.
pub(super) fn cumulative_twice(z: f64) -> f64 {
    z * cumulative(z) + (-0.5 * z * z).exp() / TAU.sqrt()
}

/// `erfc(v)` for `v >= 0`.
fn tail(v: f64) -> f64 {
    (-v * v).exp() * scaled_tail(v)
}

/// `exp(v^2) erfc(v)` for `v >= 0`.
fn scaled_tail(v: f64) -> f64 {
    if v < 2.0 {
        // erf(v) = 2 / sqrt(pi) exp(-v^2) sum 2^n v^(2n+1) / (2n+1)!!: no term is negative.
        let (mut term, mut sum) = (v, v);
        for n in 1..50 {
            term *= 2.0 * v * v / f64::from(2 * n + 1);
            sum += term;
            if term < 1e-17 * sum {
                break;
            }
        }
        return (v * v).exp() - 2.0 / PI.sqrt() * sum;
    }
    // The continued fraction 1 / (v + (1/2) / (v + (2/2) / (v + (3/2) / ..))); its error falls as
    // exp(-2 v sqrt(2 n)) from n = v^2 on.
    let terms = (200.0 / (v * v)).ceil() + 10.0;
    let mut rest = v;
    for n in (1..=terms as u32).rev() {
        rest = v + 0.5 * f64::from(n) / rest;
    }
    1.0 / (PI.sqrt() * rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_the_known_ones() {
        // exp(v^2) erfc(v), from tables.
        for (v, wanted) in [
            (0.0, 1.0),
            (0.5, 0.615_690_344_192_925_9),
            (1.0, 0.427_583_576_155_807),
            (2.0, 0.255_395_676_310_505_74),
            (3.0, 0.179_001_151_181_389_95),
            (10.0, 0.056_140_992_743_822_59),
        ] {
            let found = scaled_tail(v);
            assert!((found / wanted - 1.0).abs() < 1e-13, "{v}: {found} {wanted}");
        }
        let jump = scaled_tail(2.0) / scaled_tail(2.0f64.next_down()) - 1.0;
        assert!(jump.abs() < 1e-13, "{jump}");
        assert!((cumulative(1.959_963_984_540_054) - 0.975).abs() < 1e-15);
        assert_eq!(cumulative(-1.0) + cumulative(1.0), 1.0);
    }

    /// Composite Simpson of the density, scaled by its largest value.
    fn slow_log_mass(low: f64, high: f64) -> f64 {
        let intervals = 200_000;
        let nearest = 0.0f64.clamp(low, high);
        let sum: f64 = (0..=intervals)
            .map(|i| {
                let z = low + (high - low) * f64::from(i) / f64::from(intervals);
                let weight = match i {
                    _ if i == 0 || i == intervals => 1.0,
                    _ if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * (0.5 * (nearest * nearest - z * z)).exp()
            })
            .sum();
        (sum * (high - low) / (3.0 * f64::from(intervals))).ln() - 0.5 * (nearest * nearest + TAU.ln())
    }

    #[test]
    fn masses_agree_with_the_defining_integral() {
        for width in [1e-3, 0.1, 0.9, 1.9, 2.1, 5.0, 20.0] {
            for middle in [-30.0, -4.1, -1.0, 0.0, 0.3, 1.0, 1.9, 2.2, 7.0, 11.0, 40.0] {
                let (low, high) = (middle - 0.5 * width, middle + 0.5 * width);
                let (found, wanted) = (log_mass(low, high), slow_log_mass(low, high));
                assert!((found - wanted).abs() < 1e-9, "{low} {high}: {found} {wanted}");
                let slope = (cumulative_twice(high) - cumulative_twice(low)) / width;
                let rounding = 1e-15 * (1.0 + high.abs()) / width;
                assert!(slope <= cumulative(high) + rounding && slope >= cumulative(low) - rounding);
            }
        }
        assert!((log_mass(1e5, 1e5 + 1.0) + 0.5e10).abs() < 20.0);
    }
}
