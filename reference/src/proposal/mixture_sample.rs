//! Draws from a conditional mixture (`shaders/proposal/mixture_sample.wgsl`).

use super::{ActionScale, MixtureShape};

/// Result of [`mixture_sample`].
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureSample {
    /// `[rows, dims]`, data units.
    pub y: Vec<f64>,
    /// `[rows]`: the component drawn.
    pub component: Vec<usize>,
    /// `[rows]`: distance of `u` from the nearest inner edge of the cumulative weights. Where it is
    /// within rounding the f32 kernel may rightly pick the neighbor. Infinite for one component.
    pub margin: Vec<f64>,
    /// `[rows, dims]`: size of the terms of `y`, for error bounds.
    pub magnitude: Vec<f64>,
}

/// Component `c` = smallest with `sum_{j <= c} softmax(logits)_j >= u` (the last if rounding leaves
/// none); `z = mean_c + exp(log_std_c) n`; `y = shift + z / scale`.
///
/// * `outputs`: `[contexts, width]`; row `r` belongs to context `r / (rows / contexts)`.
/// * `u`: `[rows]` in (0, 1); `normals`: `[rows, dims]`.
pub fn mixture_sample(
    shape: &MixtureShape,
    outputs: &[f64],
    action: ActionScale<'_>,
    u: &[f64],
    normals: &[f64],
) -> MixtureSample {
    let (contexts, dims) = (shape.contexts(outputs), shape.dims);
    action.check(dims);
    assert!(u.len().is_multiple_of(contexts), "`u` has {} rows for {contexts} contexts", u.len());
    assert_eq!(normals.len(), u.len() * dims, "`normals` is [rows, dims]");
    let candidates = u.len() / contexts;
    let mut sample = MixtureSample { y: vec![], component: vec![], margin: vec![], magnitude: vec![] };
    for (r, &u) in u.iter().enumerate() {
        let row = shape.row(outputs, r / candidates);
        let last = shape.components - 1;
        let mut chosen = last;
        let mut margin = f64::INFINITY;
        let mut cumulative = 0.0;
        for (c, log_weight) in row.log_weight[..last].iter().enumerate() {
            cumulative += log_weight.exp();
            margin = margin.min((cumulative - u).abs());
            if chosen == last && cumulative >= u {
                chosen = c;
            }
        }
        for j in 0..dims {
            let mean = row.mean[chosen * dims + j];
            let log_std = row.log_std[chosen * dims + j];
            let offset = log_std.exp() * normals[r * dims + j];
            sample.y.push(action.shift[j] + (mean + offset) / action.scale[j]);
            // exp loses accuracy in proportion to its argument.
            let size = mean.abs() + offset.abs() * (3.0 + 2.0 * log_std.abs());
            sample.magnitude.push(action.shift[j].abs() + size / action.scale[j]);
        }
        sample.component.push(chosen);
        sample.margin.push(margin);
    }
    sample
}
