// The density of the uniform distribution in a box.
//#include "lib/finite.wgsl"

// log q outside the box: finite, and lower than any density inside.
// Shared with the host.
const OUTSIDE_LOG_DENSITY: f32 = -1.0e30;

// log q of a point, NaN if not all its coordinates are finite.
fn box_log_density(of_inside: f32, inside: bool, sound: bool) -> f32 {
    let log_density = select(OUTSIDE_LOG_DENSITY, of_inside, inside);
    return bitcast<f32>(select(NOT_A_NUMBER, bitcast<u32>(log_density), sound));
}
