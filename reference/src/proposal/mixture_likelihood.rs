//! Maximum likelihood of a conditional mixture (`shaders/proposal/mixture_likelihood.wgsl`).

use super::{ActionScale, MixtureShape, joint, log_sum_exp};

/// Result of [`mixture_likelihood`].
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureLikelihood {
    /// `[contexts]`: `-log q(y_b|x_b)`, data units.
    pub loss: Vec<f64>,
    /// `[contexts]`: size of the terms of the loss.
    pub loss_magnitude: Vec<f64>,
    /// `[contexts, width]`: d(mean loss)/d(network outputs).
    pub seeds: Vec<f64>,
    /// `[contexts, width]`: size of the terms of the seeds, relative errors of the responsibilities
    /// included.
    pub seed_magnitude: Vec<f64>,
    /// `[contexts, components]`
    pub responsibilities: Vec<f64>,
}

/// `loss_b = -log q(y_b|x_b)` and its gradient to the network outputs. With `t = (z - mean) / std`,
/// responsibilities `r` and `B` contexts (Bishop 1994, mixture density networks):
///
/// `dlogit_c = (softmax_c - r_c) / B`, `dmean_cj = -r_c t_cj / std_cj / B`,
/// `dlog_std_cj = r_c (1 - t_cj^2) / B`, the last 0 where the raw value lies outside the clamp.
///
/// * `outputs`: `[contexts, width]`, `y`: `[contexts, dims]`.
pub fn mixture_likelihood(
    shape: &MixtureShape,
    outputs: &[f64],
    action: ActionScale<'_>,
    y: &[f64],
) -> MixtureLikelihood {
    let (contexts, dims) = (shape.contexts(outputs), shape.dims);
    action.check(dims);
    assert_eq!(y.len(), contexts * dims, "`y` is [contexts, dims]");
    let batch = contexts as f64;
    let logarithms: f64 = action.scale.iter().map(|scale| scale.ln().abs()).sum();
    let mut result = MixtureLikelihood {
        loss: vec![],
        loss_magnitude: vec![],
        seeds: vec![],
        seed_magnitude: vec![],
        responsibilities: vec![],
    };
    for (b, y) in y.chunks_exact(dims).enumerate() {
        let row = shape.row(outputs, b);
        let (z, position) = action.normalize(y);
        let joint = joint(&row, &z, &position);
        let total = log_sum_exp(&joint.log_density);
        let r: Vec<f64> = joint.log_density.iter().map(|l| (l - total).exp()).collect();
        let spread: f64 = r.iter().zip(&joint.magnitude).map(|(r, m)| r * m).sum();
        result.loss.push(-(total + action.log_determinant()));
        result.loss_magnitude.push(spread + logarithms + 1.0);

        // An error of a log-density is a relative error of its responsibility.
        let uncertain = |c: usize| r[c] * (1.0 + joint.magnitude[c] + spread);
        for (c, r) in r.iter().enumerate().take(shape.logits()) {
            let softmax = row.log_weight[c].exp();
            result.seeds.push((softmax - r) / batch);
            result.seed_magnitude.push((softmax * (1.0 + row.log_weight[c].abs()) + uncertain(c)) / batch);
        }
        let mut log_std_seeds = Vec::new();
        let mut log_std_magnitude = Vec::new();
        for (c, r) in r.iter().enumerate() {
            for j in 0..dims {
                let at = c * dims + j;
                let inverse = (-row.log_std[at]).exp();
                let t = (z[j] - row.mean[at]) * inverse;
                let canceled = (position[j] + row.mean[at].abs()) * inverse;
                let t_size = t.abs() * (3.0 + 2.0 * row.log_std[at].abs()) + canceled;
                result.seeds.push(-r * t * inverse / batch);
                result.seed_magnitude.push((uncertain(c) * t.abs() + 2.0 * r * t_size) * inverse / batch);
                let inside = f64::from(u8::from(row.inside[at]));
                log_std_seeds.push(inside * r * (1.0 - t * t) / batch);
                let size = uncertain(c) * (1.0 + t * t) + 2.0 * r * t.abs() * t_size;
                log_std_magnitude.push(inside * size / batch);
            }
        }
        result.seeds.extend(log_std_seeds);
        result.seed_magnitude.extend(log_std_magnitude);
        result.responsibilities.extend(r);
    }
    result
}
