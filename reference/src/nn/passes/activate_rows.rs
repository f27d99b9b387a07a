//! An activation on its own (`shaders/nn/passes/activate_rows.wgsl`, without its padding).

use crate::nn::Activation;

/// Result of [`activate_rows`], each of the length of its argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Activated {
    /// `act(h)`
    pub output: Vec<f64>,
    /// `act'(h)`
    pub slope: Vec<f64>,
}

/// `act(h)` and `act'(h)` element by element.
pub fn activate_rows(h: &[f64], activation: Activation) -> Activated {
    Activated {
        output: h.iter().map(|&h| activation.value(h)).collect(),
        slope: h.iter().map(|&h| activation.slope(h)).collect(),
    }
}
