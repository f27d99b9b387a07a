//! Regression of intermediate energies (`shaders/loss/energy_regression.wgsl`).

/// Largest exponent of the model, and range of the target's.
const MAX_MODEL: f64 = 40.0;
const TARGET: [f64; 2] = [-100.0, 4.0];

/// Losses of rows and gradients of their mean at the outputs, `(loss, output_gradient)`.
///
/// Without a reference the mean squared error `(output - beta E)^2`, else the exponential one
/// (arXiv 2304.12824, its ablation): `(exp(-output) - exp(-beta (E - reference)))^2`, where the
/// first exponent is at most 40, with no gradient beyond, and the second is clamped to -100 .. 4.
pub fn energy_regression(
    energy: &[f64],
    output: &[f64],
    beta: f64,
    reference: Option<f64>,
) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(energy.len(), output.len(), "one energy per output");
    let rows = energy.len() as f64;
    let of_row = |e: f64, f: f64| match reference {
        None => {
            let residual = f - beta * e;
            (residual * residual, 2.0 * residual / rows)
        }
        Some(reference) => {
            let model = (-f).min(MAX_MODEL).exp();
            let target = (-beta * (e - reference)).clamp(TARGET[0], TARGET[1]).exp();
            let slope = if -f > MAX_MODEL { 0.0 } else { -model };
            ((model - target).powi(2), 2.0 * (model - target) * slope / rows)
        }
    };
    energy.iter().zip(output).map(|(&e, &f)| of_row(e, f)).unzip()
}
