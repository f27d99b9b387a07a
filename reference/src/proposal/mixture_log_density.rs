//! Log-density of a conditional mixture (`shaders/proposal/mixture_log_density.wgsl`).

use super::{ActionScale, MixtureShape, joint, log_sum_exp};
use crate::nn::Summed;

/// `log q(y|x) = logsumexp_c( log softmax(logits)_c + sum_j log N(z_j; mean_cj, std_cj) ) + sum_j
/// ln scale_j`, `z = (y - shift) * scale`: `[rows]`, in data units.
///
/// * `outputs`: `[contexts, width]`; `y`: `[rows, dims]`, row `r` belongs to context
///   `r / (rows / contexts)`.
///
/// The magnitude is the size of the terms of the likeliest component, cancellation in `z - mean`
/// included.
pub fn mixture_log_density(
    shape: &MixtureShape,
    outputs: &[f64],
    action: ActionScale<'_>,
    y: &[f64],
) -> Summed {
    let (contexts, dims) = (shape.contexts(outputs), shape.dims);
    action.check(dims);
    assert!(y.len().is_multiple_of(contexts * dims), "`y` is [rows, dims] with whole rows per context");
    let candidates = y.len() / dims / contexts;
    let mut result = Summed { value: vec![], magnitude: vec![] };
    for (r, y) in y.chunks_exact(dims).enumerate() {
        let row = shape.row(outputs, r / candidates);
        let (z, position) = action.normalize(y);
        let joint = joint(&row, &z, &position);
        let total = log_sum_exp(&joint.log_density);
        let spread: f64 =
            joint.log_density.iter().zip(&joint.magnitude).map(|(l, m)| (l - total).exp() * m).sum();
        let logarithms: f64 = action.scale.iter().map(|scale| scale.ln().abs()).sum();
        result.value.push(total + action.log_determinant());
        result.magnitude.push(spread + logarithms + 1.0);
    }
    result
}
