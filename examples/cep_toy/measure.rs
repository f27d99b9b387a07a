//! Samples and errors of one row.

use std::time::Instant;

use gibbs::diffusion::{
    DiffusionSampler, EnergyAtLevel, Guidance, GuidanceNetwork, NoiseSchedule, SamplingOptions, ScoreNetwork,
    SolverOptions, evaluate_noise,
};
use gibbs::nn::{Gradient, Points, ShaderEnergy, ShaderEnergyOptions, evaluate_energy, evaluate_gradient};
use gibbs::tasks::toy::measure::sliced_wasserstein;
use gibbs::tasks::toy::{Bins, Oracle, Target, Task};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::networks::Trained;
use super::rows::{Method, Row};

/// Directions of the sliced Wasserstein distance.
const DIRECTIONS: usize = 64;
/// Times at which errors are measured, the middles of equal parts of 0.001 to 1, and points at each.
const LEVELS: usize = 16;
const POINTS: usize = 256;
/// Times of the pictures of energies, and points along their sides.
pub const FIELD_TIMES: [f64; 4] = [0.02, 0.15, 0.35, 0.6];
pub const FIELD_SIDE: usize = 64;

/// An energy over a square at several times: exact and learned, `[side, side]` each.
#[derive(Serialize, Deserialize)]
pub struct Field {
    pub exact: Vec<Vec<f64>>,
    pub learned: Vec<Vec<f64>>,
}

/// A finished row with what its pictures need: probabilities of the cells of a square.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    pub row: Row,
    pub samples: Vec<f64>,
    pub target: Vec<f64>,
    pub data: Vec<f64>,
    pub field: Option<Field>,
}

/// A learned intermediate energy: a network's output times a factor.
struct Learned<'a> {
    energy: &'a GuidanceNetwork,
    factor: f64,
}

/// Cells of the densities in pictures.
const CELLS: usize = 64;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A task's quadratic energy round the origin as a host program would write it. Beyond the square of the pictures it stays what it
/// is at the border: it would fall for ever, and denoised points that leave the data would be led on.
fn written_energy(task: Task) -> gibbs::Result<Option<ShaderEnergy>> {
    let Some(quadratic) = task.quadratic() else { return Ok(None) };
    let text = "
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    let a = clamp(y[0], -border, border);
    let b = clamp(y[1], -border, border);
    return 0.5 * curvature * (a * a + b * b);
}
fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    return array<f32, DIMS>(
        select(0.0, curvature * y[0], abs(y[0]) < border),
        select(0.0, curvature * y[1], abs(y[1]) < border),
    );
}
";
    let options = ShaderEnergyOptions::new(0, 2, Gradient::Written)
        .number("curvature", quadratic.matrix[0][0] as f32)
        .number("border", task.half_width() as f32);
    ShaderEnergy::new("quadratic", "quadratic.wgsl", text, options).map(Some)
}

/// Trains what the row needs, samples and measures.
pub fn row(
    trained: &mut Trained<'_>,
    mut row: Row,
    target: &Target,
    solver: &SolverOptions,
) -> Outcome<Measured> {
    let (task, seed) = (trained.task, trained.seed);
    let score = trained.score()?;
    row.score_seconds = score.seconds;
    let begun = Instant::now();
    row.steps_per_second = score.steps_per_second;
    let exact_energy = task.has_gradient() && row.method == Method::Dps;
    let energy = match row.method {
        Method::None => None,
        Method::Dps if exact_energy => None,
        method => {
            let energy = trained.energy(method, row.beta)?;
            row.steps_per_second = energy.steps_per_second;
            Some(energy.network)
        }
    };
    let written = written_energy(task)?;
    let start = NoiseSchedule::default().at(0.0);
    let regressed = energy.as_ref().map(|energy| EnergyAtLevel::new(energy, start));
    let guidance = match (row.method, &energy, &regressed) {
        (Method::Dps, _, Some(energy)) => Guidance::Denoised { energy, beta: row.beta },
        (Method::Dps, ..) => match &written {
            Some(energy) => Guidance::Denoised { energy, beta: row.beta },
            None => Guidance::None,
        },
        (_, Some(energy), _) => Guidance::Intermediate(energy),
        (_, None, _) => Guidance::None,
    };
    if row.method == Method::Dps {
        row.denoised_energy = Some(if exact_energy { "exact within the square" } else { "regressed" }.into());
    }
    // Of the learned intermediate energy.
    let factor = if row.method == Method::Mse { row.beta } else { 1.0 };
    let options = SamplingOptions {
        solver: *solver,
        samples: row.samples,
        guidance_scale: row.guidance * factor,
        seed: seed ^ 0x5a3d,
        ..SamplingOptions::default()
    };
    let mut sampler = DiffusionSampler::new(trained.gpu, &score.network, guidance, &options)?;
    let clock = Instant::now();
    let flat = sampler.sample(&[])?;
    row.samples_per_second = row.samples as f64 / clock.elapsed().as_secs_f64();
    let samples: Vec<[f32; 2]> = flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();

    let exact = [11, 12].map(|stream| target.draw(row.samples, seed.wrapping_mul(100).wrapping_add(stream)));
    row.tv = target.total_variation(&samples);
    row.tv_exact_samples = target.total_variation(&exact[0]);
    row.sliced_w2 = sliced_wasserstein(&samples, &exact[0], DIRECTIONS)?;
    row.sliced_w2_exact_samples = sliced_wasserstein(&exact[1], &exact[0], DIRECTIONS)?;
    let oracle = task.oracle(row.beta)?;
    let learned = match row.method {
        Method::Dps => None,
        _ => energy.as_ref().map(|energy| Learned { energy, factor }),
    };
    let (score_error, gradient_error) = errors(trained, &oracle, &score.network, learned.as_ref())?;
    (row.score_error, row.energy_gradient_error) = (score_error, gradient_error);
    let field = learned.as_ref().map(|learned| field(trained, &oracle, learned)).transpose()?;
    row.seconds = begun.elapsed().as_secs_f64();
    let half_width = task.half_width();
    let shown: Vec<[f32; 2]> = trained.points().iter().take(50_000).map(|point| point.x).collect();
    Ok(Measured {
        row,
        samples: Bins::of_sample(&samples, half_width, CELLS).probabilities,
        target: target.bins(half_width, CELLS).probabilities,
        data: Bins::of_sample(&shown, half_width, CELLS).probabilities,
        field,
    })
}

