//! Diffusion models as users train and sample them, on lavapipe: reproducible runs, checkpoints,
//! contexts, faults. C13 and C14 are entries of the project's table of acceptance tests.

use std::path::Path;

use crate::common::lavapipe;
use crate::common::points::{moments, normals, own_gpu, pairs};
use gibbs::Error;
use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergy, IntermediateEnergyNetwork, Likelihood, LikelihoodOptions,
    MixtureScore, NoiseSchedule, Prediction, SamplingOptions, Score, ScoreNetwork, evaluate_noise,
};
use gibbs::energy::{Gradient, NetworkEnergy, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::Points;
use gibbs::gpu::{Recording, RunState};
use gibbs::loss::{IntermediateEnergyLoss, Labels};
use gibbs::math::{Bounds, Normalize};
use gibbs::nn::{ACTION, Activation, CONTEXT, Fourier, Input, Layer, Model, Network, TIME};
use gibbs::tasks::toy::{Task, accuracy, published};
use gibbs::train::{
    Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, StepRecord, TrainOptions, Trainer,
};

/// A sampler by the default solver.
fn sampling(samples: usize) -> SamplingOptions {
    SamplingOptions::default().with_samples(samples).with_seed(7)
}

fn time() -> Input {
    Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 4).with_input())
}

fn network(hidden: &[usize], outputs: usize) -> Network {
    Network::mlp(vec![Input::new(ACTION, 2), time()], hidden, Activation::Silu, outputs)
}

fn labeled(task: Task, count: usize) -> Dataset {
    let points = task.draw(count, 1);
    let (x, energies) = points.iter().map(|point| (point.x, point.energy)).unzip::<_, _, Vec<_>, _>();
    Dataset::unconditional(x.into_flattened(), 2).and_then(|data| data.with_energies(energies)).expect("data")
}

fn contrasted(reference: f64) -> IntermediateEnergyLoss {
    IntermediateEnergyLoss::Contrastive { labels: Labels::Unnormalized { reference } }
}

/// An energy of two numbers by contrast.
fn contrast(hidden: &[usize], beta: f64, group: usize) -> IntermediateEnergyOptions {
    IntermediateEnergyOptions::new(network(hidden, 1), beta).with_loss(contrasted(-1.0)).with_group(group)
}

/// A run of `steps` with `batch` rows each.
fn run_of(objective: impl Into<Objective>, batch: usize, steps: u64) -> TrainOptions {
    TrainOptions::new(objective).with_batch(batch).with_steps(steps)
}

/// A whole guided pass is one plan, and so is a training step: between two readings the host only
/// submits.
#[test]
fn training_and_guided_sampling_need_nothing_from_the_host() {
    let gpu = &own_gpu();
    let data = labeled(Task::EightGaussians, 2000);
    let options = run_of(ScoreOptions::new(network(&[32, 32], 2)), 128, 60);
    let mut score = Trainer::new(gpu, &data, options).expect("a run");
    let options = run_of(contrast(&[32, 32], 3.0, 64), 128, 60);
    let mut energy = Trainer::new(gpu, &data, options).expect("a run");
    let mut losses = Vec::new();
    for trainer in [&mut score, &mut energy] {
        trainer.train(20, 20, &mut ()).expect("training");
        let before = gpu.counters();
        let mut records = Vec::new();
        let mut observer = |new: &[StepRecord]| records.extend_from_slice(new);
        trainer.train(60, 60, &mut observer).expect("training");
        let done = gpu.counters() - before;
        assert_eq!(
            (done.host_writes, done.blocking_readbacks, done.bind_groups, done.pipelines),
            (0, 0, 0, 0)
        );
        assert_eq!(
            records.iter().map(|record| record.step).collect::<Vec<_>>(),
            (20..60).collect::<Vec<_>>()
        );
        losses.push(records[records.len() - 1].value("loss").expect("a loss"));
    }
    assert!(losses[0] < 2.0, "predicting nothing costs 2: {losses:?}");
    let score = score.averaged_score().expect("a score");
    let energy = energy.averaged_intermediate_energy().expect("an energy");
    let options = sampling(64);
    let before = gpu.counters();
    let sampler =
        DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
    let groups = (gpu.counters() - before).bind_groups;
    let dispatches = sampler.plan().dispatches() as u64;
    assert!(groups < dispatches / 4, "evaluations share bind groups: {groups} for {dispatches} dispatches");
    let before = gpu.counters();
    sampler.plan().run(2).expect("two passes");
    gpu.wait().expect("the end");
    let done = gpu.counters() - before;
    assert_eq!((done.host_writes, done.blocking_readbacks, done.bind_groups, done.pipelines), (0, 0, 0, 0));
    assert_eq!(done.dispatches, 2 * sampler.plan().dispatches() as u64);
    let points = gpu.read::<f32>(sampler.result()).expect("samples");
    assert!(points.iter().all(|v| v.is_finite()));
}

