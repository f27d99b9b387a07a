//! Energy-guided diffusion as numbers. C11, C12, .. name the entries of the project's table of acceptance tests; each reference
//! number is written beside its test.
//!
//! "O1": the mixture `q_0` of three round Gaussians below with a quadratic energy, whose target is again a mixture.

mod common;

use common::lavapipe;
use gibbs::diffusion::{
    DiffusionSampler, Guidance, MixtureScore, NoiseLevel, NoiseSchedule, Prediction, SamplingOptions, Score,
    Solver, SolverOptions, TimeGrid, evaluate_noise,
};
use gibbs::energy::{GuidanceObjective, Labels};
use gibbs::gpu::{DType, Recording, Tensor};
use gibbs::nn::{
    ACTION, Activation, CONTEXT, Encoding, Fourier, FourierColumns, Input, Network, Points, QuadraticEnergy,
    TIME,
};
use gibbs::tasks::toy::{Component, MixtureOracle, Quadratic, Task, measure};
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer, RnceTrainer};
use gibbs::{Error, Gpu, GpuOptions};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
const MEANS: [[f64; 2]; 3] = [[2.0, 0.0], [-1.0, 1.5], [0.0, -2.0]];
const VARIANCES: [f64; 3] = [0.25, 0.36, 0.16];
const MATRIX: [[f64; 2]; 2] = [[1.2, 0.3], [0.3, 0.7]];
const CENTRE: [f64; 2] = [0.5, -0.5];

fn oracle(beta: f64) -> MixtureOracle {
    let components =
        (0..3).map(|k| Component { weight: WEIGHTS[k], mean: MEANS[k], variance: VARIANCES[k] }).collect();
    MixtureOracle::new(components, Quadratic { matrix: MATRIX, centre: CENTRE }, beta).expect("an oracle")
}

/// The score of q_0.
fn data_score() -> MixtureScore {
    MixtureScore::isotropic(&WEIGHTS, MEANS.as_flattened(), &VARIANCES.map(f64::sqrt)).expect("a mixture")
}

/// The score of the target at `beta`.
fn tilted_score(beta: f64) -> MixtureScore {
    let tilted = oracle(beta).tilted();
    let weights: Vec<f64> = tilted.components.iter().map(|c| c.weight).collect();
    let means: Vec<f64> = tilted.components.iter().flat_map(|c| c.mean).collect();
    let covariances: Vec<f64> =
        tilted.components.iter().flat_map(|c| c.covariance.as_flattened().to_vec()).collect();
    MixtureScore::full(&weights, &means, &covariances).expect("a mixture")
}

fn solver(solver: Solver, grid: TimeGrid, evaluations: usize) -> SolverOptions {
    SolverOptions { solver, grid, evaluations, ..SolverOptions::default() }
}

fn normals(count: usize, seed: u64) -> Vec<[f64; 2]> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut pair = || {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        let (radius, angle) = ((-2.0 * (1.0 - u).ln()).sqrt(), std::f64::consts::TAU * v);
        [radius * angle.cos(), radius * angle.sin()]
    };
    (0..count).map(|_| pair()).collect()
}

/// The noise of a model at a level, as a function of the point.
type Noise<'a> = Box<dyn Fn([f64; 2]) -> [f64; 2] + 'a>;

/// Solves in f64 with the same updates as the device.
fn solve<'a>(
    options: &SolverOptions,
    starts: &[[f64; 2]],
    noise: impl Fn(NoiseLevel) -> Noise<'a>,
) -> Vec<[f64; 2]> {
    let steps = options.steps().expect("steps");
    let noises: Vec<Noise<'a>> = steps.iter().map(|step| noise(step.level)).collect();
    let walk = |start: &[f64; 2]| {
        let (mut points, mut models) = ([*start; 2], [[0.0; 2]; 3]);
        for (step, noise) in steps.iter().zip(&noises) {
            let here = points[1];
            let base = if step.from_previous { points[0] } else { here };
            let e = noise(here);
            models = [[0, 1].map(|j| step.point * here[j] + step.noise * e[j]), models[0], models[1]];
            let next = [0, 1]
                .map(|j| step.start * base[j] + (0..3).map(|m| step.model[m] * models[m][j]).sum::<f64>());
            points = [here, next];
        }
        points[1]
    };
    starts.iter().map(walk).collect()
}

