//! How far a learned score and its guidance are from exact ones, over noised data at all times.

use super::Evaluation;
use crate::diffusion::{
    Guidance, NoiseLevel, NoiseSchedule, Score, ScoreNetwork, evaluate_guided, evaluate_noise,
};
use crate::gpu::{Gpu, Points};
use crate::nn::Normalizer;
use crate::{Error, Result};

/// Times at which errors are measured: the middles of equal parts of 0.001 to 1.
pub const LEVELS: usize = 16;

/// The exact values of a context at a time, as a function of the point.
pub type At<'a> = Box<dyn Fn([f64; 2]) -> Evaluation + 'a>;

/// Where the noised samples of normalized data lie among those of the data themselves.
///
/// With one scale `s` for both columns, `z = alpha s (y - shift) + sigma eps` is
/// `z = (x - offset) / ratio` for `x = alpha' y + sigma' eps` at the level where
/// `alpha' / sigma' = s alpha / sigma`; `eps` is the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AmongData {
    /// The level among noised data.
    pub level: NoiseLevel,
    /// Units of data per normalized unit, at that level.
    pub ratio: f64,
    /// Where the normalized origin lies.
    pub offset: [f64; 2],
}

impl AmongData {
    /// Of samples at a level in units of a normalizer; without one they are noised data.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless both columns have one scale: noise would not be the same in
    /// all directions, and exact values are known for such alone.
    pub fn new(normalizer: Option<&Normalizer>, level: NoiseLevel) -> Result<Self> {
        let Some(normalizer) = normalizer.filter(|normalizer| !normalizer.is_identity()) else {
            return Ok(Self { level, ratio: 1.0, offset: [0.0; 2] });
        };
        let (&[first, second], &[scale, other]) = (&normalizer.shift[..], &normalizer.scale[..]) else {
            let problem = format!("has {} dimensions, the plane 2", normalizer.width());
            return Err(Error::argument("accuracy", "the normalizer", problem));
        };
        if scale != other {
            return Err(Error::Unsupported {
                operation: "exact values of noised samples".into(),
                reason: format!("they are normalized by {scale} in one direction and {other} in the other"),
                hint: "normalize by one scale, `Normalize::Isotropic`".into(),
            });
        }
        let scale = f64::from(scale);
        let noise = level.sigma() / (level.alpha() * scale);
        let log_alpha = -0.5 * (noise * noise).ln_1p();
        let kept = log_alpha.exp();
        let offset = [first, second].map(|shift| kept * f64::from(shift));
        Ok(Self {
            level: NoiseLevel { time: level.time, log_alpha },
            ratio: kept / (level.alpha() * scale),
            offset,
        })
    }

    /// A normalized noised sample among noised data.
    pub fn place(&self, z: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|j| self.ratio * z[j] + self.offset[j])
    }
}

/// Relative root mean square errors of a model in the plane: of the predicted noise, and of the
/// gradient that guides, if one does.
///
/// * `guidance` with the factor of its gradient that makes it what is to be compared.
/// * `contexts`: two numbers each; none for an unconditional model.
/// * `normal`: standard normal numbers, one after the other, for the noise.
/// * `draw`: for each of the [`LEVELS`] the samples without noise, in data units, equally many for
///   each context, one context's behind the other's.
/// * `exact`: for a level of noised data the exact values in each context; one for an unconditional
///   model.
///
/// # Errors
/// Those of [`AmongData::new`] for the score's units, of [`evaluate_guided`] and of `exact`.
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
        let among = AmongData::new(score.normalizer(), level)?;
        let drawn = draw(index);
        let clean = match score.normalizer() {
            Some(normalizer) => normalizer.normalize(drawn.as_flattened()),
            None => drawn.into_flattened(),
        };
        let x: Vec<f32> = clean.iter().map(|v| (alpha * f64::from(*v) + sigma * normal()) as f32).collect();
        let context = contexts.as_flattened();
        let points = Points { context, contexts: contexts.len().max(1), y: &x, dims: 2 };
        let (noise, slope) = match guidance {
            Guidance::None => (evaluate_noise(gpu, score, &points, &level)?, None),
            _ => {
                let [noise, slope] = evaluate_guided(gpu, score, guidance, &points, &level)?;
                (noise, Some(slope))
            }
        };
        let exact = exact(among.level)?;
        let per_context = x.len() / (2 * exact.len());
        for (point, place) in x.chunks_exact(2).enumerate() {
            let exact = exact[point / per_context](among.place([0, 1].map(|j| f64::from(place[j]))));
            for j in 0..2 {
                let eps = -among.level.sigma() * exact.score[j];
                sums[0] += (f64::from(noise[2 * point + j]) - eps).powi(2);
                sums[1] += eps * eps;
                if let Some(slope) = &slope {
                    let (found, exact) =
                        (factor * f64::from(slope[2 * point + j]), among.ratio * exact.gradient[j]);
                    sums[2] += (found - exact).powi(2);
                    sums[3] += exact * exact;
                }
            }
        }
    }
    let relative = |error: f64, size: f64| (error / size).sqrt();
    let gradient = (!matches!(guidance, Guidance::None)).then(|| relative(sums[2], sums[3]));
    Ok((relative(sums[0], sums[1]), gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_samples_lie_among_noised_data() {
        let level = NoiseSchedule::default().at(0.3);
        let same = AmongData::new(None, level).unwrap();
        assert_eq!((same.level, same.ratio, same.offset), (level, 1.0, [0.0; 2]));
        let normalizer = Normalizer { shift: vec![3.0, -1.0], scale: vec![0.25; 2] };
        let among = AmongData::new(Some(&normalizer), level).unwrap();
        // A sample without noise and its noise, in both units.
        let (y, noise) = ([5.0, 0.5], [0.7, -1.2]);
        let z = [0, 1].map(|j| {
            let (shift, scale) = (f64::from(normalizer.shift[j]), f64::from(normalizer.scale[j]));
            level.alpha() * (y[j] - shift) * scale + level.sigma() * noise[j]
        });
        let x = among.place(z);
        for j in 0..2 {
            let expected = among.level.alpha() * y[j] + among.level.sigma() * noise[j];
            assert!((x[j] - expected).abs() < 1e-12, "{x:?} {expected}");
        }
        let uneven = Normalizer { shift: vec![0.0; 2], scale: vec![1.0, 2.0] };
        let error = AmongData::new(Some(&uneven), level).unwrap_err().to_string();
        assert!(error.contains("Isotropic"), "{error}");
    }
}
