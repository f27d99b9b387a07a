//! Floor 5: noised samples, the loss of predictions, networks that output samples, updates of
//! solvers.

use gibbs::diffusion::add_noise::{DenoisingTarget, LEVELS, Samples};
use gibbs::diffusion::solver_step;
use gibbs::diffusion::solver_step::StepValues;
use gibbs::diffusion::{
    DiffusionSampler, EmpiricalScore, Guidance, NoiseSchedule, Prediction, SamplingOptions, Score,
    ScoreNetwork, Solver, SolverOptions, TimeGrid, add_noise,
};
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, Recording, RunState};
use gibbs::loss::denoising_loss;
use gibbs::nn::{ACTION, Activation, Input, Model, Network, TIME};
use gibbs_reference::diffusion::add_noise::Level;
use gibbs_reference::diffusion::solver_step::{SolverFactors, guided_noise};
use gibbs_reference::diffusion::{add_noise as perturb_reference, combine, solver_step as step_reference};
use gibbs_reference::gpu::run::random::{Draw, normal};
use gibbs_reference::gpu::run::random_words::words;
use gibbs_reference::loss::denoising_loss as denoising_reference;

use crate::EPS;
use crate::common::{Adapter, Bound, Case, data, every_adapter, wide};

every_adapter!(
    noised_samples_equal_the_reference,
    the_denoising_loss_equals_the_reference,
    c18_perfect_noise_has_no_loss,
    c18_a_point_mass_is_found_again,
    a_network_of_samples_is_a_score,
    solver_steps_equal_the_reference,
);

/// Normals of rows of `dims` numbers, a block of four after the other.
fn normals(name: &str, (seed, step): (u64, u64), inner: usize, rows: usize, dims: usize) -> Vec<f64> {
    let blocks = dims.div_ceil(4);
    let draw = Draw { seed, step, stream: u32::from(stream_id(name)), inner: inner as u32 };
    let all = normal(draw, (rows * blocks) as u32);
    all.chunks_exact(4 * blocks).flat_map(|row| &row[..dims]).copied().collect()
}

fn noised_samples_equal_the_reference(adapter: &Adapter) {
    let schedules = [NoiseSchedule::default(), NoiseSchedule::cosine()];
    for (index, (groups, size, dims, stride)) in [
        (1, 1, 1, 1),
        (7, 1, 2, 3),
        (3, 65, 2, 2),
        (1, 257, 3, 4),
        (63, 2, 7, 7),
        (5, 9, 65, 66),
        (2, 3, 257, 258),
        (64, 1, 4, 5),
    ]
    .into_iter()
    .enumerate()
    {
        let schedule = schedules[index % 2];
        let times = [[1e-3, schedule.end()], [0.0, 0.2]][index % 2];
        let keep = [DenoisingTarget::Noise, DenoisingTarget::Sample, DenoisingTarget::Nothing][index % 3];
        let (seed, step) = (7 + index as u64, (2 << 32) + 9);
        let rows = groups * size;
        let source = data(11, rows * stride);
        let mut case = Case::new(adapter, format!("add_noise {groups}x{size}x{dims} of {stride}"));
        case.run_state(seed, step);
        let value = case.input("samples", [rows, stride], &source);
        let samples = Samples { rows: value, groups, size, stride, dims };
        let written =
            add_noise::record(&mut case.recording, &samples, &schedule, times, keep, "test/add_noise")
                .unwrap();
        case.output("x", written.x);
        case.output("time", written.time);
        assert_eq!(written.target.is_none(), keep == DenoisingTarget::Nothing);
        if let Some(target) = written.target {
            case.output("target", target);
        }
        case.expect_kernels(&["add_noise"]);
        let results = case.run();

        let draw = Draw { seed, step, stream: u32::from(stream_id("test/add_noise/time")), inner: 0 };
        let table: Vec<_> = schedule.levels(times[0], times[1], LEVELS).collect();
        let levels: Vec<Level> = words(draw, groups as u32)
            .chunks_exact(4)
            .map(|block| {
                let level = table[((u64::from(block[0]) * LEVELS as u64) >> 32) as usize];
                let single = |v: f64| f64::from(v as f32);
                Level { time: single(level.time), alpha: single(level.alpha()), sigma: single(level.sigma()) }
            })
            .collect();
        let z = normals("test/add_noise/noise", (seed, step), 0, rows, dims);
        let x0: Vec<f64> = source.chunks_exact(stride).flat_map(|row| wide(&row[..dims])).collect();
        let expected = perturb_reference(&x0, &z, &levels);
        let bound: Vec<f64> = expected
            .iter()
            .zip(&z)
            .zip(&x0)
            .map(|((_, z), x)| EPS * (3.0 * x.abs() + 12.0 * z.abs()))
            .collect();
        results.expect("x", &results.get("x"), &expected, &bound[..]);
        let times: Vec<f64> = levels.iter().map(|level| level.time).collect();
        results.expect("time", &results.get("time"), &times, &vec![0.0; groups][..]);
        match keep {
            DenoisingTarget::Nothing => {}
            DenoisingTarget::Noise => {
                let bound: Vec<f64> = z.iter().map(|z| 10.0 * EPS * z.abs() + 1e-9).collect();
                results.expect("target", &results.packed("target"), &z, &bound[..]);
            }
            DenoisingTarget::Sample => {
                results.expect("target", &results.packed("target"), &x0, &vec![0.0; x0.len()][..]);
            }
        }
    }
}

