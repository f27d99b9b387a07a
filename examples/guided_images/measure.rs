//! Samples and what is counted of them.

use std::time::Instant;

use gibbs::Gpu;
use gibbs::diffusion::{DiffusionSampler, Guidance, SamplingOptions, SolverOptions};
use gibbs::math::Bounds;
use gibbs::tasks::colored_shapes::{DIMS, draw, exact_share, hue_distance, hue_of};
use serde_json::{Value, json};

use super::Arguments;
use super::common::arguments::Outcome;
use super::common::training::machine;
use super::networks::{Networks, SCHEDULE, point_of};

/// A hue is met within a twelfth of a turn either side: a sixth of the circle.
pub const TOLERANCE: f64 = 1.0 / 12.0;
/// Drawn pictures that samples are compared with, and samples of each kind that are.
const NEIGHBOURS: usize = 8192;
const COMPARED: usize = 96;
/// Samples that are on their way at a time, 12 MiB, and samples in all of each kind, 600 MiB.
const AT_A_TIME: usize = 4096;
const MAX_SAMPLES: u64 = 200_000;

/// Pictures of each kind, `[count, DIMS]`.
pub struct Samples {
    pub data: Vec<f32>,
    pub unguided: Vec<f32>,
    /// Those of each wanted hue.
    pub guided: Vec<Vec<f32>>,
    /// Samples per second without and with guidance.
    pub speeds: [f64; 2],
}

/// How samples are drawn, so many per hue at a time.
fn sampling(arguments: &Arguments) -> Outcome<SamplingOptions> {
    let (hues, samples) = (arguments.hues as usize, arguments.samples as usize);
    Ok(SamplingOptions::default()
        .with_solver(arguments.sampling.solver().with_schedule(SCHEDULE))
        .with_contexts(hues)
        .with_samples(samples.min((AT_A_TIME / hues).max(1)))
        .with_guidance_scale(arguments.sampling.guidance)
        .with_bounds(Bounds::new(&[-1.0; DIMS], &[1.0; DIMS])?)
        .with_seed(arguments.seed ^ 0x5a3d))
}

/// Checks what samples would be drawn with, before anything is trained.
pub fn check(arguments: &Arguments) -> Outcome {
    let Arguments { hues, samples, .. } = arguments;
    let count = u64::from(*hues) * u64::from(*samples);
    if count > MAX_SAMPLES {
        let asked = format!("{samples} samples of {hues} hues are {count} pictures");
        return Err(format!("{asked}; ask for {MAX_SAMPLES} at most").into());
    }
    Ok(sampling(arguments)?.check(DIMS)?)
}

/// Draws samples without guidance and with it, as many of both.
pub fn sample(gpu: &Gpu, arguments: &Arguments, (score, energy): &Networks) -> Outcome<Samples> {
    // The samples of each hue, in as many runs as they need, and how many are drawn per second.
    let by_hue = |guidance: Guidance<'_>, options: &SamplingOptions, context: &[f32]| -> Outcome<_> {
        let wanted = arguments.samples as usize * DIMS;
        let mut sampler = DiffusionSampler::new(gpu, &score.network, guidance, options)?;
        let mut pictures = vec![Vec::with_capacity(wanted); options.contexts];
        let (clock, mut drawn) = (Instant::now(), 0);
        while pictures[0].len() < wanted {
            let flat = sampler.sample(context)?;
            drawn += options.contexts * options.samples;
            for (pictures, flat) in pictures.iter_mut().zip(flat.chunks_exact(options.samples * DIMS)) {
                let missing = wanted - pictures.len();
                pictures.extend(flat.iter().take(missing));
            }
        }
        Ok((pictures, drawn as f64 / clock.elapsed().as_secs_f64()))
    };
    let options = sampling(arguments)?;
    let (unguided, plain_speed) = by_hue(Guidance::None, &options, &[])?;
    let options = options.with_context_width(2).with_seed(arguments.seed ^ 0xa6e1);
    let context: Vec<f32> = arguments.targets().flat_map(point_of).collect();
    let (guided, guided_speed) = by_hue(Guidance::Intermediate(&energy.network), &options, &context)?;
    let fresh = draw(COMPARED, arguments.seed.wrapping_add(0x0dd5));
    Ok(Samples {
        data: fresh.iter().flat_map(|sketch| sketch.picture()).collect(),
        unguided: unguided.concat(),
        guided,
        speeds: [plain_speed, guided_speed],
    })
}