/// Noise of the target at the scale 1, by the exact intermediate energy.
fn exact_noise<'a>(oracle: &'a MixtureOracle) -> impl Fn(NoiseLevel) -> Noise<'a> {
    move |level| {
        let at = oracle.at(level).expect("a level");
        let sigma = level.sigma();
        Box::new(move |x| {
            let found = at.evaluate(x);
            [0, 1].map(|j| -sigma * (found.score[j] - found.gradient[j]))
        })
    }
}

fn distance(a: &[[f64; 2]], b: &[[f64; 2]]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sum();
    (squares / a.len() as f64).sqrt()
}

/// Mean, and covariance as xx, xy, yy.
fn moments(points: &[[f64; 2]]) -> ([f64; 2], [f64; 3]) {
    let n = points.len() as f64;
    let mean = [0, 1].map(|j| points.iter().map(|p| p[j]).sum::<f64>() / n);
    let covariance = [(0, 0), (0, 1), (1, 1)]
        .map(|(i, j)| points.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / n);
    (mean, covariance)
}

fn pairs(flat: &[f32]) -> Vec<[f64; 2]> {
    flat.chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect()
}

fn sampling(solver: SolverOptions, samples: usize) -> SamplingOptions {
    SamplingOptions { solver, samples, seed: 7, ..SamplingOptions::default() }
}