/// A run gives the same bits as the same run in pieces, and other bits with another seed.
#[test]
fn runs_are_reproducible() {
    let gpu = &lavapipe().gpu;
    let data = labeled(Task::Moons, 500);
    let run = |pieces: &[u64], seed| {
        let options = run_of(contrast(&[16], 3.0, 32), 64, 30).with_seed(seed);
        let mut trainer = Trainer::new(gpu, &data, options).expect("a run");
        for until in pieces {
            trainer.train(*until, u64::MAX, &mut ()).expect("training");
        }
        gpu.read::<f32>(trainer.raw_model("energy").expect("a model").parameters()).expect("a readback")
    };
    let whole = run(&[30], 1);
    assert_eq!(whole, run(&[7, 19, 30], 1));
    assert_ne!(whole, run(&[30], 2));
}

/// A run that stopped and went on from its file has the bits of one that did not; its average can
/// be had without data.
#[test]
fn runs_go_on_from_checkpoints_with_the_same_bits() {
    let gpu = &lavapipe().gpu;
    let folder = tempfile::tempdir().expect("a folder");
    let (half, end) = (folder.path().join("half.safetensors"), folder.path().join("end.safetensors"));
    let data = labeled(Task::Moons, 500);
    let score =
        |prediction| ScoreOptions::new(network(&[16], 2)).with_name("net").with_prediction(prediction);
    let energy = contrast(&[16], 3.0, 32).with_name("net");
    let objectives: [Objective; 3] =
        [score(Prediction::Epsilon).into(), score(Prediction::Sample).into(), energy.into()];
    for objective in objectives {
        let options = run_of(objective, 64, 20).with_seed(3);
        let mut whole = Trainer::new(gpu, &data, options.clone()).expect("a run");
        let read = |model: &Model| gpu.read::<f32>(model.parameters()).expect("a readback");
        let raw = |trainer: &Trainer| read(&trainer.raw_model("net").expect("a model"));
        let averaged = |trainer: &Trainer| read(&trainer.averaged_model("net").expect("a model"));
        assert_eq!(averaged(&whole), raw(&whole), "before training the average is the weights");
        let initial = raw(&whole);
        whole.save(&half).expect("a checkpoint");
        // And so it is in a file.
        assert_eq!(loaded(&half), initial);
        whole.train(11, 11, &mut ()).expect("training");
        whole.save(&half).expect("a checkpoint");
        whole.train(20, 20, &mut ()).expect("training");
        assert_eq!(Trainer::options_of(&half).expect("options"), options);
        let mut resumed = Trainer::resume(gpu, &data, &half).expect("a run");
        assert_eq!(resumed.step(), 11);
        let mut steps = Vec::new();
        let mut observer = |records: &[StepRecord]| steps.extend(records.iter().map(|r| r.step));
        resumed.train(20, 20, &mut observer).expect("training");
        assert_eq!(steps, (11..20).collect::<Vec<_>>());
        resumed.save(&end).expect("a checkpoint");
        assert_eq!(raw(&whole), raw(&resumed));
        assert_eq!(averaged(&whole), loaded(&end));
        assert_ne!(averaged(&whole), raw(&whole));
    }
    let other = labeled(Task::Moons, 400);
    let error = Trainer::resume(gpu, &other, &half).expect_err("other data").to_string();
    assert!(error.contains("other data"), "{error}");
    let error = ScoreNetwork::load(gpu, &half).expect_err("an energy").to_string();
    assert!(error.contains("intermediate_energy") && error.contains("`score`"), "{error}");
    let error = NetworkEnergy::load(gpu, &half).expect_err("of noised samples").to_string();
    assert!(error.contains("intermediate_energy") && error.contains("`ranking_nce`"), "{error}");
    let bytes = std::fs::read(&half).expect("a file");
    std::fs::write(&end, &bytes[..bytes.len() - 100]).expect("a file");
    assert!(matches!(IntermediateEnergyNetwork::load(gpu, &end), Err(Error::Checkpoint { .. })));
    let missing = folder.path().join("missing");
    assert!(matches!(IntermediateEnergyNetwork::load(gpu, missing), Err(Error::Io { .. })));
}

