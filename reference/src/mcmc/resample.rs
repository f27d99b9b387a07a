//! Samples drawn anew by their weights, with noise (`shaders/mcmc/resample.wgsl`).

/// The first sample of each row's context whose running sum exceeds `u` times the last one;
/// `cumulative`: `[contexts, samples]`, `u`: as many. Indices within the context.
pub fn pick(cumulative: &[f64], samples: usize, u: &[f64]) -> Vec<usize> {
    assert_eq!(cumulative.len(), u.len(), "one uniform per sample");
    let choose = |(row, u): (usize, &f64)| {
        let sums = &cumulative[row / samples * samples..][..samples];
        sums.iter().position(|&sum| sum > u * sums[samples - 1]).unwrap_or(samples - 1)
    };
    u.iter().enumerate().map(choose).collect()
}

/// `clip(y[context, picked] + share (high - low) / 2 n)`. `y`, `noise`:
/// `[contexts, samples, dims]`, `picked`: indices within the context, `low`, `high`: `[dims]`.
pub fn resample(
    y: &[f64],
    picked: &[usize],
    samples: usize,
    noise: &[f64],
    share: f64,
    (low, high): (&[f64], &[f64]),
) -> Vec<f64> {
    let dims = low.len();
    assert!(y.len() == picked.len() * dims && noise.len() == y.len(), "`y` is [contexts, samples, dims]");
    (0..y.len())
        .map(|at| {
            let (row, j) = (at / dims, at % dims);
            let from = row / samples * samples + picked[row];
            let moved = y[from * dims + j] + share * 0.5 * (high[j] - low[j]) * noise[at];
            moved.clamp(low[j], high[j])
        })
        .collect()
}