/// End points from the same noise against a fine run: published orders are .97-1.00, 1.95-2.02, 1.74-1.98.
#[test]
fn orders_of_convergence_with_the_exact_score_of_the_target() {
    let oracle = oracle(1.5);
    let starts = normals(64, 3);
    let run = |kind, evaluations| {
        solve(&solver(kind, TimeGrid::LogSnr, evaluations), &starts, exact_noise(&oracle))
    };
    let fine = run(Solver::Multistep3, 6400);
    let mut wrong = Vec::new();
    for (kind, counts, low, high) in [
        (Solver::Ddim, vec![100, 200, 400, 800], 0.95, 1.05),
        (Solver::Multistep2, vec![100, 200, 400, 800], 1.9, 2.1),
        (Solver::Singlestep2, vec![100, 200, 400, 800], 1.7, 2.05),
        (Solver::NoiseMultistep2, vec![100, 200, 400, 800], 1.9, 2.1),
        (Solver::Multistep3, vec![100, 200, 400, 800], 2.7, 4.2),
    ] {
        let errors: Vec<f64> = counts.iter().map(|&count| distance(&run(kind, count), &fine)).collect();
        let orders: Vec<f64> = errors.windows(2).map(|pair| (pair[0] / pair[1]).log2()).collect();
        println!("{kind:?} at {counts:?}: errors {errors:?}, orders {orders:.3?}");
        wrong.extend(orders.iter().filter(|order| !(low..=high).contains(*order)).map(|o| (kind, *o)));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The device ends where f64 ends, from the same noise, by every deterministic solver and on every grid.
#[test]
fn the_device_ends_where_f64_ends() {
    let gpu = &lavapipe().gpu;
    let (oracle, score) = (oracle(1.5), tilted_score(1.5));
    let starts: Vec<[f64; 2]> = normals(257, 5).iter().map(|p| p.map(|v| f64::from(v as f32))).collect();
    let flat: Vec<f32> = starts.as_flattened().iter().map(|v| *v as f32).collect();
    for (index, kind) in
        [Solver::Ddim, Solver::Multistep2, Solver::Multistep3, Solver::Singlestep2, Solver::NoiseMultistep2]
            .into_iter()
            .enumerate()
    {
        let grid = [TimeGrid::LogSnr, TimeGrid::Time, TimeGrid::Quadratic][index % 3];
        let options = solver(kind, grid, 15);
        let mut sampler =
            DiffusionSampler::from_points(gpu, &score, Guidance::None, &sampling(options, starts.len()))
                .expect("a sampler");
        let found = pairs(&sampler.sample_from(&[], &flat).expect("samples"));
        let apart = distance(&found, &solve(&options, &starts, exact_noise(&oracle)));
        assert!(apart < 2e-5, "{kind:?} {grid:?}: {apart:e}");
    }
}

/// C11: largest error of the covariance of 100000 samples by the exact score of the target. Columns: DDIM, 2M++, 2M and 2S++ on
/// equal times, 2M++ on equal log-SNRs. Monte Carlo floor about .0014 where the covariance is 1.
#[test]
#[ignore = "long: half a minute"]
fn c11_errors_of_the_solvers() {
    const TABLE: [(f64, usize, [f64; 5]); 6] = [
        (0.0, 15, [0.259, 0.320, 0.097, 0.106, 0.092]),
        (1.5, 15, [0.192, 0.288, 0.092, 0.084, 0.041]),
        (1.5, 25, [0.120, 0.105, 0.039, 0.039, 0.012]),
        (1.5, 100, [0.032, 0.007, 0.003, 0.003, 0.001]),
        (5.0, 15, [0.112, 0.237, 0.097, 0.061, 0.017]),
        (5.0, 25, [0.070, 0.098, 0.039, 0.028, 0.006]),
    ];
    let columns = [
        (Solver::Ddim, TimeGrid::Time),
        (Solver::Multistep2, TimeGrid::Time),
        (Solver::NoiseMultistep2, TimeGrid::Time),
        (Solver::Singlestep2, TimeGrid::Time),
        (Solver::Multistep2, TimeGrid::LogSnr),
    ];
    let gpu = &lavapipe().gpu;
    let mut wrong = Vec::new();
    for (beta, evaluations, known) in TABLE {
        let (_, exact) = oracle(beta).tilted().moments();
        let score = tilted_score(beta);
        let found = columns.map(|(kind, grid)| {
            let options = sampling(solver(kind, grid, evaluations), 100_000);
            let mut sampler =
                DiffusionSampler::new(gpu, &score, Guidance::None, &options).expect("a sampler");
            let (_, covariance) = moments(&pairs(&sampler.sample(&[]).expect("samples")));
            let exact = [exact[0][0], exact[0][1], exact[1][1]];
            covariance.iter().zip(exact).map(|(found, exact)| (found - exact).abs()).fold(0.0, f64::max)
        });
        println!("beta {beta}, {evaluations} evaluations: {found:.4?}, known {known:?}");
        wrong.extend(found.iter().zip(known).filter(|(f, k)| (**f - k).abs() > 0.01).map(|p| (beta, p.1)));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// C12: what guidance by the exact optimum of another loss costs; 100 steps of 2M++ on the log-SNR grid, 20000 samples.
#[test]
#[ignore = "long: half a minute"]
fn c12_the_cost_of_wrong_guidance() {
    let options = solver(Solver::Multistep2, TimeGrid::LogSnr, 100);
    let starts = normals(20_000, 11);
    // Mean and diagonal of the covariance: exact, MSE, DPS.
    for (beta, known) in [
        (1.5, [[0.732, -0.428, 0.883, 1.171], [0.648, -0.675, 0.603, 1.191], [0.587, -0.609, 0.095, 0.609]]),
        (5.0, [[0.769, -0.587, 0.278, 0.482], [0.581, -1.254, 0.019, 0.217], [0.577, -0.616, 0.012, 0.030]]),
    ] {
        let oracle = oracle(beta);
        for (kind, known) in known.into_iter().enumerate() {
            let found = solve(&options, &starts, |level| {
                let at = oracle.at(level).expect("a level");
                let sigma = level.sigma();
                Box::new(move |x| {
                    let found = at.evaluate(x);
                    let slope = match kind {
                        0 => found.gradient,
                        1 => found.mean_energy_gradient,
                        _ => at.denoised(x).1,
                    };
                    [0, 1].map(|j| -sigma * (found.score[j] - slope[j]))
                })
            });
            let (mean, covariance) = moments(&found);
            let found = [mean[0], mean[1], covariance[0], covariance[2]];
            for (found, known) in found.iter().zip(known) {
                // Published to 20000 samples too: both have a standard error of up to .012.
                assert!((found - known).abs() < 0.03, "beta {beta}, kind {kind}: {found} {known}");
            }
        }
    }
    let centres: Vec<[f64; 2]> = (0..8)
        .map(|k| {
            let angle = std::f64::consts::FRAC_PI_2 + std::f64::consts::FRAC_PI_4 * f64::from(k);
            [4.0 / 1.414 * angle.cos(), 4.0 / 1.414 * angle.sin()]
        })
        .collect();
    for (beta, known) in [(3.0, [0.005, 0.149]), (10.0, [0.009, 0.587]), (20.0, [0.005, 0.744])] {
        let oracle = Task::EightGaussians.oracle(beta).expect("an oracle");
        let weights = Task::EightGaussians.target(beta).expect("a target").mode_weights().expect("modes");
        for (kind, known) in known.into_iter().enumerate() {
            let found = solve(&options, &starts, |level| {
                let at = oracle.at(level).expect("a level");
                let sigma = level.sigma();
                Box::new(move |x| {
                    let found = at.evaluate(x);
                    let slope = if kind == 0 { found.gradient } else { found.mean_energy_gradient };
                    [0, 1].map(|j| -sigma * (found.score[j] - slope[j]))
                })
            });
            let found: Vec<[f32; 2]> = found.iter().map(|p| p.map(|v| v as f32)).collect();
            let apart = measure::mode_variation(&found, &centres, &weights);
            assert!((apart - known).abs() < 0.012, "beta {beta}, kind {kind}: {apart} {known}");
        }
    }
}

/// C5 on the device: the gradient through the denoiser, at beta 1.5 and t = .3.
#[test]
fn c5_guidance_through_the_denoiser_is_the_closed_form() {
    const POINTS: [f32; 6] = [0.7, 0.2, -1.0, 1.0, 0.3, -1.6];
    const KNOWN: [f64; 6] = [1.89591, 0.33185, -1.04797, 0.78420, -1.10469, -1.24932];
    let gpu = &lavapipe().gpu;
    let score = data_score();
    let energy = QuadraticEnergy::full(&CENTRE, MATRIX.as_flattened()).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: 1.5 };
    let mut recording = Recording::tuned("denoised", gpu.target());
    let x = recording.constant("x", [1, 3, 2], &POINTS).expect("a constant");
    let level = NoiseSchedule::default().at(0.3);
    let guided = guidance.record(&mut recording, &score, None, x, &level).expect("a recording");
    let slope = guided.slope.expect("guidance");
    let shape = recording.shape(slope).expect("a shape").clone();
    recording.expose(slope, "slope").expect("an output");
    let tensor = Tensor::zeros(gpu, "slope", DType::F32, shape.clone()).expect("a tensor");
    let bindings = guidance.bindings().merge(&score.bindings()).with("slope", &tensor);
    recording.compile(gpu, &bindings.only(&recording)).expect("a plan").run(1).expect("a run");
    let flat: Vec<f32> = gpu.read(&tensor).expect("a readback");
    let found = flat.chunks_exact(shape.stride()).flat_map(|row| &row[..2]);
    for (found, known) in found.zip(KNOWN) {
        assert!((f64::from(*found) - known).abs() < 1e-4, "{found} {known}");
    }
}

/// C12 on the device: guidance through the denoiser at beta 1.5 gives the wrong moments that it should.
#[test]
fn c12_sampling_through_the_denoiser_on_the_device() {
    let gpu = &lavapipe().gpu;
    let score = data_score();
    let energy = QuadraticEnergy::full(&CENTRE, MATRIX.as_flattened()).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: 1.5 };
    let options = sampling(solver(Solver::Multistep2, TimeGrid::LogSnr, 100), 20_000);
    let mut sampler = DiffusionSampler::new(gpu, &score, guidance, &options).expect("a sampler");
    let (mean, covariance) = moments(&pairs(&sampler.sample(&[]).expect("samples")));
    let found = [mean[0], mean[1], covariance[0], covariance[2]];
    for (found, known) in found.iter().zip([0.587, -0.609, 0.095, 0.609]) {
        assert!((found - known).abs() < 0.02, "{found} {known}");
    }
}

/// C21: at scale 0 samples follow q_0, whatever the energy; and turning the knob to 1 needs no new plan.
#[test]
fn c21_without_guidance_samples_follow_the_data() {
    let gpu = &own_gpu();
    let score = data_score();
    let energy = QuadraticEnergy::full(&CENTRE, MATRIX.as_flattened()).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: 5.0 };
    let options = SamplingOptions {
        guidance_scale: 0.0,
        ..sampling(solver(Solver::Multistep2, TimeGrid::LogSnr, 50), 40_000)
    };
    let mut sampler = DiffusionSampler::new(gpu, &score, guidance, &options).expect("a sampler");
    let (mean, covariance) = moments(&pairs(&sampler.sample(&[]).expect("samples")));
    let found = [mean[0], mean[1], covariance[0], covariance[1], covariance[2]];
    for (found, known) in found.iter().zip([0.70, 0.05, 2.075, -0.485, 1.7375]) {
        assert!((found - known).abs() < 0.04, "{found} {known}");
    }
    sampler.set_guidance_scale(1.0).expect("a scale");
    let before = gpu.counters();
    let (mean, _) = moments(&pairs(&sampler.sample(&[]).expect("samples")));
    assert_eq!((gpu.counters() - before).pipelines, 0);
    assert!((mean[1] + 0.616).abs() < 0.05, "{mean:?}");
    assert!(sampler.set_guidance_scale(f64::NAN).is_err());
}

/// Ancestral sampling with the exact score: many steps give the data's moments.
#[test]
fn ancestral_sampling_follows_the_data() {
    let gpu = &lavapipe().gpu;
    let options = sampling(solver(Solver::Ddpm, TimeGrid::LogSnr, 200), 20_000);
    let mut sampler = DiffusionSampler::new(gpu, &data_score(), Guidance::None, &options).expect("a sampler");
    let (mean, covariance) = moments(&pairs(&sampler.sample(&[]).expect("samples")));
    let found = [mean[0], mean[1], covariance[0], covariance[1], covariance[2]];
    for (found, known) in found.iter().zip([0.70, 0.05, 2.075, -0.485, 1.7375]) {
        assert!((found - known).abs() < 0.06, "{found} {known}");
    }
}

/// A context of its own, whose counters nobody else moves.
fn own_gpu() -> Gpu {
    let adapter = Some(lavapipe().gpu.info().name.clone());
    Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).expect("a context")
}

