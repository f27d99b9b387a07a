//! Sum of partial gradients (`shaders/nn/passes/reduce_partials.wgsl`).

use crate::nn::{Summed, check};

/// `g[p] = sum_s partials[s, p]`, `s` ascending. `partials`: `[splits, parameters]`.
pub fn reduce_partials(partials: &[f64], splits: usize, parameters: usize) -> Summed {
    check("partials", partials.len(), splits * parameters);
    let column = |p: usize| (0..splits).map(move |s| partials[s * parameters + p]);
    Summed {
        value: (0..parameters).map(|p| column(p).sum()).collect(),
        magnitude: (0..parameters).map(|p| column(p).map(f64::abs).sum()).collect(),
    }
}
