//! Diffusion models as users train and sample them, on lavapipe: reproducible runs, checkpoints, contexts, faults. C13 and C14 are
//! entries of the project's table of acceptance tests.

mod common;
#[path = "../examples/common/published.rs"]
mod published;

use common::lavapipe;
use common::points::{moments, normals, own_gpu, pairs};
use gibbs::Error;
use gibbs::diffusion::{
    DiffusionSampler, Guidance, GuidanceNetwork, IntermediateEnergy, MixtureScore, NoiseSchedule, Prediction,
    SamplingOptions, Score, ScoreNetwork, SolverOptions, evaluate_noise,
};
use gibbs::energy::{GuidanceObjective, Labels};
use gibbs::gpu::{Recording, RunState};
use gibbs::nn::{
    ACTION, Activation, CONTEXT, Fourier, Gradient, Input, Layer, Model, Network, Points, ShaderEnergy,
    ShaderEnergyOptions, TIME,
};
use gibbs::proposal::UniformBox;
use gibbs::tasks::toy::Task;
use gibbs::train::{Dataset, DiffusionObjective, DiffusionOptions, DiffusionTrainer, RnceTrainer};

/// A sampler by the default solver.
fn sampling(samples: usize) -> SamplingOptions {
    SamplingOptions { samples, seed: 7, ..SamplingOptions::default() }
}

fn time() -> Input {
    Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 4).with_input())
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
        let read = |model: &gibbs::nn::Model| gpu.read::<f32>(model.parameters()).expect("a readback");
        let fresh = read(&whole.averaged().expect("an average"));
        assert_eq!(fresh, read(whole.model()), "before training the average is the weights");
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
        assert_eq!(read(whole.model()), read(resumed.model()));
        let average = read(&whole.averaged().expect("an average"));
        let stored = match outputs {
            2 => read(DiffusionTrainer::score_of(gpu, &end).expect("a score").model()),
            _ => read(DiffusionTrainer::energy_of(gpu, &end).expect("an energy").model()),
        };
        assert_eq!(average, stored);
        assert_ne!(average, read(whole.model()));
    }
    let other = labelled(Task::Moons, 400);
    let error = DiffusionTrainer::resume(gpu, &other, &half).expect_err("other data").to_string();
    assert!(error.contains("other data"), "{error}");
    let error = RnceTrainer::options_of(&half).expect_err("another kind").to_string();
    assert!(error.contains("diffusion") && error.contains("ranking nce"), "{error}");
    let bytes = std::fs::read(&half).expect("a file");
    std::fs::write(&end, &bytes[..bytes.len() - 100]).expect("a file");
    assert!(matches!(DiffusionTrainer::energy_of(gpu, &end), Err(Error::Checkpoint { .. })));
    let error = DiffusionTrainer::score_of(gpu, &half).expect_err("an energy").to_string();
    assert!(error.contains("not a score"), "{error}");
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let gpu = &lavapipe().gpu;
    let data = labelled(Task::Moons, 100);
    let good = DiffusionOptions { batch: 64, objective: contrast(3.0, 32), ..DiffusionOptions::default() };
    let refused = |network: Network, data: &Dataset, options: DiffusionOptions| -> String {
        let made = DiffusionTrainer::new(gpu, "energy", network, data, options);
        made.map(|_| ()).expect_err("no sense").to_string()
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
        (objective(DiffusionObjective::Noise), "the objective needs 2"),
        (with(|options| options.batch = 0), "multiple"),
        (with(|options| options.batch = usize::MAX), "multiple"),
        (with(|options| options.support = 0), "support"),
        (with(|options| options.steps = 0), "steps"),
        (with(|options| options.times = [0.5, 0.1]), "times"),
        (with(|options| options.times = [-0.1, 1.0]), "times"),
        (with(|options| options.times = [0.0, f64::NAN]), "times"),
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

/// A loss that is not finite ends the run at its step, with the weights of the step before.
#[test]
fn a_loss_that_is_no_number_is_named_with_its_step() {
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

/// C14: the published networks of arXiv 2304.12824, those that the examples train. The counts of the toys include 16 frequencies
/// that are not trained; a twin critic and the energy of a policy over 17 states and 6 actions have 276k and 213k.
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
        steps: 1200,
        ..DiffusionOptions::default()
    };
    let mut trainer =
        DiffusionTrainer::new(gpu, "score", network(&[32, 32], 2), &data, options).expect("a run");
    trainer.train(1200, &mut |_| {}).expect("training");
    let score = trainer.score().expect("a score");
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
    let options = DiffusionOptions { steps: 500, batch: 256, ..DiffusionOptions::default() };
    let mut trainer = DiffusionTrainer::new(gpu, "score", network, &data, options).expect("a run");
    trainer.train(500, &mut |_| {}).expect("training");
    let score = trainer.score().expect("a score");
    let bounds = UniformBox::new(&[-1.5, -0.9], &[1.5, 0.9]).expect("a box");
    let options = SamplingOptions { contexts: 3, context_width: 1, bounds: Some(bounds), ..sampling(500) };
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
    let data = labelled(Task::Moons, 200);
    let schedule = NoiseSchedule::cosine();
    let options = DiffusionOptions { steps: 2, batch: 32, schedule, ..DiffusionOptions::default() };
    let mut trainer = DiffusionTrainer::new(gpu, "score", network(&[8], 2), &data, options).expect("a run");
    trainer.train(2, &mut |_| {}).expect("training");
    let cosine = trainer.score().expect("a score");
    let options = sampling(8);
    let error =
        DiffusionSampler::new(gpu, &cosine, Guidance::None, &options).expect_err("linear").to_string();
    assert!(error.contains("was trained on Cosine"), "{error}");
    let solver = SolverOptions { schedule, ..options.solver };
    DiffusionSampler::new(gpu, &cosine, Guidance::None, &SamplingOptions { solver, ..options })
        .expect("a sampler on its own schedule");
    assert!(trainer.energy().is_err());
}

/// Both have as many parameters, as their outputs are padded: one could stand in for the other unseen.
#[test]
fn two_networks_of_one_name_are_refused() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 3).expect("a run");
    let model = |outputs| Model::new(gpu, "net", network(&[8], outputs), &run).expect("a model");
    let score = ScoreNetwork::new(model(2)).expect("a score");
    let energy = GuidanceNetwork::new(model(1)).expect("an energy");
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
    let other = GuidanceNetwork::new(model(1)).expect("an energy").bindings();
    let clash = plain.merge(&other).merge(&score.bindings());
    let error = recording.compile(gpu, &clash).expect_err("a clash").to_string();
    assert!(error.contains("two tensors"), "{error}");
}