fn time() -> Input {
    let fourier = Fourier::geometric(0.5, 8.0, 4).with_columns(FourierColumns::FeaturesAndInput);
    Input::new(TIME, 1).encoded(Encoding::Fourier(fourier))
}

fn network(hidden: &[usize], outputs: usize) -> Network {
    Network::mlp(vec![Input::new(ACTION, 2), time()], hidden, Activation::Silu, outputs)
}

fn labelled(task: Task, count: usize) -> Dataset {
    let rows = task.draw(count, 1).iter().flat_map(|point| [point.x[0], point.x[1], point.energy]).collect();
    Dataset::unconditional(rows, 3).expect("data")
}

fn contrast(beta: f64, group: usize) -> DiffusionObjective {
    let labels = Labels::Unnormalised { reference: -1.0 };
    DiffusionObjective::Energy { objective: GuidanceObjective::Contrastive { labels }, beta, group }
}

/// A whole guided pass is one plan, and so is a training step: between two readings the host only submits.
#[test]
fn training_and_guided_sampling_need_nothing_from_the_host() {
    let gpu = &own_gpu();
    let data = labelled(Task::EightGaussians, 2000);
    let options = DiffusionOptions { steps: 60, batch: 128, ..DiffusionOptions::default() };
    let mut score =
        DiffusionTrainer::new(gpu, "score", network(&[32, 32], 2), &data, options.clone()).expect("a run");
    let options = DiffusionOptions { objective: contrast(3.0, 64), ..options };
    let mut energy =
        DiffusionTrainer::new(gpu, "energy", network(&[32, 32], 1), &data, options).expect("a run");
    let mut losses = Vec::new();
    for trainer in [&mut score, &mut energy] {
        trainer.train(20, &mut |_| {}).expect("training");
        let before = gpu.counters();
        let mut records = Vec::new();
        trainer.train(60, &mut |new| records.extend_from_slice(new)).expect("training");
        let done = gpu.counters() - before;
        assert_eq!(
            (done.host_writes, done.blocking_readbacks, done.bind_groups, done.pipelines),
            (0, 0, 0, 0)
        );
        assert_eq!(
            records.iter().map(|record| record.step).collect::<Vec<_>>(),
            (20..60).collect::<Vec<_>>()
        );
        losses.push(records[records.len() - 1].loss);
    }
    assert!(losses[0] < 2.0, "predicting nothing costs 2: {losses:?}");
    let (score, energy) = (score.score().expect("a score"), energy.energy().expect("an energy"));
    let options = sampling(SolverOptions::default(), 64);
    let sampler =
        DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
    let before = gpu.counters();
    sampler.plan().run(2).expect("two passes");
    gpu.wait().expect("the end");
    let done = gpu.counters() - before;
    assert_eq!((done.host_writes, done.blocking_readbacks, done.bind_groups, done.pipelines), (0, 0, 0, 0));
    assert_eq!(done.dispatches, 2 * sampler.plan().dispatches() as u64);
    let points = gpu.read::<f32>(sampler.result()).expect("samples");
    assert!(points.iter().all(|v| v.is_finite()));
}