/// The weights that a file's reader gets, without data; what it is bound to comes along.
fn loaded(path: &Path) -> Vec<f32> {
    let gpu = &lavapipe().gpu;
    let options = Trainer::options_of(path).expect("options");
    let model = match &options.objective {
        Objective::Score(options) => {
            let score = ScoreNetwork::load(gpu, path).expect("a score");
            assert_eq!((score.prediction(), score.schedule()), (options.prediction, Some(options.schedule)));
            score.model().clone()
        }
        Objective::IntermediateEnergy(options) => {
            let energy = IntermediateEnergyNetwork::load(gpu, path).expect("an energy");
            assert_eq!(energy.schedule(), Some(options.schedule));
            energy.model().clone()
        }
        other => panic!("{other:?}"),
    };
    gpu.read::<f32>(model.parameters()).expect("a readback")
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let gpu = &lavapipe().gpu;
    let data = labeled(Task::Moons, 100);
    let good = || run_of(contrast(&[8], 3.0, 32), 64, 3000);
    let refused = |data: &Dataset, options: TrainOptions| -> String {
        Trainer::new(gpu, data, options).map(|_| ()).expect_err("no sense").to_string()
    };
    let of = |beta, group| run_of(contrast(&[8], beta, group), 64, 3000);
    let with = |change: fn(IntermediateEnergyOptions) -> IntermediateEnergyOptions| {
        run_of(change(contrast(&[8], 3.0, 32)), 64, 3000)
    };
    for (options, expected) in [
        (of(3.0, 1), "at least 2"),
        (of(3.0, 0), "at least 2"),
        (of(-1.0, 32), "beta"),
        (of(f64::INFINITY, 32), "beta"),
        (of(3.0, 48), "multiple of the group"),
        (run_of(ScoreOptions::new(network(&[8], 1)), 64, 10), "the objective needs 2"),
        (good().with_batch(0), "batch"),
        (good().with_batch(usize::MAX), "multiple"),
        (good().with_steps(0), "steps"),
        (with(|options| options.with_times([0.5, 0.1])), "times"),
        (with(|options| options.with_times([-0.1, 1.0])), "times"),
        (with(|options| options.with_times([0.0, f64::NAN])), "times"),
        (with(|options| options.with_schedule(NoiseSchedule::Cosine { offset: 9.0 })), "schedule"),
    ] {
        let words = refused(&data, options.clone());
        assert!(words.contains(expected), "{options:?}: {words}");
    }
    let bare = Dataset::unconditional(vec![0.5; 20], 2).expect("data");
    assert!(refused(&bare, good()).contains("energies"));
    let wide = Dataset::unconditional(vec![0.5; 30], 3).expect("data");
    let words = refused(&wide, run_of(ScoreOptions::new(network(&[8], 2)), 64, 10));
    assert!(words.contains("actions of 2 numbers, the data have 3"), "{words}");
    let energy = |network: Network| run_of(IntermediateEnergyOptions::new(network, 3.0), 64, 10);
    let timeless = Network::mlp(vec![Input::new(ACTION, 2)], &[8], Activation::Silu, 1);
    assert!(refused(&data, energy(timeless)).contains("time"));
    let inputs = vec![Input::new(ACTION, 2), time(), Input::new(CONTEXT, 5)];
    let conditional = Network::mlp(inputs, &[8], Activation::Silu, 1);
    assert!(refused(&data, energy(conditional)).contains("contexts of 5"));
    // A conditional energy compares the samples of a row.
    let rows = Dataset::grouped(vec![0.1; 4], 1, vec![0.5; 16], 2, 2)
        .and_then(|data| data.with_energies(vec![0.0; 8]))
        .expect("data");
    let inputs = vec![Input::new(ACTION, 2), time(), Input::new(CONTEXT, 1)];
    let conditional = Network::mlp(inputs, &[8], Activation::Silu, 1);
    let words = refused(&rows, energy(conditional));
    assert!(words.contains("is 16") && words.contains("the 2 samples of a row"), "{words}");
    // Ranking NCE takes neither groups nor energies.
    assert!(refused(&data, TrainOptions::ranking_nce()).contains("labeled"));
    assert!(refused(&rows, TrainOptions::ranking_nce()).contains("groups"));
}

