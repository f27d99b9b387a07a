//! The figures of a method.

use clap::ValueEnum;
use gibbs::Gpu;
use serde::Serialize;

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
    /// No guidance: the behaviour.
    None,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Cep => "cep",
            Method::Mse => "mse",
            Method::Emse => "emse",
            Method::None => "none",
        }
    }
}

/// One object of `metrics.json`; `null` where a method has no such figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub method: Method,
    pub labels: Option<&'static str>,
    pub beta: f64,
    pub support: usize,
    pub support_from: &'static str,
    pub seed: u64,
    pub adapter: String,
    pub backend: String,
    pub preset: &'static str,
    pub steps: u64,
    pub nfe: usize,
    pub guidance: f64,
    pub samples: usize,
    /// Mean, over the states, of the relative entropy `KL(samples || best policy)` in nats, and the largest.
    pub kl_mean: f64,
    pub kl_worst: f64,
    /// For each state, in the order of `states`.
    pub kl_states: Vec<f64>,
    pub states: Vec<[f32; 2]>,
    /// The mean for as many exact draws of the best policy: what the estimate makes of 0.
    pub kl_exact_samples: f64,
    /// Relative root mean square of the guiding gradient's error over noised actions of the behaviour at all times.
    pub energy_gradient_error: Option<f64>,
    /// Relative root mean square of the predicted noise's error, over the same.
    pub score_error: f64,
    /// Training of the energy (with the score where it is the first to need it), sampling and measuring.
    pub seconds: f64,
    /// Of the network that guides, or of the score where none does.
    pub steps_per_second: f64,
    /// With the sampler's compilation.
    pub samples_per_second: f64,
}

impl Row {
    /// A row with everything but its figures.
    pub fn describe(arguments: &Arguments, gpu: &Gpu, method: Method) -> Self {
        Self {
            method,
            labels: (method == Method::Cep).then(|| arguments.labels.name()),
            beta: arguments.beta,
            support: arguments.support.into(),
            support_from: match arguments.support_from {
                SupportSource::Data => "data",
                SupportSource::Model => "model",
            },
            seed: arguments.seed,
            adapter: gpu.info().name.clone(),
            backend: format!("{:?}", gpu.info().backend).to_lowercase(),
            preset: arguments.preset.name(),
            steps: arguments.steps.unwrap_or(arguments.preset.steps()),
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
            self.method.name(),
            self.kl_mean,
            self.kl_exact_samples,
            self.kl_worst,
            self.score_error,
            self.seconds
        )
    }
}