/// Of points around one another's mean the best guess of a noised point is linear in it, and so is the noise that follows.
#[test]
fn a_network_that_outputs_samples_learns_the_score() {
    let gpu = &lavapipe().gpu;
    let (mean, deviation) = ([0.5, -1.0], 0.5);
    let points: Vec<f32> =
        normals(4000, 21).iter().flat_map(|z| [0, 1].map(|j| (mean[j] + deviation * z[j]) as f32)).collect();
    let data = Dataset::unconditional(points, 2).expect("data");
    let options = DiffusionOptions {
        objective: DiffusionObjective::Sample,
        batch: 256,
        steps: 1000,
        ..DiffusionOptions::default()
    };
    let mut trainer =
        DiffusionTrainer::new(gpu, "score", network(&[32, 32], 2), &data, options).expect("a run");
    trainer.train(1000, &mut |_| {}).expect("training");
    let score = trainer.score().expect("a score");
    assert_eq!(score.prediction(), Prediction::Sample);
    for time in [0.2, 0.4, 0.7] {
        let level = NoiseSchedule::default().at(time);
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let spread = (alpha * deviation).hypot(sigma);
        let x: Vec<f32> = normals(500, 22)
            .iter()
            .flat_map(|z| [0, 1].map(|j| (alpha * mean[j] + spread * z[j]) as f32))
            .collect();
        let points = Points { context: &[], contexts: 1, y: &x, dims: 2 };
        let noise = evaluate_noise(gpu, &score, &points, &level).expect("noise");
        let (mut error, mut size) = (0.0, 0.0);
        for (at, (found, x)) in noise.iter().zip(&x).enumerate() {
            let exact = sigma * (f64::from(*x) - alpha * mean[at % 2]) / (spread * spread);
            error += (f64::from(*found) - exact).powi(2);
            size += exact * exact;
        }
        let relative = (error / size).sqrt();
        // The mean of the data alone is 0.5 wrong at the first of these times.
        assert!(relative < 0.2, "t {time}: {relative}");
    }
}

