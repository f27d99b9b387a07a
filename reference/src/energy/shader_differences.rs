//! A user's energy and its central differences (`shaders/energy/shader_differences.wgsl`).

use super::shader_energy::rows;

/// Energy and difference quotients of every row, `(E(y + h e_j) - E(y - h e_j)) / 2 h`,
/// `h = max(step, |y_j| / 4096)`.
///
/// Rows and contexts as in [`super::shader_energy()`].
pub fn shader_differences(
    (x, width): (&[f64], usize),
    (y, dims): (&[f64], usize),
    step: f64,
    energy: impl Fn(&[f64], &[f64]) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut gradient) = (Vec::new(), Vec::new());
    for (x, y) in rows((x, width), (y, dims)) {
        values.push(energy(x, y));
        for j in 0..dims {
            let h = difference_step(step, y[j]);
            let moved = |by: f64| {
                let mut y = y.to_vec();
                y[j] += by;
                energy(x, &y)
            };
            gradient.push((moved(h) - moved(-h)) / (2.0 * h));
        }
    }
    (values, gradient)
}

/// `max(step, |y| / 4096)`
pub fn difference_step(step: f64, y: f64) -> f64 {
    step.max(y.abs() / 4096.0)
}
