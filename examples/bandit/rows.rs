//! The figures of a method.

use clap::ValueEnum;
use gibbs::Gpu;
use gibbs::math::Normalize;
use serde::Serialize;

use super::common::arguments::name_of;
use super::common::training::{Preset, machine};
use super::networks::steps;
use super::{Arguments, SupportSource};

/// Where guidance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Contrastive energy prediction.
    Cep,
    /// Regression on the energies.
    Mse,
    /// Regression on their exponentials.
    Emse,
    /// No guidance: the behavior.
    None,
}

/// One object of `metrics.json`; `null` where a method has no such figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub method: Method,
    pub labels: Option<String>,
    pub normalize: Normalize,
    pub beta: f64,
    pub support: usize,
    pub support_from: SupportSource,
    pub seed: u64,
    pub adapter: String,
    pub backend: String,
    pub preset: Preset,
    pub steps: u64,
    pub nfe: usize,
    pub guidance: f64,
    pub samples: usize,
    /// Mean, over the states, of the relative entropy `KL(samples || best policy)` in nats, and the
    /// largest.
    pub kl_mean: f64,
    pub kl_worst: f64,
    /// For each state, in the order of `states`.
    pub kl_states: Vec<f64>,
    pub states: Vec<[f32; 2]>,
    /// The mean for as many exact draws of the best policy: what the estimate makes of 0.
    pub kl_exact_samples: f64,
    /// Relative root mean square of the guiding gradient's error over noised actions of the
    /// behavior at all times.
    pub energy_gradient_error: Option<f64>,
    /// Relative root mean square of the predicted noise's error, over the same.
    pub score_error: f64,
    /// Training of the energy (with the score where it is the first to need it), sampling and
    /// measuring.
    pub seconds: f64,
    /// Of the network that guides, or of the score where none does.
    pub steps_per_second: f64,
    /// With the sampler's compilation.
    pub samples_per_second: f64,
}

impl Row {
    /// A row with everything but its figures.
    pub fn describe(arguments: &Arguments, gpu: &Gpu, method: Method) -> Self {
        let [adapter, backend] = machine(gpu);
        Self {
            method,
            labels: (method == Method::Cep).then(|| arguments.labels.clone()),
            normalize: arguments.normalize(),
            beta: arguments.beta,
            support: arguments.support.into(),
            support_from: arguments.support_from,
            seed: arguments.seed,
            adapter,
            backend,
            preset: arguments.preset,
            steps: steps(arguments),
            nfe: arguments.nfe,
            guidance: arguments.guidance,
            samples: arguments.samples as usize,
            kl_mean: f64::NAN,
            kl_worst: f64::NAN,
            kl_states: Vec::new(),
            states: Vec::new(),
            kl_exact_samples: f64::NAN,
            energy_gradient_error: None,
            score_error: f64::NAN,
            seconds: 0.0,
            steps_per_second: 0.0,
            samples_per_second: 0.0,
        }
    }

    /// Its figures in a line.
    pub fn figures(&self) -> String {
        let gradient = self.energy_gradient_error.map_or("none".into(), |error| format!("{error:.3}"));
        format!(
            "{}: KL to the best policy {:.4} on average (exact draws {:.4}), {:.4} in the worst state; gradient error {gradient}, \
             score error {:.3}, {:.0} s",
            name_of(self.method),
            self.kl_mean,
            self.kl_exact_samples,
            self.kl_worst,
            self.score_error,
            self.seconds
        )
    }
}