/// A run gives the same bits as the same run in pieces, and other bits with another seed.
#[test]
fn runs_are_reproducible() {
    let gpu = &lavapipe().gpu;
    let data = labelled(Task::Moons, 500);
    let run = |pieces: &[u64], seed| {
        let options = DiffusionOptions {
            steps: 30,
            batch: 64,
            objective: contrast(3.0, 32),
            seed,
            ..DiffusionOptions::default()
        };
        let mut trainer =
            DiffusionTrainer::new(gpu, "energy", network(&[16], 1), &data, options).expect("a run");
        for until in pieces {
            trainer.train(*until, &mut |_| {}).expect("training");
        }
        gpu.read::<f32>(trainer.model().parameters()).expect("a readback")
    };
    let whole = run(&[30], 1);
    assert_eq!(whole, run(&[7, 19, 30], 1));
    assert_ne!(whole, run(&[30], 2));
}

/// A run that stopped and went on from its file has the bits of one that did not; its average can be had without data.
#[test]
fn runs_go_on_from_checkpoints_with_the_same_bits() {
    let gpu = &lavapipe().gpu;
    let folder = tempfile::tempdir().expect("a folder");
    let (half, end) = (folder.path().join("half.safetensors"), folder.path().join("end.safetensors"));
    let data = labelled(Task::Moons, 500);
    for objective in [DiffusionObjective::Noise, DiffusionObjective::Sample, contrast(3.0, 32)] {
        let outputs = if objective.prediction().is_some() { 2 } else { 1 };
        let options =
            DiffusionOptions { steps: 20, batch: 64, objective, seed: 3, ..DiffusionOptions::default() };
        let mut whole = DiffusionTrainer::new(gpu, "net", network(&[16], outputs), &data, options.clone())
            .expect("a run");
        whole.train(11, &mut |_| {}).expect("training");
        whole.save(&half).expect("a checkpoint");
        whole.train(20, &mut |_| {}).expect("training");
        assert_eq!(DiffusionTrainer::options_of(&half).expect("options"), options);
        let mut resumed = DiffusionTrainer::resume(gpu, &data, &half).expect("a run");
        assert_eq!(resumed.step(), 11);
        let mut steps = Vec::new();
        resumed.train(20, &mut |records| steps.extend(records.iter().map(|r| r.step))).expect("training");
        assert_eq!(steps, (11..20).collect::<Vec<_>>());
        resumed.save(&end).expect("a checkpoint");
        let read = |model: &gibbs::nn::Model| gpu.read::<f32>(model.parameters()).expect("a readback");
        assert_eq!(read(whole.model()), read(resumed.model()));
        let average = read(&whole.averaged().expect("an average"));
        assert_eq!(average, read(&DiffusionTrainer::averaged_of(gpu, &end).expect("a model")));
        assert_ne!(average, read(whole.model()));
    }
    let other = labelled(Task::Moons, 400);
    let error = DiffusionTrainer::resume(gpu, &other, &half).expect_err("other data").to_string();
    assert!(error.contains("other data"), "{error}");
    let error = RnceTrainer::options_of(&half).expect_err("another kind").to_string();
    assert!(error.contains("diffusion") && error.contains("ranking nce"), "{error}");
    let bytes = std::fs::read(&half).expect("a file");
    std::fs::write(&end, &bytes[..bytes.len() - 100]).expect("a file");
    assert!(matches!(DiffusionTrainer::averaged_of(gpu, &end), Err(Error::Checkpoint { .. })));
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let gpu = &lavapipe().gpu;
    let data = labelled(Task::Moons, 100);
    let good = DiffusionOptions { batch: 64, objective: contrast(3.0, 32), ..DiffusionOptions::default() };
    let refused = |network: Network, data: &Dataset, options: DiffusionOptions| -> String {
        DiffusionTrainer::new(gpu, "energy", network, data, options).expect_err("no sense").to_string()
    };
    let energy = || network(&[8], 1);
    let objective = |objective| DiffusionOptions { objective, ..good.clone() };
    let with = |change: fn(&mut DiffusionOptions)| {
        let mut options = good.clone();
        change(&mut options);
        options
    };
    for (options, expected) in [
        (objective(contrast(3.0, 1)), "at least 2"),
        (objective(contrast(3.0, 0)), "at least 2"),
        (objective(contrast(-1.0, 32)), "beta"),
        (objective(contrast(f64::INFINITY, 32)), "beta"),
        (objective(contrast(3.0, 48)), "multiple of the group"),
        (objective(DiffusionObjective::Noise), "2"),
        (with(|options| options.batch = 0), "multiple"),
        (with(|options| options.batch = usize::MAX), "multiple"),
        (with(|options| options.support = 0), "support"),
        (with(|options| options.steps = 0), "steps"),
        (with(|options| options.times = [0.5, 0.1]), "times"),
        (with(|options| options.times = [0.0, 1.5]), "times"),
        (with(|options| options.schedule = NoiseSchedule::Cosine { offset: 9.0 }), "schedule"),
    ] {
        let words = refused(energy(), &data, options.clone());
        assert!(words.contains(expected), "{options:?}: {words}");
    }
    let bare = Dataset::unconditional(vec![0.5; 20], 2).expect("data");
    assert!(refused(energy(), &bare, good.clone()).contains("energy"));
    let timeless = Network::mlp(vec![Input::new(ACTION, 2)], &[8], Activation::Silu, 1);
    assert!(refused(timeless, &data, good.clone()).contains("time"));
    let inputs = vec![Input::new(ACTION, 2), time(), Input::new(CONTEXT, 5)];
    let conditional = Network::mlp(inputs, &[8], Activation::Silu, 1);
    assert!(refused(conditional, &data, good).contains("contexts of 5"));
}

