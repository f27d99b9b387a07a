//! Adam with decoupled weight decay and a moving average (`shaders/nn/optim/adam.wgsl`).

use crate::nn::check;

/// Flat buffers of an optimizer, all of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState {
    /// Parameters `p`.
    pub parameters: Vec<f64>,
    /// First moment `m`.
    pub first: Vec<f64>,
    /// Second moment `v`.
    pub second: Vec<f64>,
    /// Exponential moving average of the parameters.
    pub average: Vec<f64>,
}

/// Coefficients of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Factor on the gradient.
    pub clip: f64,
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// `1 / (1 - beta1^t)`
    pub correction1: f64,
    /// `1 / (1 - beta2^t)`
    pub correction2: f64,
    /// Added to `sqrt(v correction2)`.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the moving average.
    pub average_decay: f64,
}

/// `1 / (1 - beta^t)` for the `t`-th update, `t >= 1`.
pub fn bias_correction(beta: f64, t: u64) -> f64 {
    1.0 / (1.0 - beta.powf(t as f64))
}

/// One update of every parameter (Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019):
///
/// `g' = clip g`, `m = b1 m + (1 - b1) g'`, `v = b2 v + (1 - b2) g'^2`,
/// `p = p - rate (m c1 / (sqrt(v c2) + eps) + weight_decay p)`, `average = d average + (1 - d) p`.
pub fn adam(state: &AdamState, gradient: &[f64], step: &AdamStep) -> AdamState {
    let n = gradient.len();
    check("parameters", state.parameters.len(), n);
    check("first", state.first.len(), n);
    check("second", state.second.len(), n);
    check("average", state.average.len(), n);
    let mut next = state.clone();
    for (i, &g) in gradient.iter().enumerate() {
        let g = step.clip * g;
        let m = step.beta1 * state.first[i] + (1.0 - step.beta1) * g;
        let v = step.beta2 * state.second[i] + (1.0 - step.beta2) * g * g;
        let direction = m * step.correction1 / ((v * step.correction2).sqrt() + step.epsilon);
        let p = state.parameters[i] - step.rate * (direction + step.weight_decay * state.parameters[i]);
        next.first[i] = m;
        next.second[i] = v;
        next.parameters[i] = p;
        next.average[i] = step.average_decay * state.average[i] + (1.0 - step.average_decay) * p;
    }
    next
}