/// A loss that is not finite ends the run at its step, with the weights of the step before.
#[test]
fn a_loss_that_is_no_number_is_named_with_its_step() {
    let gpu = &lavapipe().gpu;
    let data = labeled(Task::Moons, 100);
    // Labels beyond e^64: the reference is far too high.
    let options = contrast(&[8], 10.0, 32).with_loss(contrasted(1e3));
    let mut trainer = Trainer::new(gpu, &data, run_of(options, 64, 20)).expect("a run");
    let model = trainer.raw_model("energy").expect("a model");
    let before = gpu.read::<f32>(model.parameters()).expect("a readback");
    let error = trainer.train(20, 20, &mut ()).expect_err("not finite");
    assert!(matches!(error, Error::NonFinite { step: 0, .. }), "{error}");
    assert_eq!(gpu.read::<f32>(model.parameters()).expect("a readback"), before);
    // A temperature so low that every label underflows leaves nothing to learn, and nothing breaks.
    let options = contrast(&[8], 1e3, 32).with_loss(contrasted(-1e4));
    let mut trainer = Trainer::new(gpu, &data, run_of(options, 64, 5)).expect("a run");
    let mut losses = Vec::new();
    let mut observer =
        |records: &[StepRecord]| losses.extend(records.iter().filter_map(|record| record.value("loss")));
    trainer.train(5, 5, &mut observer).expect("training");
    assert_eq!(losses, [0.0; 5]);
}

/// C14: the published networks of arXiv 2304.12824, those that the examples train. The counts of
/// the toys include 16 frequencies that are not trained; a twin critic and the energy of a policy
/// over 17 states and 6 actions have 276k and 213k.
#[test]
fn c14_parameter_counts_of_the_networks_of_contrastive_energy_prediction() {
    let both = vec![Input::new(CONTEXT, 17), Input::new(ACTION, 6)];
    let critic = Network::mlp(both.clone(), &[256; 3], Activation::Relu, 1);
    assert_eq!(2 * critic.parameter_count(), 275_970);
    let time = published::time().embedded(vec![Layer::dense(32, Activation::Identity)]);
    let timed = [both, vec![time]].concat();
    assert_eq!(Network::mlp(timed, &[256; 4], Activation::Silu, 1).parameter_count(), 213_025);
    for (network, width, count) in [(published::score(), 256, 1_054_194), (published::energy(), 34, 807_473)]
    {
        network.check().expect("a network");
        assert_eq!(network.input_width(), width);
        assert_eq!(network.parameter_count() + 16, count);
        let stored = network.layout().slices.iter().map(|slice| slice.rows * slice.columns).sum::<usize>();
        assert_eq!(stored + 16, count);
    }
}

/// C13: a small budget of training, eight Gaussians at beta 10: known .029-.033 for contrast,
/// .54-.61 for regression.
#[test]
#[ignore = "long: minutes of training"]
fn c13_contrast_reaches_the_target_where_regression_does_not() {
    let gpu = &lavapipe().gpu;
    let task = Task::EightGaussians;
    let data = labeled(task, 200_000);
    let train = |objective: Objective| {
        let mut trainer = Trainer::new(gpu, &data, run_of(objective, 512, 3000)).expect("a run");
        trainer.train(3000, u64::MAX, &mut ()).expect("training");
        trainer
    };
    // In data units, as it is known.
    let options = ScoreOptions::new(network(&[128; 3], 2)).with_action(Normalize::Identity);
    let score = train(options.into()).averaged_score().expect("a score");
    let target = task.target(10.0).expect("a target");
    let mut found = Vec::new();
    for loss in [contrasted(-1.0), IntermediateEnergyLoss::Mse] {
        let options = contrast(&[128; 3], 10.0, 512).with_loss(loss).with_times([1e-5, 1.0]).guiding(&score);
        let energy = train(options.into()).averaged_intermediate_energy().expect("an energy");
        let options = sampling(10_000);
        let mut sampler =
            DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
        let samples: Vec<[f32; 2]> =
            sampler.sample(&[]).expect("samples").chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        found.push(target.total_variation(&samples));
    }
    println!("total variation: contrast {:.4}, regression {:.4}", found[0], found[1]);
    assert!(found[0] <= 0.06 && found[1] >= 0.40, "{found:?}");
}

