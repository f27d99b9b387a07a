//! Running sums of Boltzmann weights (`shaders/mcmc/cumulative_weights.wgsl`).

/// `sum_{i <= k} exp(-(E_i - min E) / T)` per context. `energy`: `[contexts, samples]`; an infinite
/// energy weighs nothing; it stands for a lost sample too.
pub fn cumulative_weights(energy: &[f64], samples: usize, temperature: f64) -> Vec<f64> {
    assert!(energy.len().is_multiple_of(samples), "`energy` is [contexts, samples]");
    let mut sums = Vec::new();
    for row in energy.chunks_exact(samples) {
        let lowest = row.iter().copied().fold(f64::INFINITY, f64::min);
        let mut sum = 0.0;
        for value in row {
            sum += (-(value - lowest) / temperature).exp();
            sums.push(sum);
        }
    }
    sums
}
