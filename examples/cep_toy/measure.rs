//! Samples and errors of one row.

use std::time::Instant;

use gibbs::diffusion::{DiffusionSampler, EnergyAtLevel, Guidance, GuidanceNetwork, NoiseSchedule};
use gibbs::nn::{Gradient, Points, ShaderEnergy, ShaderEnergyOptions, evaluate_energy};
use gibbs::tasks::toy::measure::sliced_wasserstein;
use gibbs::tasks::toy::{Bins, Oracle, Target, Task};
use serde::{Deserialize, Serialize};

use super::accuracy::{self, At, LEVELS};
use super::networks::Trained;
use super::rows::{Method, Row};

/// Directions of the sliced Wasserstein distance.
const DIRECTIONS: usize = 64;
/// Points at each time at which errors are measured.
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
pub fn row(trained: &mut Trained<'_>, mut row: Row, target: &Target) -> Outcome<Measured> {
    let (task, seed) = (trained.task, trained.seed);
    let score = trained.score()?;
    row.score_seconds = score.seconds;
    row.steps_per_second = score.steps_per_second;
    let exact_energy = task.has_gradient() && row.method == Method::Dps;
    let energy = match row.method {
        Method::None => None,
        Method::Dps if exact_energy => None,
        method => {
            let energy = trained.energy(method, row.beta)?;
            row.steps_per_second = energy.steps_per_second;
            row.seconds = energy.seconds;
            Some(energy.network)
        }
    };
    let begun = Instant::now();
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
    let options = trained.arguments.sampling(row.guidance * factor, seed ^ 0x5a3d);
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
    let fresh = task.draw(LEVELS * POINTS, seed ^ 0x1234_5678);
    let errors = accuracy::errors(
        (trained.gpu, &score.network),
        (&guidance, factor),
        &[],
        seed ^ 0x77,
        |level| fresh[level * POINTS..(level + 1) * POINTS].iter().map(|point| point.x).collect(),
        |level| {
            let at = oracle.at(level)?;
            Ok(vec![Box::new(move |x| at.evaluate(x)) as At<'_>])
        },
    )?;
    (row.score_error, row.energy_gradient_error) = (errors.noise, errors.gradient);
    let learned = match row.method {
        Method::Dps => None,
        _ => energy.as_ref().map(|energy| Learned { energy, factor }),
    };
    let field = learned.as_ref().map(|learned| field(trained, &oracle, learned)).transpose()?;
    row.seconds += begun.elapsed().as_secs_f64();
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
