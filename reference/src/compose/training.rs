//! Whole training steps: losses of networks with their gradients, and a sequence of optimizer
//! updates.

use super::mlp::{Mlp, flatten};
use crate::loss::ranking_network;
use crate::nn::optim::adam::{AdamState, AdamStep, bias_correction};
use crate::nn::optim::{adam, prepare_step};
use crate::proposal::{ActionScale, MixtureShape, mixture_likelihood};

/// A loss and its gradient to the parameters of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Mean over contexts.
    pub loss: f64,
    /// In the order of [`Mlp::parameters`].
    pub gradient: Vec<f64>,
    /// Mean effective sample size over contexts; 1 where the loss has no candidates.
    pub ess: f64,
}

/// Mean ranking-NCE loss (InfoNCE without `correction`) of an energy network and its gradient to
/// the parameters.
///
/// * `x`: `[contexts, context width]`, `y`: `[contexts, candidates, action width]`, both in network
///   units.
/// * `log_q`: `[contexts, candidates]`, a constant of this step.
pub fn ranking_nce_gradient(
    network: &Mlp,
    x: &[f64],
    y: &[f64],
    log_q: &[f64],
    contexts: usize,
    candidates: usize,
    correction: bool,
) -> Step {
    let ranked = ranking_network(network, x, y, log_q, contexts, candidates, correction);
    Step { loss: mean(&ranked.loss), gradient: ranked.gradient, ess: mean(&ranked.ess) }
}

/// Mean negative log-likelihood of a mixture density network and its gradient to the parameters.
///
/// * `x`: `[contexts, context width]`, network units. `y`: `[contexts, dims]`, data units.
pub fn mixture_network_likelihood(
    network: &Mlp,
    shape: &MixtureShape,
    action: ActionScale<'_>,
    x: &[f64],
    y: &[f64],
) -> Step {
    let trace = network.forward(x);
    let objective = mixture_likelihood(shape, trace.output(), action, y);
    let gradient = network.backward_parameters(&trace, &objective.seeds);
    Step { loss: mean(&objective.loss), gradient: flatten(&gradient), ess: 1.0 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Constants of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global gradient norm, 0 for no clipping.
    pub max_norm: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, max_norm: 0.0 }
    }
}

/// An optimizer under way.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamRun {
    /// Constants.
    pub options: AdamOptions,
    /// Parameters, moments, moving average.
    pub state: AdamState,
    /// Updates done.
    pub count: u64,
}

impl AdamRun {
    /// Zero moments; the moving average starts at the parameters.
    pub fn new(options: AdamOptions, parameters: Vec<f64>) -> Self {
        let zeros = vec![0.0; parameters.len()];
        let state =
            AdamState { first: zeros.clone(), second: zeros, average: parameters.clone(), parameters };
        Self { options, state, count: 0 }
    }

    /// One clipped update with this step's rate and decay of the moving average; returns the norm
    /// before clipping.
    pub fn adam_step(&mut self, gradient: &[f64], rate: f64, average_decay: f64) -> f64 {
        let norm = prepare_step(gradient, self.options.max_norm, self.count, false);
        let AdamOptions { beta1, beta2, epsilon, weight_decay, .. } = self.options;
        let step = AdamStep {
            clip: norm.clip,
            rate,
            beta1,
            beta2,
            correction1: bias_correction(beta1, norm.count),
            correction2: bias_correction(beta2, norm.count),
            epsilon,
            weight_decay,
            average_decay,
        };
        self.state = adam(&self.state, gradient, &step);
        self.count = norm.count;
        norm.norm
    }
}
