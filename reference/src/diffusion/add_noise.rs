//! The forward process of a training step (`shaders/diffusion/add_noise.wgsl`).

/// A place on a noise schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Time.
    pub time: f64,
    /// Share of the sample.
    pub alpha: f64,
    /// Standard deviation of the noise.
    pub sigma: f64,
}

/// `x_t = alpha x_0 + sigma z` with the level of each group; returns `[rows, dims]`.
///
/// * `samples`, `z`: `[rows, dims]`; `levels`: one per group of `rows / levels.len()` rows.
pub fn add_noise(samples: &[f64], z: &[f64], levels: &[Level]) -> Vec<f64> {
    let per_group = samples.len() / levels.len();
    samples
        .iter()
        .zip(z)
        .enumerate()
        .map(|(at, (x, z))| levels[at / per_group].alpha * x + levels[at / per_group].sigma * z)
        .collect()
}
