//! What a mixture's components say about a noised point, added up.

/// Everything an oracle knows at one noised point `x_t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// `log q_t(x_t)` of the data, in nats.
    pub log_density: f64,
    /// `grad log q_t(x_t)`.
    pub score: [f64; 2],
    /// The intermediate energy `E_t = -log E_q[exp(-beta E(x_0)) | x_t]`, `beta` included.
    pub energy: f64,
    /// `grad E_t`; the score of the tilted density is `score - gradient`.
    pub gradient: [f64; 2],
    /// `E_q[beta E(x_0) | x_t]`, what regression on the energy tends to; above
    /// [`Evaluation::energy`] by Jensen's gap.
    pub mean_energy: f64,
    /// The gradient of [`Evaluation::mean_energy`].
    pub mean_energy_gradient: [f64; 2],
}

/// One component's share, all as functions of the noised point `x_t`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Log of weight times density of `x_t`.
    pub log_density: f64,
    /// Gradient of the above.
    pub score: [f64; 2],
    /// `log E[exp(-beta E(x_0)) | x_t]` within the component.
    pub log_tilt: f64,
    /// Gradient of the above.
    pub tilt: [f64; 2],
    /// `E[beta E(x_0) | x_t]` within the component.
    pub energy: f64,
    /// Gradient of the above.
    pub force: [f64; 2],
}

/// Sums with weights `exp(log weight)`, kept relative to the largest so far.
#[derive(Clone, Copy, Debug)]
struct Sums<const N: usize> {
    largest: f64,
    mass: f64,
    values: [f64; N],
}

/// The two sums of an [`Evaluation`]: under the data's posterior and under the tilted one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blend {
    plain: Sums<5>,
    tilted: Sums<2>,
}

/// Components this many nats below the likeliest add nothing.
const NEGLIGIBLE: f64 = 45.0;

impl<const N: usize> Sums<N> {
    fn new() -> Self {
        Self { largest: f64::NEG_INFINITY, mass: 0.0, values: [0.0; N] }
    }

    fn matters(&self, log_weight: f64) -> bool {
        log_weight > self.largest - NEGLIGIBLE
    }

    fn add(&mut self, log_weight: f64, values: [f64; N]) {
        if !self.matters(log_weight) {
            return;
        }
        if log_weight > self.largest {
            let scale = (self.largest - log_weight).exp();
            self.mass *= scale;
            self.values.iter_mut().for_each(|value| *value *= scale);
            self.largest = log_weight;
        }
        let weight = (log_weight - self.largest).exp();
        self.mass += weight;
        self.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
    }

    fn log_mass(&self) -> f64 {
        self.largest + self.mass.ln()
    }

    fn means(&self) -> [f64; N] {
        self.values.map(|value| value / self.mass)
    }
}

impl Blend {
    pub fn new() -> Self {
        Self { plain: Sums::new(), tilted: Sums::new() }
    }

    /// Whether a component of at most this log density and exactly this log tilt can change the
    /// result.
    pub fn matters(&self, log_density: f64, log_tilt: f64) -> bool {
        self.plain.matters(log_density) || self.tilted.matters(log_density + log_tilt)
    }

    pub fn add(&mut self, share: &Share) {
        let Share { log_density, score, log_tilt, tilt, energy, force } = *share;
        let moved = [energy * score[0] + force[0], energy * score[1] + force[1]];
        self.plain.add(log_density, [score[0], score[1], energy, moved[0], moved[1]]);
        self.tilted.add(log_density + log_tilt, [score[0] + tilt[0], score[1] + tilt[1]]);
    }

    /// The result; NaN throughout if no component was added.
    pub fn evaluation(&self) -> Evaluation {
        let [u, v, energy, moved_u, moved_v] = self.plain.means();
        let tilted = self.tilted.means();
        Evaluation {
            log_density: self.plain.log_mass(),
            score: [u, v],
            energy: self.plain.log_mass() - self.tilted.log_mass(),
            gradient: [u - tilted[0], v - tilted[1]],
            mean_energy: energy,
            mean_energy_gradient: [moved_u - energy * u, moved_v - energy * v],
        }
    }
}

/// The energy of the denoised point and its gradient through the denoiser (diffusion posterior
/// sampling): `beta E(x_hat)`, `x_hat = E_q[x_0 | x_t]`.
///
/// `components` are, for each: its posterior probability, its mean of `x_0`, the gradient of its
/// log density, and the derivative of its mean by `x_t`.
pub(super) fn denoised(
    components: impl Iterator<Item = (f64, [f64; 2], [f64; 2], f64)>,
    scaled_energy: impl Fn([f64; 2]) -> (f64, [f64; 2]),
) -> (f64, [f64; 2]) {
    let (mut mean, mut score, mut slope) = ([0.0; 2], [0.0; 2], 0.0);
    let mut products = [[0.0; 2]; 2];
    for (share, place, direction, derivative) in components {
        slope += share * derivative;
        for i in 0..2 {
            mean[i] += share * place[i];
            score[i] += share * direction[i];
            for j in 0..2 {
                products[i][j] += share * place[i] * direction[j];
            }
        }
    }
    let (energy, force) = scaled_energy(mean);
    let gradient = std::array::from_fn(|j| {
        slope * force[j] + (0..2).map(|i| force[i] * (products[i][j] - mean[i] * score[j])).sum::<f64>()
    });
    (energy, gradient)
}
