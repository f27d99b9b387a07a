//! Numbers drawn on the host. The conversions are done here, so that a seed gives the same draws
//! with every version of `rand`.

use std::f64::consts::TAU;

use rand::Rng;

/// Uniform in the open interval (0, 1); 52 bits, because with 53 the half step would round up to 1.
pub(crate) fn uniform(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

/// Two independent standard normal numbers (Box-Muller).
pub(crate) fn normal_pair(rng: &mut impl Rng) -> [f64; 2] {
    let radius = (-2.0 * uniform(rng).ln()).sqrt();
    let (sin, cos) = (TAU * uniform(rng)).sin_cos();
    [radius * cos, radius * sin]
}

/// The index of one of `weights`, which add up to 1, each with its chance; the last where rounding
/// leaves a gap.
pub(crate) fn pick(weights: impl IntoIterator<Item = f64>, rng: &mut impl Rng) -> usize {
    let mut place = uniform(rng);
    let mut last = 0;
    for (index, weight) in weights.into_iter().enumerate() {
        place -= weight;
        if place < 0.0 {
            return index;
        }
        last = index;
    }
    last
}
