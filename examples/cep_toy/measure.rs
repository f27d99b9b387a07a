//! Samples and errors of one row.

use std::time::Instant;

use gibbs::Gpu;
use gibbs::diffusion::{
    DiffusionSampler, EnergyAtLevel, Guidance, IntermediateEnergy, IntermediateEnergyNetwork, NoiseSchedule,
};
use gibbs::energy::evaluate_energy;
use gibbs::gpu::Points;
use gibbs::tasks::toy::accuracy::{self, AmongData, At, LEVELS};
use gibbs::tasks::toy::variation::sliced_wasserstein;
use gibbs::tasks::toy::{Bins, Oracle, Task};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::common::arguments::Outcome;
use super::common::progress::Progress;
use super::networks::Networks;
use super::rows::{Method, Row, name};

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

/// Cells of the densities in pictures.
const CELLS: usize = 64;

/// Trains what the row needs, samples and measures.
pub fn row(networks: &mut Networks<'_>, (beta, method): (f64, Method), asked: &Row) -> Outcome<Measured> {
    let Networks { gpu, arguments, task, seed, .. } = *networks;
    let score = networks.score()?;
    let exact_energy = task.has_gradient() && method == Method::Dps;
    let learns = method != Method::None && !exact_energy;
    let energy = learns.then(|| networks.energy(method, beta)).transpose()?;
    let begun = Instant::now();
    let _alive = Progress::busy(&format!("{}: sampling and measuring", name(asked)));
    let written = task.shader_energy()?;
    let learned = energy.as_ref().map(|energy| &energy.network);
    let regressed = learned.map(|energy| EnergyAtLevel::new(energy, NoiseSchedule::default().at(0.0)));
    let guidance = match (method, learned, &regressed, &written) {
        (Method::Dps, _, Some(energy), _) => Guidance::Denoised { energy, beta },
        (Method::Dps, .., Some(energy)) => Guidance::Denoised { energy, beta },
        (Method::Dps | Method::None, ..) | (_, None, ..) => Guidance::None,
        (_, Some(energy), ..) => Guidance::Intermediate(energy),
    };
    // Of the learned intermediate energy.
    let factor = if method == Method::Mse { beta } else { 1.0 };
    let options = arguments.sampling(arguments.sampling.guidance * factor, seed ^ 0x5a3d);
    let mut sampler = DiffusionSampler::new(gpu, &score.network, guidance, &options)?;
    let (clock, count) = (Instant::now(), arguments.samples);
    let flat = sampler.sample(&[])?;
    let samples_per_second = count as f64 / clock.elapsed().as_secs_f64();
    let samples = flat.as_chunks().0.to_vec();

    let target = task.target(beta)?;
    let exact = [11, 12].map(|stream| target.draw(count, seed.wrapping_mul(100).wrapping_add(stream)));
    let oracle = task.oracle(beta)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x77);
    let fresh = task.draw(LEVELS * POINTS, seed ^ 0x1234_5678);
    let (score_error, energy_gradient_error) = accuracy::errors(
        (gpu, &score.network),
        (&guidance, factor),
        &[],
        || rng.sample(StandardNormal),
        |level| fresh[level * POINTS..(level + 1) * POINTS].iter().map(|point| point.x).collect(),
        |level| {
            let at = oracle.at(level)?;
            Ok(vec![Box::new(move |x| at.evaluate(x)) as At<'_>])
        },
    )?;
    let field = match method {
        Method::Dps => None,
        _ => learned.map(|energy| field(gpu, task, &oracle, (energy, factor))).transpose()?,
    };
    let denoised_energy = if exact_energy { "exact within the square" } else { "regressed" };
    let mut row = asked.clone();
    let figures = json!({
        // Total variation between the samples and the exact target.
        "tv": target.total_variation(&samples),
        // The same for as many draws from the exact target.
        "tv_exact_samples": target.total_variation(&exact[0]),
        // Sliced Wasserstein distance of order 2 to as many draws from the exact target.
        "sliced_w2": sliced_wasserstein(&samples, &exact[0], DIRECTIONS)?,
        // The same between two sets of such draws.
        "sliced_w2_exact_samples": sliced_wasserstein(&exact[1], &exact[0], DIRECTIONS)?,
        // Relative root mean square of the guiding gradient's error, over samples and times of the
        // data's process.
        "energy_gradient_error": energy_gradient_error,
        // Relative root mean square of the predicted noise's error, over the same.
        "score_error": score_error,
        // For guidance through the denoiser: whether the energy is the exact one or a regressed
        // one.
        "denoised_energy": (method == Method::Dps).then_some(denoised_energy),
        // For everything but the score: training the energy, also where it serves several rows,
        // sampling and measuring.
        "seconds": energy.as_ref().map_or(0.0, |energy| energy.seconds) + begun.elapsed().as_secs_f64(),
        // Of training the score, which all methods of a task and seed share.
        "score_seconds": score.seconds,
        // Of the network that guides, or of the score where none does.
        "steps_per_second": energy.as_ref().map_or(score.steps_per_second, |energy| energy.steps_per_second),
        // In the sampler's first run.
        "samples_per_second": samples_per_second,
    });
    row.extend(serde_json::from_value::<Row>(figures)?);
    let half_width = task.half_width();
    let shown: Vec<[f32; 2]> = networks.points().iter().take(50_000).map(|point| point.x).collect();
    Ok(Measured {
        row,
        samples: Bins::of_sample(&samples, half_width, CELLS).probabilities,
        target: target.bins(half_width, CELLS).probabilities,
        data: Bins::of_sample(&shown, half_width, CELLS).probabilities,
        field,
    })
}

/// The energy over the square, a network's output times a factor, and exact, at levels of noised
/// data.
fn field(
    gpu: &Gpu,
    task: Task,
    oracle: &Oracle,
    (energy, factor): (&IntermediateEnergyNetwork, f64),
) -> Outcome<Field> {
    let place = |index: usize| ((index as f64 + 0.5) / FIELD_SIDE as f64 * 2.0 - 1.0) * task.half_width();
    let cells = 0..FIELD_SIDE * FIELD_SIDE;
    let places: Vec<_> = cells.map(|cell| [cell % FIELD_SIDE, cell / FIELD_SIDE].map(place)).collect();
    let mut field = Field { exact: Vec::new(), learned: Vec::new() };
    for time in FIELD_TIMES {
        let mut level = NoiseSchedule::default().at(time);
        let at = oracle.at(level)?;
        field.exact.push(places.iter().map(|place| at.energy(*place)).collect());
        let mut x: Vec<f32> = places.iter().flatten().map(|v| *v as f32).collect();
        if let Some(normalizer) = energy.normalizer() {
            level = NoiseSchedule::default().at_lambda(level.lambda() - f64::from(normalizer.scale[0]).ln());
            let AmongData { ratio, offset, .. } = AmongData::new(Some(normalizer), level)?;
            let inside = places.iter().flat_map(|place| [0, 1].map(|j| (place[j] - offset[j]) / ratio));
            x = normalizer.denormalize(&inside.map(|v| v as f32).collect::<Vec<_>>());
        }
        let points = Points { context: &[], contexts: 1, y: &x, dims: 2 };
        let values = evaluate_energy(gpu, &EnergyAtLevel::new(energy, level), &points)?;
        field.learned.push(values.into_iter().map(|v| factor * f64::from(v)).collect());
    }
    Ok(field)
}