/// An energy that is not a number ends the run at its step, with the weights of the step before.
#[test]
fn an_energy_that_is_no_number_is_named_with_its_step() {
    let gpu = &lavapipe().gpu;
    let data = labelled(Task::Moons, 100);
    // Labels beyond e^64: the reference is far too high.
    let labels = Labels::Unnormalised { reference: 1e3 };
    let objective = DiffusionObjective::Energy {
        objective: GuidanceObjective::Contrastive { labels },
        beta: 10.0,
        group: 32,
    };
    let options = DiffusionOptions { batch: 64, steps: 20, objective, ..DiffusionOptions::default() };
    let mut trainer = DiffusionTrainer::new(gpu, "energy", network(&[8], 1), &data, options).expect("a run");
    let before = gpu.read::<f32>(trainer.model().parameters()).expect("a readback");
    let error = trainer.train(20, &mut |_| {}).expect_err("not finite");
    assert!(matches!(error, Error::NonFinite { step: 0, .. }), "{error}");
    assert_eq!(gpu.read::<f32>(trainer.model().parameters()).expect("a readback"), before);
    // A temperature so low that every label underflows leaves nothing to learn, and nothing breaks.
    let labels = Labels::Unnormalised { reference: -1e4 };
    let objective = DiffusionObjective::Energy {
        objective: GuidanceObjective::Contrastive { labels },
        beta: 1e3,
        group: 32,
    };
    let options = DiffusionOptions { batch: 64, steps: 5, objective, ..DiffusionOptions::default() };
    let mut trainer = DiffusionTrainer::new(gpu, "energy", network(&[8], 1), &data, options).expect("a run");
    let mut losses = Vec::new();
    trainer.train(5, &mut |records| losses.extend(records.iter().map(|r| r.loss))).expect("training");
    assert_eq!(losses, [0.0; 5]);
}

