// Log-sum-exp as running pairs (maximum, sum of exponentials relative to it).
//
//   (m, s) + x = (m', s exp(m - m') + exp(x - m')), m' = max(m, x)      log-sum-exp = m + log(s)
//
// Numerics: exponents are never positive, and never below -87, so no overflow; terms that small
// count as 0. The empty pair is (-3e38, 0): differences with any |x| <= 1e37 stay finite. An x that
// is NaN or minus infinity counts as 0 as well: whoever must not lose one tests what x is made of.

const EMPTY_MAXIMUM: f32 = -3.0e38;

fn exp_negative(x: f32) -> f32 {
    return select(0.0, exp(max(x, -87.0)), x > -87.0);
}

fn pair_add(pair: vec2<f32>, x: f32) -> vec2<f32> {
    let m = max(pair.x, x);
    return vec2<f32>(m, pair.y * exp_negative(pair.x - m) + exp_negative(x - m));
}

fn pair_merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let m = max(a.x, b.x);
    return vec2<f32>(m, a.y * exp_negative(a.x - m) + b.y * exp_negative(b.x - m));
}

fn pair_value(pair: vec2<f32>) -> f32 {
    // No term at all is minus infinity, which some drivers' log(0) is not.
    return bitcast<f32>(select(0xff800000u, bitcast<u32>(pair.x + log(pair.y)), pair.y > 0.0));
}
