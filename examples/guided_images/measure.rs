//! Samples and what is counted of them.

use std::time::Instant;

use gibbs::Gpu;
use gibbs::diffusion::{
    DiffusionSampler, Guidance, Prediction, SamplingOptions, Solver, SolverOptions, TimeGrid,
};
use gibbs::proposal::UniformBox;
use gibbs::tasks::coloured_shapes::{DIMS, draw, exact_share, hue_distance, hue_of};
use serde::Serialize;

use super::networks::{Trained, point_of};
use super::{Arguments, Outcome};

/// A hue is met within a twelfth of a turn either side: a sixth of the circle.
const TOLERANCE: f64 = 1.0 / 12.0;
/// Drawn pictures that samples are compared with, and samples of each kind that are.
const NEIGHBOURS: usize = 8192;
const COMPARED: usize = 96;
/// Samples that are on their way at a time, 12 MiB, and samples in all of each kind, 600 MiB.
const AT_A_TIME: usize = 4096;
const MOST_SAMPLES: u64 = 200_000;

/// Pictures of each kind, `[count, DIMS]`.
pub struct Samples {
    pub data: Vec<f32>,
    pub unguided: Vec<f32>,
    /// Those of each wanted hue.
    pub guided: Vec<Vec<f32>>,
    /// Samples per second without and with guidance.
    pub speeds: [f64; 2],
}

/// Shares of one wanted hue.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HueShare {
    /// In degrees.
    pub hue: f64,
    pub guided: f64,
    pub unguided: f64,
}

/// What `metrics.json` holds.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    pub adapter: String,
    pub backend: String,
    pub preset: &'static str,
    pub seed: u64,
    pub predict: Prediction,
    pub beta: f64,
    pub guidance: f64,
    pub solver: Solver,
    pub grid: TimeGrid,
    pub nfe: usize,
    pub steps: u64,
    pub energy_steps: u64,
    /// Samples with guidance in all, and without.
    pub samples: [usize; 2],
    /// How far a hue may lie from the wanted one, in turns.
    pub tolerance: f64,
    pub hues: Vec<HueShare>,
    /// Shares within the tolerance, over all wanted hues.
    pub share_guided: f64,
    pub share_unguided: f64,
    pub ratio: f64,
    /// The share of draws from the exact target.
    pub share_exact: f64,
    /// Samples without any hue; they count as outside.
    pub colourless: [f64; 2],
    /// Root mean square difference of a picture's values to those of the nearest of 8192 drawn ones, mean over samples with
    /// guidance, without, and fresh drawn pictures.
    pub nearest_guided: f64,
    pub nearest_unguided: f64,
    pub nearest_data: f64,
    pub steps_per_second: f64,
    pub energy_steps_per_second: f64,
    pub samples_per_second: f64,
    pub guided_samples_per_second: f64,
    pub seconds: f64,
}

/// How samples are drawn, so many per hue at a time.
fn sampling(arguments: &Arguments) -> Outcome<SamplingOptions> {
    let (hues, samples) = (arguments.hues as usize, arguments.samples as usize);
    Ok(SamplingOptions {
        solver: arguments.solver(),
        contexts: hues,
        samples: samples.min((AT_A_TIME / hues).max(1)),
        guidance_scale: arguments.guidance,
        bounds: Some(UniformBox::new(&[-1.0; DIMS], &[1.0; DIMS])?),
        seed: arguments.seed ^ 0x5a3d,
        ..SamplingOptions::default()
    })
}

/// Checks what samples would be drawn with, before anything is trained.
pub fn check(arguments: &Arguments) -> Outcome<()> {
    let count = u64::from(arguments.hues) * u64::from(arguments.samples);
    if count > MOST_SAMPLES {
        let Arguments { hues, samples, .. } = arguments;
        return Err(format!(
            "{samples} samples of {hues} hues are {count} pictures; ask for {MOST_SAMPLES} at most"
        )
        .into());
    }
    Ok(sampling(arguments)?.check(DIMS)?)
}

/// Draws samples without guidance and with it, as many of both.
pub fn sample(gpu: &Gpu, arguments: &Arguments, trained: &Trained) -> Outcome<Samples> {
    let targets = arguments.targets();
    let options = sampling(arguments)?;
    let (unguided, plain_speed) = by_hue(gpu, arguments, trained, (Guidance::None, &options), &[])?;
    let options = SamplingOptions { context_width: 2, seed: arguments.seed ^ 0xa6e1, ..options };
    let guidance = Guidance::Intermediate(&trained.energy);
    let context: Vec<f32> = targets.iter().flat_map(|hue| point_of(*hue)).collect();
    let (guided, guided_speed) = by_hue(gpu, arguments, trained, (guidance, &options), &context)?;
    let fresh = draw(COMPARED, arguments.seed.wrapping_add(0x0dd5));
    Ok(Samples {
        data: fresh.iter().flat_map(|sketch| sketch.picture()).collect(),
        unguided: unguided.concat(),
        guided,
        speeds: [plain_speed, guided_speed],
    })
}