/// Relative root mean squares of the predicted noise and of the energy's gradient over noised data at several times.
fn errors(
    trained: &mut Trained<'_>,
    oracle: &Oracle,
    score: &ScoreNetwork,
    learned: Option<&Learned<'_>>,
) -> Outcome<(f64, Option<f64>)> {
    let (task, gpu) = (trained.task, trained.gpu);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(trained.seed ^ 0x77);
    let points = task.draw(LEVELS * POINTS, trained.seed ^ 0x1234_5678);
    let mut normal = || -> f64 { rng.sample(StandardNormal) };
    // Sums of squares: of the noise's error and size, of the gradient's error and size.
    let mut sums = [0.0; 4];
    let levels = NoiseSchedule::default().levels(1e-3, 1.0, LEVELS);
    for (level, chosen) in levels.zip(points.chunks_exact(POINTS)) {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let x: Vec<f32> = chosen
            .iter()
            .flat_map(|point| point.x)
            .map(|v| (alpha * f64::from(v) + sigma * normal()) as f32)
            .collect();
        let points = Points { context: &[], contexts: 1, y: &x, dims: 2 };
        let noise = evaluate_noise(gpu, score, &points, &level)?;
        let gradient = learned
            .map(|learned| evaluate_gradient(gpu, &EnergyAtLevel::new(learned.energy, level), &points))
            .transpose()?;
        let at = oracle.at(level)?;
        for (index, place) in x.chunks_exact(2).enumerate() {
            let exact = at.evaluate([0, 1].map(|j| f64::from(place[j])));
            for j in 0..2 {
                let eps = -sigma * exact.score[j];
                sums[0] += (f64::from(noise[2 * index + j]) - eps).powi(2);
                sums[1] += eps * eps;
                if let (Some(gradient), Some(learned)) = (&gradient, learned) {
                    let slope = learned.factor * f64::from(gradient[2 * index + j]);
                    sums[2] += (slope - exact.gradient[j]).powi(2);
                    sums[3] += exact.gradient[j].powi(2);
                }
            }
        }
    }
    Ok(((sums[0] / sums[1]).sqrt(), learned.map(|_| (sums[2] / sums[3]).sqrt())))
}

/// The energy over the square, learned and exact.
fn field(trained: &Trained<'_>, oracle: &Oracle, learned: &Learned<'_>) -> Outcome<Field> {
    let half_width = trained.task.half_width();
    let place = |index: usize| ((index as f64 + 0.5) / FIELD_SIDE as f64 * 2.0 - 1.0) * half_width;
    let places: Vec<[f64; 2]> = (0..FIELD_SIDE * FIELD_SIDE)
        .map(|cell| [place(cell % FIELD_SIDE), place(cell / FIELD_SIDE)])
        .collect();
    let x: Vec<f32> = places.iter().flatten().map(|v| *v as f32).collect();
    let points = Points { context: &[], contexts: 1, y: &x, dims: 2 };
    let mut field = Field { exact: Vec::new(), learned: Vec::new() };
    for time in FIELD_TIMES {
        let level = NoiseSchedule::default().at(time);
        let at = oracle.at(level)?;
        field.exact.push(places.iter().map(|place| at.energy(*place)).collect());
        let energy = evaluate_energy(trained.gpu, &EnergyAtLevel::new(learned.energy, level), &points)?;
        field.learned.push(energy.into_iter().map(|v| learned.factor * f64::from(v)).collect());
    }
    Ok(field)
}