fn the_denoising_loss_equals_the_reference(adapter: &Adapter) {
    for (rows, dims) in [(1, 1), (7, 2), (63, 4), (65, 7), (257, 3), (9, 257)] {
        let (prediction, noise) = (data(21, rows * dims), data(22, rows * dims));
        let mut case = Case::new(adapter, format!("denoising loss {rows}x{dims}"));
        let given = case.packed("prediction", rows, dims, &prediction);
        let added = case.packed("noise", rows, dims, &noise);
        let written = denoising_loss::record(&mut case.recording, given, added).unwrap();
        case.output("loss", written.loss);
        case.output("seed", written.output_gradient);
        case.expect_kernels(&["denoising_loss"]);
        let results = case.run();
        let expected = denoising_reference(&wide(&prediction), &wide(&noise), dims);
        let bound: Vec<f64> = expected.loss.iter().map(|l| EPS * l * (4.0 + dims as f64)).collect();
        results.expect("loss", &results.get("loss"), &expected.loss, &bound[..]);
        let bound: Vec<f64> = expected.output_gradient.iter().map(|s| 4.0 * EPS * s.abs()).collect();
        results.expect("seed", &results.packed("seed"), &expected.output_gradient, &bound[..]);
    }
}

/// C18: where the noise that was added is predicted, there is nothing to lose or to learn.
fn c18_perfect_noise_has_no_loss(adapter: &Adapter) {
    let (rows, dims) = (65, 7);
    let noise = data(22, rows * dims);
    let mut case = Case::new(adapter, "c18");
    let given = case.packed("prediction", rows, dims, &noise);
    let added = case.packed("noise", rows, dims, &noise);
    let written = denoising_loss::record(&mut case.recording, given, added).unwrap();
    case.output("loss", written.loss);
    case.output("seed", written.output_gradient);
    let results = case.run();
    for name in ["loss", "seed"] {
        let values: Vec<f32> = results.get(name);
        assert!(!values.is_empty() && values.iter().all(|v| *v == 0.0), "{}: {name}", adapter.name);
    }
}