/// The samples of each hue, in as many runs as they need, and how many are drawn per second.
fn by_hue(
    gpu: &Gpu,
    arguments: &Arguments,
    trained: &Trained,
    (guidance, options): (Guidance<'_>, &SamplingOptions),
    context: &[f32],
) -> Outcome<(Vec<Vec<f32>>, f64)> {
    let wanted = arguments.samples as usize;
    let mut sampler = DiffusionSampler::new(gpu, &trained.score, guidance, options)?;
    let mut pictures = vec![Vec::with_capacity(wanted * DIMS); options.contexts];
    let (clock, mut drawn) = (Instant::now(), 0);
    while pictures[0].len() < wanted * DIMS {
        let flat = sampler.sample(context)?;
        drawn += options.contexts * options.samples;
        for (pictures, flat) in pictures.iter_mut().zip(flat.chunks_exact(options.samples * DIMS)) {
            let missing = wanted * DIMS - pictures.len();
            pictures.extend(flat.iter().take(missing));
        }
    }
    Ok((pictures, drawn as f64 / clock.elapsed().as_secs_f64()))
}

/// The share of pictures within the tolerance of a hue.
fn share(pictures: &[f32], wanted: f64) -> f64 {
    let met = pictures
        .chunks_exact(DIMS)
        .filter(|picture| hue_of(picture).is_some_and(|hue| hue_distance(hue, wanted) <= TOLERANCE))
        .count();
    met as f64 / (pictures.len() / DIMS) as f64
}

/// The share of pictures without a hue.
fn colourless(pictures: &[f32]) -> f64 {
    let none = pictures.chunks_exact(DIMS).filter(|picture| hue_of(picture).is_none()).count();
    none as f64 / (pictures.len() / DIMS) as f64
}

/// Mean distance of the first pictures to the nearest drawn one.
fn nearest<'a>(pictures: impl Iterator<Item = &'a [f32]>, drawn: &[Vec<f32>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for picture in pictures.take(COMPARED) {
        let distance =
            |other: &Vec<f32>| -> f32 { picture.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum() };
        let least = drawn.iter().map(distance).fold(f32::INFINITY, f32::min);
        sum += f64::from(least / DIMS as f32).sqrt();
        count += 1.0;
    }
    sum / count
}

/// Counts.
pub fn metrics(
    gpu: &Gpu,
    arguments: &Arguments,
    trained: &Trained,
    samples: &Samples,
    begun: Instant,
) -> Metrics {
    let SolverOptions { solver, grid, evaluations, .. } = arguments.solver();
    let hues: Vec<HueShare> = arguments
        .targets()
        .iter()
        .zip(&samples.guided)
        .map(|(&wanted, guided)| HueShare {
            hue: 360.0 * wanted,
            guided: share(guided, wanted),
            unguided: share(&samples.unguided, wanted),
        })
        .collect();
    let mean = |of: &dyn Fn(&HueShare) -> f64| hues.iter().map(of).sum::<f64>() / hues.len() as f64;
    let (share_guided, share_unguided) = (mean(&|hue| hue.guided), mean(&|hue| hue.unguided));
    let drawn: Vec<Vec<f32>> =
        draw(NEIGHBOURS, arguments.seed).iter().map(|sketch| sketch.picture()).collect();
    // One of each hue after the other.
    let per_hue = arguments.samples as usize;
    let mixed = (0..per_hue)
        .flat_map(|index| samples.guided.iter().map(move |flat| &flat[index * DIMS..(index + 1) * DIMS]));
    let all: Vec<f32> = samples.guided.concat();
    Metrics {
        adapter: gpu.info().name.clone(),
        backend: format!("{:?}", gpu.info().backend).to_lowercase(),
        preset: arguments.preset.name(),
        seed: arguments.seed,
        predict: trained.score.prediction(),
        beta: arguments.beta,
        guidance: arguments.guidance,
        solver,
        grid,
        nfe: evaluations,
        steps: trained.steps,
        energy_steps: trained.energy_steps,
        samples: [all.len() / DIMS, samples.unguided.len() / DIMS],
        tolerance: TOLERANCE,
        hues,
        share_guided,
        share_unguided,
        ratio: share_guided / share_unguided,
        share_exact: exact_share(arguments.beta, TOLERANCE),
        colourless: [colourless(&all), colourless(&samples.unguided)],
        nearest_guided: nearest(mixed, &drawn),
        nearest_unguided: nearest(samples.unguided.chunks_exact(DIMS), &drawn),
        nearest_data: nearest(samples.data.chunks_exact(DIMS), &drawn),
        steps_per_second: trained.speeds[0],
        energy_steps_per_second: trained.speeds[1],
        samples_per_second: samples.speeds[0],
        guided_samples_per_second: samples.speeds[1],
        seconds: begun.elapsed().as_secs_f64(),
    }
}
