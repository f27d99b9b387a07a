//! Uniform and normal draws made from Philox words (`shaders/gpu/run/random.wgsl`).
//!
//! One element owns one block of four words: fills have the layout `out[4 * element + lane]`.

pub use super::random_words::*;

/// `((word >> 9) + 0.5) * 2^-23`: in the open interval (0, 1), exact in f32 too.
pub fn uniform_of_word(word: u32) -> f64 {
    (f64::from(word >> 9) + 0.5) / 8_388_608.0
}

/// Box-Muller: `r = sqrt(-2 ln u0)`, gives `(r cos 2 pi u1, r sin 2 pi u1)`.
pub fn normal_pair(u0: f64, u1: f64) -> [f64; 2] {
    let radius = (-2.0 * u0.ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
    [radius * cos, radius * sin]
}

/// Uniform numbers of elements `0..elements`: `[elements, 4]`, one per word.
pub fn uniform(draw: Draw, elements: u32) -> Vec<f64> {
    words(draw, elements).into_iter().map(uniform_of_word).collect()
}

/// Standard normals of elements `0..elements`: `[elements, 4]`; lanes (0, 1) and (2, 3) are
/// Box-Muller pairs.
pub fn normal(draw: Draw, elements: u32) -> Vec<f64> {
    uniform(draw, elements).chunks_exact(2).flat_map(|u| normal_pair(u[0], u[1])).collect()
}
