// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011), uniforms and normals.
//
//   counter = (element, step low, step high, stream << 16 | inner step)      key = seed (low, high)
//   uniform u = (x >> 9 + 1/2) 2^-23, exact, in [2^-24, 1 - 2^-24]
//   normals by Box-Muller: sqrt(-2 ln u0) (cos 2 pi u1, sin 2 pi u1)
//
// Numerics: the integers are the same bits on every device. The logarithm, sine and cosine are
// polynomials of our own over exactly reduced arguments, so that coarse native ones do not matter:
// normals within 4e-7 relative to their exact value (largest 5.77).
//#include "lib/run_state.wgsl"

fn mul_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    // At most (2^16 - 1)^2 + 2^16 - 2: no overflow.
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let low = a_low * b_high + (middle & 0xffffu);
    return a_high * b_high + (middle >> 16u) + (low >> 16u);
}

fn philox4x32(start: vec4<u32>, seed: vec2<u32>, rounds: u32) -> vec4<u32> {
    var counter = start;
    var key = seed;
    for (var round = 0u; round < rounds; round++) {
        let high0 = mul_high(0xD2511F53u, counter.x);
        let low0 = 0xD2511F53u * counter.x;
        let high1 = mul_high(0xCD9E8D57u, counter.z);
        let low1 = 0xCD9E8D57u * counter.z;
        counter = vec4<u32>(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// The block of four words that one element owns in a stream at a step.
fn random_words4(run: RunState, element: u32, stream: u32, inner: u32) -> vec4<u32> {
    let counter = vec4<u32>(element, run.step_low, run.step_high, (stream << 16u) | inner);
    return philox4x32(counter, vec2<u32>(run.seed_low, run.seed_high), 10u);
}

fn uniform4(words: vec4<u32>) -> vec4<f32> {
    return (vec4<f32>(words >> vec4<u32>(9u)) + 0.5) * 1.1920928955078125e-7;
}

// -ln u for u in (0, 1): u = m 2^e with m in [1/sqrt 2, sqrt 2), ln m = 2 atanh((m - 1) / (m + 1)).
fn negative_log(u: f32) -> f32 {
    let bits = bitcast<u32>(u);
    let mantissa = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
    let halve = mantissa > 1.4142135;
    let m = select(mantissa, 0.5 * mantissa, halve);
    let e = f32(i32(bits >> 23u) - 127 + select(0, 1, halve));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 2.0 * s * (1.0 + q * (0.33333333 + q * (0.2 + q * (0.14285714 + q * (0.11111111 + q * 0.09090909)))));
    return -(e * 0.69314718 + series);
}

// (cos, sin) of t plus k quarter turns, for t within pi / 4 of 0.
fn quarter_circle(t: f32, k: u32) -> vec2<f32> {
    let q = t * t;
    let s = t * (1.0 + q * (-0.16666667 + q * (0.0083333333 + q * (-0.00019841270 + q * 2.7557319e-6))));
    let c = 1.0 + q * (-0.5 + q * (0.041666667 + q * (-0.0013888889 + q * 2.4801587e-5)));
    let turned = select(vec2<f32>(c, s), vec2<f32>(-s, c), (k & 1u) == 1u);
    return select(turned, -turned, (k & 3u) >= 2u);
}

// (cos, sin) of 2 pi u for u in (0, 1): the quarter turn is split off exactly.
fn unit_circle(u: f32) -> vec2<f32> {
    let quarter = floor(4.0 * u + 0.5);
    return quarter_circle((4.0 * u - quarter) * 1.5707963, u32(quarter));
}

fn normal4(words: vec4<u32>) -> vec4<f32> {
    let u = uniform4(words);
    let first = sqrt(2.0 * negative_log(u.x)) * unit_circle(u.y);
    let second = sqrt(2.0 * negative_log(u.z)) * unit_circle(u.w);
    return vec4<f32>(first, second);
}