/// Of points around one another's mean the best guess of a noised point is linear in it, and so is
/// the noise that follows.
#[test]
fn a_network_that_outputs_samples_learns_the_score() {
    let gpu = &lavapipe().gpu;
    let (mean, deviation) = ([0.5, -1.0], 0.5);
    let points: Vec<f32> =
        normals(4000, 21).iter().flat_map(|z| [0, 1].map(|j| (mean[j] + deviation * z[j]) as f32)).collect();
    let data = Dataset::unconditional(points, 2).expect("data");
    let options = ScoreOptions::new(network(&[32, 32], 2))
        .with_prediction(Prediction::Sample)
        .with_action(Normalize::Identity);
    let mut trainer = Trainer::new(gpu, &data, run_of(options, 256, 1200)).expect("a run");
    trainer.train(1200, u64::MAX, &mut ()).expect("training");
    let score = trainer.averaged_score().expect("a score");
    assert_eq!(score.prediction(), Prediction::Sample);
    // At low noise an error of the sample is one of the noise alpha / sigma times as large.
    for (time, most) in [(0.1, 0.3), (0.3, 0.12), (0.7, 0.12)] {
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
        println!("t {time}: {relative:.4}");
        assert!(relative < most, "t {time}: {relative}");
    }
}

/// A score that is 0 everywhere misses all of the noise, and its guidance is not measured.
#[test]
fn a_score_that_knows_nothing_errs_by_the_whole_noise() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 1).expect("a run");
    let model = Model::new(gpu, "net", network(&[8], 2), &run).expect("a model");
    let flat = vec![0.0; gpu.read::<f32>(model.parameters()).expect("parameters").len()];
    model.set_parameters(gpu, &flat).expect("zeros");
    let score = ScoreNetwork::new(model).expect("a score");
    let oracle = Task::Moons.oracle(1.0).expect("an oracle");
    let mut noise = normals(4000, 5).into_iter().flatten();
    let (error, gradient) = accuracy::errors(
        (gpu, &score),
        (&Guidance::None, 1.0),
        &[],
        || noise.next().expect("noise"),
        |level| Task::Moons.draw(32, level as u64).iter().map(|point| point.x).collect(),
        |level| {
            let at = oracle.at(level)?;
            Ok(vec![Box::new(move |x| at.evaluate(x)) as accuracy::At<'_>])
        },
    )
    .expect("errors");
    assert_eq!((error, gradient), (1.0, None));
}

/// A conditional score goes by the context of each sample, and samples stay in their box.
#[test]
fn conditional_samples_follow_their_contexts() {
    let gpu = &lavapipe().gpu;
    // y = c (1, 0.5) + 0.3 n for contexts c of both signs.
    let noise = normals(4000, 9);
    let contexts: Vec<f32> = (0..4000).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let rows =
        noise.iter().zip(&contexts).flat_map(|(n, c)| [c + 0.3 * n[0] as f32, 0.5 * c + 0.3 * n[1] as f32]);
    let data = Dataset::new(contexts.clone(), 1, rows.collect(), 2).expect("data");
    let inputs = vec![Input::new(ACTION, 2), time(), Input::new(CONTEXT, 1)];
    let network = Network::mlp(inputs, &[48, 48], Activation::Silu, 2);
    let options = run_of(ScoreOptions::new(network), 256, 500);
    let mut trainer = Trainer::new(gpu, &data, options).expect("a run");
    trainer.train(500, u64::MAX, &mut ()).expect("training");
    let score = trainer.averaged_score().expect("a score");
    let bounds = Bounds::new(&[-1.5, -0.9], &[1.5, 0.9]).expect("a box");
    let options = sampling(500).with_contexts(3).with_context_width(1).with_bounds(bounds);
    let mut sampler = DiffusionSampler::new(gpu, &score, Guidance::None, &options).expect("a sampler");
    let samples = pairs(&sampler.sample(&[1.0, -1.0, 1.0]).expect("samples"));
    for (block, sign) in samples.chunks_exact(500).zip([1.0, -1.0, 1.0]) {
        let (mean, covariance) = moments(block);
        assert!((mean[0] - sign).abs() < 0.15 && (mean[1] - 0.5 * sign).abs() < 0.15, "{sign}: {mean:?}");
        assert!((0.03..0.2).contains(&covariance[0]), "{sign}: {covariance:?}");
        assert!(block.iter().all(|p| p[0].abs() <= 1.5 && p[1].abs() <= 0.9));
    }
    assert!(sampler.sample(&[1.0]).is_err(), "three contexts are needed");
}

/// What is not finite on its way is not finite at its end.
#[test]
fn faults_do_not_look_like_samples() {
    let gpu = &lavapipe().gpu;
    let score = MixtureScore::isotropic(&[1.0], &[0.0, 0.0], &[1.0]).expect("a score");
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            return 0.0;
        }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
            // Not a number right of the middle.
            let broken = bitcast<f32>(select(0u, 0x7fc00000u, y[0] > 0.0));
            return array<f32, DIMS>(broken, 0.0);
        }
    ";
    let options = ShaderEnergyOptions::new(0, 2, Gradient::Written);
    let energy = ShaderEnergy::new("broken", "broken.wgsl", text, options).expect("an energy");
    let guidance = Guidance::Denoised { energy: &energy, beta: 1.0 };
    let mut sampler = DiffusionSampler::new(gpu, &score, guidance, &sampling(200)).expect("a sampler");
    let samples = pairs(&sampler.sample(&[]).expect("samples"));
    let broken = samples.iter().filter(|p| !p[0].is_finite()).count();
    assert!((50..150).contains(&broken), "{broken} of 200");
    assert!(samples.iter().all(|p| !p[0].is_finite() || p[0] <= 0.0));
}

