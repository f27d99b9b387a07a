// The move of one coordinate in a step of unadjusted Langevin dynamics.
//
//   y - eta dE/dy + spread n, clamped to [low, high]      spread = noise sqrt(2 eta temperature)
//
// A gradient that is not finite takes the place of its coordinate, a coordinate that is not stays:
// faults show.
//#include "lib/finite.wgsl"

fn langevin_spread(noise: f32, eta: f32, temperature: f32) -> f32 {
    return noise * sqrt(2.0 * eta * temperature);
}

fn langevin_move(y: f32, energy_gradient: f32, eta: f32, push: f32, low: f32, high: f32) -> f32 {
    let moved = clamp(y - eta * energy_gradient + push, low, high);
    // A clamp would turn NaN into a border of the box: hand the fault on as it is.
    return select(energy_gradient, select(y, moved, is_finite(y)), is_finite(energy_gradient));
}
