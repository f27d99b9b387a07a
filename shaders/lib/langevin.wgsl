// The move of one coordinate in a step of unadjusted Langevin dynamics.
//
//   y - eta s^2 dE/dy + spread s n, clamped to [low, high]      s: the coordinate's scale
//   spread = noise sqrt(2 eta temperature)
//
// A gradient that is not finite takes the place of its coordinate, a coordinate that is not stays:
// faults show.
//#include "lib/finite.wgsl"

fn langevin_spread(noise: f32, eta: f32, temperature: f32) -> f32 {
    return noise * sqrt(2.0 * eta * temperature);
}

fn langevin_move(
    y: f32,
    energy_gradient: f32,
    scale: f32,
    eta: f32,
    push: f32,
    low: f32,
    high: f32,
) -> f32 {
    // Neither s^2 nor a gradient in data units need be near 1, s times the gradient is.
    let moved = clamp(y - (eta * scale) * (scale * energy_gradient) + scale * push, low, high);
    // A clamp would turn NaN into a border of the box: hand the fault on as it is.
    return select(energy_gradient, select(y, moved, is_finite(y)), is_finite(energy_gradient));
}
