// Non-finite values by their exponent bits: comparisons such as x != x may be folded away.
// Only meaningful for values just loaded from memory.

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