#[test]
fn samplers_that_make_no_sense_are_refused() {
    let gpu = &lavapipe().gpu;
    let score = data_score();
    let refused = |options: &SamplingOptions, guidance: Guidance<'_>| -> String {
        DiffusionSampler::new(gpu, &score, guidance, options).expect_err("no sense").to_string()
    };
    let good = sampling(SolverOptions::default(), 8);
    let none = SamplingOptions { solver: solver(Solver::Ddim, TimeGrid::Time, 0), ..good.clone() };
    assert!(refused(&none, Guidance::None).contains("evaluations"));
    assert!(
        refused(&SamplingOptions { samples: 0, ..good.clone() }, Guidance::None).contains("at least one")
    );
    let scale = SamplingOptions { guidance_scale: f64::INFINITY, ..good.clone() };
    assert!(refused(&scale, Guidance::None).contains("scale"));
    let energy = QuadraticEnergy::full(&[0.0], &[1.0]).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: 1.0 };
    assert!(refused(&good, guidance).contains("dimensions"));
    let energy = QuadraticEnergy::full(&CENTRE, MATRIX.as_flattened()).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: f64::NAN };
    assert!(refused(&good, guidance).contains("beta"));
    let mut sampler = DiffusionSampler::new(gpu, &score, Guidance::None, &good).expect("a sampler");
    assert!(sampler.sample(&[1.0]).is_err());
    assert!(sampler.sample_from(&[], &[0.0; 16]).is_err());
}

/// C13: a small budget of training, eight Gaussians at beta 10: known .029-.033 for contrast, .54-.61 for regression.
#[test]
#[ignore = "long: minutes of training"]
fn c13_contrast_reaches_the_target_where_regression_does_not() {
    let gpu = &lavapipe().gpu;
    let task = Task::EightGaussians;
    let data = labelled(task, 200_000);
    let options = DiffusionOptions { steps: 3000, batch: 512, ..DiffusionOptions::default() };
    let train = |name: &str, outputs: usize, options: DiffusionOptions| {
        let steps = options.steps;
        let mut trainer =
            DiffusionTrainer::new(gpu, name, network(&[128; 3], outputs), &data, options).expect("a run");
        trainer.train(steps, &mut |_| {}).expect("training");
        trainer
    };
    let score = train("score", 2, options.clone()).score().expect("a score");
    let target = task.target(10.0).expect("a target");
    let mut found = Vec::new();
    for objective in [
        contrast(10.0, 512),
        DiffusionObjective::Energy { objective: GuidanceObjective::Mse, beta: 10.0, group: 512 },
    ] {
        let options = DiffusionOptions { objective, times: [1e-5, 1.0], ..options.clone() };
        let energy = train("energy", 1, options).energy().expect("an energy");
        let options = sampling(SolverOptions::default(), 10_000);
        let mut sampler =
            DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
        let samples: Vec<[f32; 2]> =
            sampler.sample(&[]).expect("samples").chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        found.push(target.total_variation(&samples));
    }
    println!("total variation: contrast {:.4}, regression {:.4}", found[0], found[1]);
    assert!(found[0] <= 0.06 && found[1] >= 0.40, "{found:?}");
}