/// The share of pictures whose hues, if they have one, are such.
fn share(pictures: &[f32], such: impl Fn(Option<f64>) -> bool) -> f64 {
    let met = pictures.chunks_exact(DIMS).filter(|picture| such(hue_of(picture))).count();
    met as f64 / (pictures.len() / DIMS) as f64
}

/// Mean distance of the first pictures to the nearest drawn one.
fn nearest<'a>(pictures: impl Iterator<Item = &'a [f32]>, drawn: &[Vec<f32>]) -> f64 {
    let of = |picture: &[f32]| {
        let distance =
            |other: &Vec<f32>| -> f32 { picture.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum() };
        let least = drawn.iter().map(distance).fold(f32::INFINITY, f32::min);
        f64::from(least / DIMS as f32).sqrt()
    };
    let distances: Vec<f64> = pictures.take(COMPARED).map(of).collect();
    distances.iter().sum::<f64>() / distances.len() as f64
}

/// What `metrics.json` holds.
pub fn metrics(gpu: &Gpu, arguments: &Arguments, (score, energy): &Networks, samples: &Samples) -> Value {
    let options = arguments.sampling.solver();
    let SolverOptions { solver, grid, evaluations, .. } = options;
    let near = |pictures: &[f32], wanted: f64| {
        share(pictures, |hue| hue.is_some_and(|hue| hue_distance(hue, wanted) <= TOLERANCE))
    };
    let colorless = |pictures: &[f32]| share(pictures, |hue| hue.is_none());
    let hues: Vec<[f64; 3]> = (arguments.targets().zip(&samples.guided))
        .map(|(wanted, guided)| [360.0 * wanted, near(guided, wanted), near(&samples.unguided, wanted)])
        .collect();
    let [guided, unguided] = [1, 2].map(|at| hues.iter().map(|hue| hue[at]).sum::<f64>() / hues.len() as f64);
    let hues: Vec<Value> = hues
        .iter()
        .map(|[hue, near, plain]| json!({ "hue": hue, "guided": near, "unguided": plain }))
        .collect();
    let drawn: Vec<Vec<f32>> =
        draw(NEIGHBOURS, arguments.seed).iter().map(|sketch| sketch.picture()).collect();
    // One of each hue after the other.
    let per_hue = arguments.samples as usize;
    let mixed = (0..per_hue)
        .flat_map(|index| samples.guided.iter().map(move |flat| &flat[index * DIMS..(index + 1) * DIMS]));
    let all: Vec<f32> = samples.guided.concat();
    let [adapter, backend] = machine(gpu);
    json!({
        "adapter": adapter,
        "backend": backend,
        "preset": arguments.preset,
        "seed": arguments.seed,
        "predict": score.network.prediction(),
        "normalize": arguments.normalize,
        "beta": arguments.beta,
        "guidance": arguments.sampling.guidance,
        "solver": solver,
        "grid": grid,
        "nfe": evaluations,
        "lowered_last_steps": options.lowers_last_steps(),
        "steps": score.steps,
        "energy_steps": energy.steps,
        // Samples with guidance in all, and without.
        "samples": [all.len() / DIMS, samples.unguided.len() / DIMS],
        // How far a hue may lie from the wanted one, in turns.
        "tolerance": TOLERANCE,
        // In degrees, with its shares.
        "hues": hues,
        // Shares within the tolerance, over all wanted hues.
        "share_guided": guided,
        "share_unguided": unguided,
        "ratio": guided / unguided,
        // The share of draws from the exact target.
        "share_exact": exact_share(arguments.beta, TOLERANCE),
        // Samples without any hue; they count as outside.
        "colorless": [colorless(&all), colorless(&samples.unguided)],
        // Root mean square difference of a picture's values to those of the nearest of 8192 drawn
        // ones, mean over samples with guidance, without, and fresh drawn pictures.
        "nearest_guided": nearest(mixed, &drawn),
        "nearest_unguided": nearest(samples.unguided.chunks_exact(DIMS), &drawn),
        "nearest_data": nearest(samples.data.chunks_exact(DIMS), &drawn),
        "steps_per_second": score.steps_per_second,
        "energy_steps_per_second": energy.steps_per_second,
        "samples_per_second": samples.speeds[0],
        "guided_samples_per_second": samples.speeds[1],
    })
}
