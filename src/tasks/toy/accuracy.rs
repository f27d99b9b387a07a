//! How far a learned score and its guidance are from exact ones, over noised data at all times.

use super::Evaluation;
use crate::Result;
use crate::diffusion::{Guidance, NoiseLevel, NoiseSchedule, ScoreNetwork, evaluate_guided, evaluate_noise};
use crate::gpu::{Gpu, Points};

/// Times at which errors are measured: the middles of equal parts of 0.001 to 1.
pub const LEVELS: usize = 16;

/// The exact values of a context at a time, as a function of the point.
pub type At<'a> = Box<dyn Fn([f64; 2]) -> Evaluation + 'a>;

/// Relative root mean square errors of a model in the plane: of the predicted noise, and of the
/// gradient that guides, if one does.
///
/// * `guidance` with the factor of its gradient that makes it what is to be compared.
/// * `contexts`: two numbers each; none for an unconditional model.
/// * `normal`: standard normal numbers, one after the other, for the noise.
/// * `draw`: for each of the [`LEVELS`] the samples without noise, equally many for each context,
///   one context's behind the other's.
/// * `exact`: for a level the exact values in each context; one for an unconditional model.
///
/// # Errors
/// Those of [`evaluate_guided`] and of `exact`.
pub fn errors<'a>(
    (gpu, score): (&Gpu, &ScoreNetwork),
    (guidance, factor): (&Guidance<'_>, f64),
    contexts: &[[f32; 2]],
    mut normal: impl FnMut() -> f64,
    mut draw: impl FnMut(usize) -> Vec<[f32; 2]>,
    exact: impl Fn(NoiseLevel) -> Result<Vec<At<'a>>>,
) -> Result<(f64, Option<f64>)> {
    // Sums of squares: of the noise's error and size, of the gradient's error and size.
    let mut sums = [0.0; 4];
    for (index, level) in NoiseSchedule::default().levels(1e-3, 1.0, LEVELS).enumerate() {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let x: Vec<f32> = draw(index)
            .as_flattened()
            .iter()
            .map(|v| (alpha * f64::from(*v) + sigma * normal()) as f32)
            .collect();
        let context = contexts.as_flattened();
        let points = Points { context, contexts: contexts.len().max(1), y: &x, dims: 2 };
        let (noise, slope) = match guidance {
            Guidance::None => (evaluate_noise(gpu, score, &points, &level)?, None),
            _ => {
                let [noise, slope] = evaluate_guided(gpu, score, guidance, &points, &level)?;
                (noise, Some(slope))
            }
        };
        let exact = exact(level)?;
        let per_context = x.len() / (2 * exact.len());
        for (point, place) in x.chunks_exact(2).enumerate() {
            let exact = exact[point / per_context]([0, 1].map(|j| f64::from(place[j])));
            for j in 0..2 {
                let eps = -sigma * exact.score[j];
                sums[0] += (f64::from(noise[2 * point + j]) - eps).powi(2);
                sums[1] += eps * eps;
                if let Some(slope) = &slope {
                    let found = factor * f64::from(slope[2 * point + j]);
                    sums[2] += (found - exact.gradient[j]).powi(2);
                    sums[3] += exact.gradient[j].powi(2);
                }
            }
        }
    }
    let relative = |error: f64, size: f64| (error / size).sqrt();
    let gradient = (!matches!(guidance, Guidance::None)).then(|| relative(sums[2], sums[3]));
    Ok((relative(sums[0], sums[1]), gradient))
}
