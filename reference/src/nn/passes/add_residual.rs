//! The sum behind a residual block (`shaders/nn/passes/add_residual.wgsl`).

use crate::nn::{Summed, check};

/// `x * slope + skip` element by element; 1 and 0 where slope or skip is absent.
pub fn add_residual(x: &[f64], slope: Option<&[f64]>, skip: Option<&[f64]>) -> Summed {
    for (name, values) in [("slope", slope), ("skip", skip)] {
        check(name, values.map_or(x.len(), <[f64]>::len), x.len());
    }
    let terms = |i: usize| (x[i] * slope.map_or(1.0, |s| s[i]), skip.map_or(0.0, |s| s[i]));
    let indices = 0..x.len();
    Summed {
        value: indices.clone().map(|i| terms(i).0 + terms(i).1).collect(),
        magnitude: indices.map(|i| terms(i).0.abs() + terms(i).1.abs()).collect(),
    }
}