/// A score bound to a schedule is not led by another.
#[test]
fn networks_go_by_the_schedule_of_their_training() {
    let gpu = &lavapipe().gpu;
    let data = labeled(Task::Moons, 200);
    let schedule = NoiseSchedule::cosine();
    let options = run_of(ScoreOptions::new(network(&[8], 2)).with_schedule(schedule), 32, 2);
    let mut trainer = Trainer::new(gpu, &data, options).expect("a run");
    trainer.train(2, 2, &mut ()).expect("training");
    let cosine = trainer.averaged_score().expect("a score");
    let options = sampling(8);
    let error =
        DiffusionSampler::new(gpu, &cosine, Guidance::None, &options).expect_err("linear").to_string();
    assert!(error.contains("was trained on Cosine"), "{error}");
    let solver = options.solver.with_schedule(schedule);
    DiffusionSampler::new(gpu, &cosine, Guidance::None, &options.with_solver(solver))
        .expect("a sampler on its own schedule");
    assert!(trainer.averaged_intermediate_energy().is_err() && trainer.averaged_energy().is_err());
}

/// Both have as many parameters, as their outputs are padded: one could stand in for the other
/// unseen.
#[test]
fn two_networks_of_one_name_are_refused() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 3).expect("a run");
    let model = |outputs| Model::new(gpu, "net", network(&[8], outputs), &run).expect("a model");
    let score = ScoreNetwork::new(model(2)).expect("a score");
    let energy = IntermediateEnergyNetwork::new(model(1)).expect("an energy");
    let options = sampling(8);
    let error = DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options)
        .expect_err("one name")
        .to_string();
    assert!(error.contains("`net/parameters`") && error.contains("Model::renamed"), "{error}");
    let energy = energy.renamed("energy");
    DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
    // The same tensor under one name is no clash.
    let plain = score.bindings().merge(&score.bindings());
    let mut recording = Recording::new("one score");
    let x = recording.constant("x", [1, 2], &[0.5f32; 2]).expect("points");
    score.record_noise(&mut recording, None, x, &NoiseSchedule::default().at(0.5)).expect("a recording");
    recording.compile(gpu, &plain).expect("a plan").run(1).expect("a run");
    // Nor does a clash end when one of the two comes once more.
    let other = IntermediateEnergyNetwork::new(model(1)).expect("an energy").bindings();
    let clash = plain.merge(&other).merge(&score.bindings());
    let error = recording.compile(gpu, &clash).expect_err("a clash").to_string();
    assert!(error.contains("two tensors"), "{error}");
}

/// A context that no network takes belongs to another model.
#[test]
fn a_context_that_nobody_reads_is_refused() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 3).expect("a run");
    let score = ScoreNetwork::new(Model::new(gpu, "net", network(&[8], 2), &run).expect("a model"));
    let score = score.expect("a score");
    let options = sampling(8).with_context_width(2);
    let sampler = DiffusionSampler::new(gpu, &score, Guidance::None, &options).expect_err("unread");
    let options = LikelihoodOptions::default().with_context_width(2);
    let likelihood = Likelihood::new(gpu, &score, &options).expect_err("unread");
    for (error, operation) in [(sampler, "diffusion sampler"), (likelihood, "likelihood")] {
        let text = error.to_string();
        assert!(text.contains(operation) && text.contains("context width is 2"), "{text}");
    }
}