/// C18: of a point mass the noise is known exactly, and deterministic solvers end with the noise
/// they began with.
fn c18_a_point_mass_is_found_again(adapter: &Adapter) {
    let point = [0.75, -1.25];
    let score = EmpiricalScore::new(2, &point).unwrap();
    let solvers = [
        Solver::Ddim,
        Solver::DpmSolverPlusPlus2M,
        Solver::DpmSolver2M,
        Solver::DpmSolverPlusPlus3M,
        Solver::DpmSolverPlusPlus2S,
    ];
    for solver in solvers {
        let solver = SolverOptions::default().with_solver(solver).with_evaluations(10);
        let options = SamplingOptions::default().with_solver(solver).with_samples(33);
        let mut sampler =
            DiffusionSampler::from_points(&adapter.gpu, &score, Guidance::None, &options).unwrap();
        let starts = data(23, 66);
        let found = sampler.sample_from(&[], &starts).unwrap();
        let [first, last] = [1.0, solver.last_time].map(|time| solver.schedule.at(time));
        for (index, (found, start)) in found.iter().zip(starts).enumerate() {
            let x0 = point[index % 2];
            let z = (f64::from(start) - first.alpha() * x0) / first.sigma();
            let gap = (f64::from(*found) - last.alpha() * x0 - last.sigma() * z).abs();
            assert!(gap < 2e-6, "{}, {:?}: {found}, {gap} apart", adapter.name, solver.solver);
        }
    }
}

/// Four evaluations with given noise and slopes: what is left of a solution are its updates.
fn solver_steps_equal_the_reference(adapter: &Adapter) {
    let solvers = [
        Solver::Ddpm,
        Solver::Ddim,
        Solver::DpmSolverPlusPlus2M,
        Solver::DpmSolverPlusPlus3M,
        Solver::DpmSolverPlusPlus2S,
        Solver::DpmSolver2M,
    ];
    for (index, solver) in solvers.into_iter().enumerate() {
        let (rows, dims) = [(1, 1), (7, 2), (65, 3), (63, 5), (257, 2), (3, 65)][index];
        let options =
            SolverOptions::default().with_solver(solver).with_grid(TimeGrid::Time).with_evaluations(4);
        let steps = options.steps().unwrap();
        let guided = index % 2 == 0;
        let (scale, seed, step) = (1.5f32, 3 + index as u64, (1 << 33) + 4);
        let start = data(31, rows * dims);
        let mut case = Case::new(adapter, format!("{solver:?} {rows}x{dims}"));
        case.run_state(seed, step);
        let point = case.input("start", [rows, dims], &start);
        let previous_outputs = case.poisoned("previous_outputs", DType::F32, [2, rows, dims]);
        let knob = case.recording.knob("guidance_scale", 1.0);
        let stream = case.recording.stream("test/solver").unwrap();
        let (mut points, mut noises, mut slopes) = ([point; 2], Vec::new(), Vec::new());
        for (at, update) in steps.iter().enumerate() {
            let (noise, slope) = (data(40 + at as u32, rows * dims), data(50 + at as u32, rows * dims));
            let noise_value = case.packed(&format!("noise {at}"), rows, dims, &noise);
            let slope_value = guided.then(|| case.input(&format!("slope {at}"), [rows, dims], &slope));
            let next = case.poisoned(&format!("next {at}"), DType::F32, [rows, dims]);
            let base = if update.from_previous { points[0] } else { points[1] };
            let values = StepValues {
                base,
                point: points[1],
                noise: noise_value,
                energy_gradient: slope_value,
                previous_outputs,
                next,
            };
            solver_step::record(&mut case.recording, update, at, &values, knob, stream).unwrap();
            points = [points[1], next];
            noises.push(wide(&noise));
            slopes.push(wide(&slope));
        }
        case.knob(knob, scale);
        case.expect_kernels(&["solver_step"; 4]);
        let results = case.run();

        let n = rows * dims;
        let (mut places, mut models) = (vec![wide(&start)], vec![vec![0.0; n]; 2]);
        let mut bound = vec![0.0; n];
        for (at, update) in steps.iter().enumerate() {
            let single = |v: f64| f64::from(v as f32);
            let sigma = single(update.level.sigma());
            let noise = match guided {
                true => guided_noise(&noises[at], &slopes[at], f64::from(scale), sigma),
                false => noises[at].clone(),
            };
            let factors = SolverFactors {
                point: single(update.point),
                noise: single(update.noise),
                start: single(update.start),
                model: update.model.map(single),
                fresh: single(update.fresh),
            };
            let z = normals("test/solver", (seed, step), at, rows, dims);
            let here = &places[places.len() - 1];
            let base = if update.from_previous { &places[places.len() - 2] } else { here };
            let newest = models.len();
            let before = [&models[newest - 1][..], &models[newest - 2][..]];
            let (next, model) = step_reference((base, here, &noise), before, &z, factors);
            for i in 0..n {
                let m0 = (factors.point * here[i]).abs() + 3.0 * (factors.noise * noise[i]).abs();
                let history: f64 =
                    before.iter().zip(&factors.model[1..]).map(|(m, f)| (m[i] * f).abs()).sum();
                // Errors of earlier points and models come along, magnified by the model's factors.
                let carried = bound[i] * (factors.start.abs() + factors.point * factors.model[0].abs());
                let carried = carried + bound[i] * (factors.model[1].abs() + factors.model[2].abs()) * 200.0;
                let own = 8.0 * (factors.model[0].abs() * m0 + history + (factors.start * base[i]).abs());
                bound[i] = carried + EPS * (own + 12.0 * (factors.fresh * z[i]).abs());
            }
            let name = format!("next {at}");
            results.expect(&name, &results.get(&name), &next, &bound[..]);
            places.push(next);
            models.push(model);
        }
    }
}

