// Non-finite values by their exponent bits: comparisons such as x != x may be folded away.
// Only meaningful for values just loaded from memory.

// Energies, log-densities and outputs up to here are promised to work: sums and differences of a
// few stay finite.
// Shared with the host.
const MAX_MAGNITUDE: f32 = 1.0e36;

// The bits of what stands for a value that is not finite.
const NOT_A_NUMBER: u32 = 0x7fc00000u;

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

fn are_finite(x: vec4<f32>) -> bool {
    return all((bitcast<vec4<u32>>(x) & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u));
}

fn is_within(x: f32, largest: f32) -> bool {
    return is_finite(x) && abs(x) <= largest;
}
