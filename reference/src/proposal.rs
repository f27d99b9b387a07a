//! References of `shaders/proposal/`: negative samplers with exact densities.

pub mod mixture_likelihood;
pub mod mixture_log_density;
pub mod mixture_propose;
pub mod mixture_sample;
pub mod uniform_log_density;
pub mod uniform_propose;
pub mod uniform_sample;

pub use mixture_likelihood::mixture_likelihood;
pub use mixture_log_density::mixture_log_density;
pub use mixture_propose::{mixture_propose, mixture_propose_density};
pub use mixture_sample::mixture_sample;
pub use uniform_log_density::uniform_log_density;
pub use uniform_propose::uniform_propose;
pub use uniform_sample::uniform_sample;

/// `0.5 ln(2 pi)`
pub(crate) const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// Mixture of diagonal Gaussians as a network puts it out, one row per context:
/// `logits[components], mean[components, dims], log_std[components, dims]`, in normalized units.
/// One component is the diagonal Gaussian and has no logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixtureShape {
    /// Gaussians per context.
    pub components: usize,
    /// Width of an action.
    pub dims: usize,
    /// Lower clamp of the raw log standard deviation.
    pub log_std_low: f64,
    /// Upper clamp of the raw log standard deviation.
    pub log_std_high: f64,
}

/// Normalizer map between data units and the normalized units of the mixture:
/// `z = (y - shift) * scale`, each `[dims]`.
#[derive(Clone, Copy, Debug)]
pub struct ActionScale<'a> {
    /// Data units.
    pub shift: &'a [f64],
    /// Positive, 1 / data units.
    pub scale: &'a [f64],
}

/// One context's mixture, logits normalized and log standard deviations clamped.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureRow<'a> {
    /// `[components]`: `log softmax(logits)`.
    pub log_weight: Vec<f64>,
    /// `[components, dims]`
    pub mean: &'a [f64],
    /// `[components, dims]`, clamped.
    pub log_std: Vec<f64>,
    /// `[components, dims]`: the raw value lies within the clamp, its bounds included.
    pub inside: Vec<bool>,
}

impl MixtureShape {
    /// Number of logits in a row: `components`, or 0 for a single Gaussian.
    pub fn logits(&self) -> usize {
        if self.components == 1 { 0 } else { self.components }
    }

    /// Network outputs per context.
    pub fn width(&self) -> usize {
        self.logits() + 2 * self.components * self.dims
    }

    /// Contexts in `outputs`: `[contexts, width]`.
    pub fn contexts(&self, outputs: &[f64]) -> usize {
        let width = self.width();
        assert!(
            outputs.len().is_multiple_of(width),
            "`outputs` has {} elements, not rows of {width}",
            outputs.len()
        );
        outputs.len() / width
    }

    /// The mixture of one context.
    pub fn row<'a>(&self, outputs: &'a [f64], context: usize) -> MixtureRow<'a> {
        let row = &outputs[context * self.width()..(context + 1) * self.width()];
        let (logits, rest) = row.split_at(self.logits());
        let (mean, raw) = rest.split_at(self.components * self.dims);
        let log_weight = if logits.is_empty() {
            vec![0.0]
        } else {
            let total = log_sum_exp(logits);
            logits.iter().map(|logit| logit - total).collect()
        };
        MixtureRow {
            log_weight,
            mean,
            log_std: raw.iter().map(|raw| raw.clamp(self.log_std_low, self.log_std_high)).collect(),
            inside: raw.iter().map(|raw| (self.log_std_low..=self.log_std_high).contains(raw)).collect(),
        }
    }
}

pub(crate) fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + values.iter().map(|v| (v - largest).exp()).sum::<f64>().ln()
}

/// `log w_c + log N(z; mean_c, std_c)` per component, in normalized units, and its size for error
/// bounds.
pub(crate) struct Joint {
    pub log_density: Vec<f64>,
    pub magnitude: Vec<f64>,
}

/// `position`: `[dims]`, the size of the terms that make up each `z_j`.
pub(crate) fn joint(row: &MixtureRow<'_>, z: &[f64], position: &[f64]) -> Joint {
    let dims = z.len();
    let mut log_density = Vec::new();
    let mut magnitude = Vec::new();
    for (c, &log_weight) in row.log_weight.iter().enumerate() {
        let mut sum = log_weight;
        let mut size = log_weight.abs();
        for j in 0..dims {
            let log_std = row.log_std[c * dims + j];
            let mean = row.mean[c * dims + j];
            let inverse = (-log_std).exp();
            let t = (z[j] - mean) * inverse;
            sum += -0.5 * t * t - log_std - HALF_LN_TAU;
            // Errors of t come from cancellation in z - mean and from exp, which grows with its
            // argument.
            let canceled = (position[j] + mean.abs()) * inverse;
            size += t.abs() * canceled + t * t * (3.0 + 2.0 * log_std.abs()) + log_std.abs() + HALF_LN_TAU;
        }
        log_density.push(sum);
        magnitude.push(size);
    }
    Joint { log_density, magnitude }
}

impl ActionScale<'_> {
    /// `z` of one action and the size of the terms it is made of.
    pub(crate) fn normalize(&self, y: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let z = |j: usize| (y[j] - self.shift[j]) * self.scale[j];
        let position = |j: usize| (y[j].abs() + self.shift[j].abs()) * self.scale[j];
        ((0..y.len()).map(z).collect(), (0..y.len()).map(position).collect())
    }

    /// `sum_j ln scale_j`: log-determinant of the map to normalized units.
    pub(crate) fn log_determinant(&self) -> f64 {
        self.scale.iter().map(|scale| scale.ln()).sum()
    }

    pub(crate) fn check(&self, dims: usize) {
        assert!(
            self.shift.len() == dims && self.scale.len() == dims,
            "`shift` and `scale` have {dims} elements"
        );
    }
}
