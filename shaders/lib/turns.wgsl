// Phases counted in turns: the whole turns of a product are dropped exactly, before anything is
// rounded.
//
//   turns(a, b) = a b 2^32 modulo 2^32, to the nearest integer
//   turn_circle(t) = (cos, sin)(2 pi t 2^-32)
//
// Defined for all finite a and b, and infinities count as 2^128; a subnormal counts as 0, because
// drivers may make it one. Sums of turns wrap round as they should.
//
// Numerics: mantissas are multiplied as integers, so a product is within 2^-33 turn (7.3e-10
// radians) of its exact value whatever its size. turn_circle is within 3e-7 of the exact cosine and
// sine: no native ones.
//#include "lib/philox.wgsl"

fn turns(a: f32, b: f32) -> u32 {
    let x = bitcast<u32>(a);
    let y = bitcast<u32>(b);
    let x_exponent = (x >> 23u) & 255u;
    let y_exponent = (y >> 23u) & 255u;
    let x_mantissa = (x & 0x007fffffu) | 0x00800000u;
    let y_mantissa = (y & 0x007fffffu) | 0x00800000u;
    // The product is (high, low) 2^(exponents - 300).
    let low = x_mantissa * y_mantissa;
    let high = mul_high(x_mantissa, y_mantissa);
    let up = i32(x_exponent + y_exponent) - 268;
    let down = u32(max(-up, 0));
    var turn = 0u;
    if (up >= 0) {
        turn = select(low << (u32(up) & 31u), 0u, up >= 32);
    } else if (down < 32u) {
        turn = (low >> down) + (high << (32u - down)) + ((low >> (down - 1u)) & 1u);
    } else if (down == 32u) {
        turn = high + (low >> 31u);
    } else if (down < 64u) {
        turn = (high >> (down - 32u)) + ((high >> (down - 33u)) & 1u);
    }
    turn = select(turn, 0u, x_exponent == 0u || y_exponent == 0u);
    return select(turn, ~turn + 1u, ((x ^ y) >> 31u) == 1u);
}

fn turn_circle(turn: u32) -> vec2<f32> {
    let quarter = (turn + 0x20000000u) >> 30u;
    let rest = bitcast<i32>(turn - (quarter << 30u));
    return quarter_circle(f32(rest) * 1.4629180793e-9, quarter);
}
