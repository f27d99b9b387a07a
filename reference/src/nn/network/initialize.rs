//! Initial weights (`shaders/nn/network/initialize.wgsl`).

/// `W = -b + 2 b u` with `b = gain / sqrt(fan_in)`, one uniform number per weight, in the order
/// given.
pub fn initialize(uniforms: &[f64], fan_in: usize, gain: f64) -> Vec<f64> {
    let bound = gain / (fan_in as f64).sqrt();
    uniforms.iter().map(|u| -bound + 2.0 * bound * u).collect()
}
