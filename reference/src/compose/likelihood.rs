//! Log-likelihoods by the probability flow, from the references of its kernels.

use crate::ode::{FlowPlace, FlowStage, flow_density, flow_divergence, flow_stage};
use crate::proposal::HALF_LN_TAU;

/// Classical Runge-Kutta: per stage its place in the step and its weight.
pub const RUNGE_KUTTA_4: [(f64, f64); 4] =
    [(0.0, 1.0 / 6.0), (0.5, 1.0 / 3.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 6.0)];

/// Heun's method.
pub const HEUN: [(f64, f64); 2] = [(0.0, 0.5), (1.0, 0.5)];

/// Log-densities of `x: [rows, dims]` at `lambdas.0`, by a flow in `rho = exp(-lambda)` to
/// `lambdas.1` in equal steps of lambda, where `x` is standard normal.
///
/// * `probes`: each `[rows, dims]`, whose mean estimates the trace; `share`: what each counts.
/// * `noise(alpha, sigma, x)`: `eps`; `product(alpha, sigma, x, v)`: `J' v`.
pub fn flow_log_density(
    stages: &[(f64, f64)],
    ((first, last), steps): ((f64, f64), usize),
    (x, dims): (&[f64], usize),
    (probes, share): (&[Vec<f64>], f64),
    noise: impl Fn((f64, f64), &[f64]) -> Vec<f64>,
    product: impl Fn((f64, f64), &[f64], &[f64]) -> Vec<f64>,
) -> Vec<f64> {
    // Variance preserving: alpha^2 (1 + rho^2) = 1.
    let level = |rho: f64| ((1.0 + rho * rho).powf(-0.5), rho * (1.0 + rho * rho).powf(-0.5));
    let rho = |step: usize| (-first - (last - first) * step as f64 / steps as f64).exp();
    let mut y: Vec<f64> = x.iter().map(|x| x / level(rho(0)).0).collect();
    let (mut x, mut total) = (x.to_vec(), vec![0.0; x.len()]);
    let mut log_det = vec![0.0; x.len() / dims];
    for step in 0..steps {
        let (begin, length) = (rho(step), rho(step + 1) - rho(step));
        for (index, &(here, weight)) in stages.iter().enumerate() {
            let place = level(begin + here * length);
            let slope = noise(place, &x);
            for probe in probes {
                let slopes = product(place, &x, probe);
                log_det = flow_divergence(probe, &slopes, &log_det, weight * length * place.0 * share).value;
            }
            let next = stages.get(index + 1);
            let stage = FlowStage {
                place: match (index, next) {
                    (0, _) => FlowPlace::First,
                    (_, Some(_)) => FlowPlace::Between,
                    (_, None) => FlowPlace::Last,
                },
                weight: weight * length,
                ahead: next.map_or(0.0, |next| next.0 * length),
                alpha: level(begin + next.map_or(1.0, |next| next.0) * length).0,
            };
            let staged = flow_stage(&slope, &y, &total, stage);
            (x, y, total) = (staged.x, staged.y, staged.total);
        }
    }
    let scales = level(rho(steps)).0.ln() - level(rho(0)).0.ln();
    flow_density(&x, &log_det, dims as f64 * (scales - HALF_LN_TAU)).value
}
