//! Sum over the candidates of a context (`shaders/nn/passes/sum_candidates.wgsl`).

use crate::nn::{Summed, check};

/// `out[b, j] = sum_k values[b, k, j]`: `[contexts, candidates, width]` to `[contexts, width]`.
pub fn sum_candidates(values: &[f64], contexts: usize, candidates: usize, width: usize) -> Summed {
    check("values", values.len(), contexts * candidates * width);
    let mut value = Vec::with_capacity(contexts * width);
    let mut magnitude = Vec::with_capacity(contexts * width);
    for b in 0..contexts {
        for j in 0..width {
            let terms = (0..candidates).map(|k| values[(b * candidates + k) * width + j]);
            value.push(terms.clone().sum());
            magnitude.push(terms.map(f64::abs).sum());
        }
    }
    Summed { value, magnitude }
}