/// Noise and a product of its Jacobian: those of the network that outputs samples, moved to noise
/// in f64.
fn a_network_of_samples_is_a_score(adapter: &Adapter) {
    for (index, [samples, dims]) in
        [[1, 1], [7, 3], [63, 4], [64, 7], [65, 2], [257, 5], [3, 65]].into_iter().enumerate()
    {
        let level = NoiseSchedule::default().at([0.05, 0.4, 1.0][index % 3]);
        let inputs = vec![Input::new(ACTION, dims), Input::new(TIME, 1)];
        let network = Network::mlp(inputs, &[17], Activation::Silu, dims);
        let run = RunState::new(&adapter.gpu, 9 + index as u64).unwrap();
        let model = Model::new(&adapter.gpu, "score", network, &run).unwrap();
        let (x, direction) = (data(41, samples * dims), data(42, samples * dims));
        let mut case = Case::new(adapter, format!("score of samples [{samples}, {dims}], t {}", level.time));
        case.bind(&model.slot(), model.parameters());
        let value = case.input("x", [1, samples, dims], &x);
        let given = case.packed("direction", samples, dims, &direction);
        for (name, prediction) in [("noise", Prediction::Epsilon), ("sample", Prediction::Sample)] {
            let score = ScoreNetwork::predicting(model.clone(), prediction).unwrap();
            assert_eq!((score.prediction(), score.dims()), (prediction, dims));
            let recording = &mut case.recording;
            let plain = score.record_noise(recording, None, value, &level).unwrap();
            let (output, products) = score
                .record_noise_and_vjps(recording, None, value, &level, &mut |_, _| Ok(vec![given]))
                .unwrap();
            case.output(&format!("{name} plain"), plain);
            case.output(&format!("{name} output"), output);
            case.output(&format!("{name} product"), products[0]);
        }
        let results = case.run();
        let of_x = f64::from((1.0 / level.sigma()) as f32);
        let of_output = f64::from((-level.alpha() / level.sigma()) as f32);
        let read = |name: &str| match name {
            // Products have the shape of the input.
            "noise product" => wide(&results.get(name)),
            _ => wide(&results.packed(name)),
        };
        for (what, own) in [("plain", &x), ("output", &x), ("product", &direction)] {
            let through = read(&format!("noise {what}"));
            let expected = combine((of_x, &wide(own)), (of_output, &through));
            let name = format!("sample {what}");
            let bound = Bound::sum(&expected.magnitude, 2);
            results.expect(&name, &results.packed(&name), &expected.value, bound);
        }
        let mut recording = Recording::tuned("clean", adapter.gpu.target());
        let clean = recording.slot("x", DType::F32, [1, samples, dims]).unwrap();
        let score = ScoreNetwork::predicting(model, Prediction::Sample).unwrap();
        let refusal =
            score.record_noise(&mut recording, None, clean, &NoiseSchedule::default().at(0.0)).unwrap_err();
        assert!(refusal.to_string().contains("finite"), "{refusal}");
    }
}
