//! Transposed copies of weights (`shaders/nn/passes/transpose_weights.wgsl`, without its padding).

/// `out[o, i] = W[i, o]` for `weights`: `[inputs, outputs]`.
pub fn transpose_weights(weights: &[f64], outputs: usize) -> Vec<f64> {
    assert!(
        weights.len().is_multiple_of(outputs),
        "`weights` has {} elements, not rows of {outputs}",
        weights.len()
    );
    (0..outputs).flat_map(|o| weights.iter().skip(o).step_by(outputs)).copied().collect()
}
