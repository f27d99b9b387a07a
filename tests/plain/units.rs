//! Diffusion in the units of a normalizer, on lavapipe: what scale data have does not matter, and
//! everything that enters or leaves is in data units.

use std::sync::OnceLock;

use crate::common::lavapipe;
use crate::common::points::normals;
use crate::training::parts::Parts;
use gibbs::diffusion::{
    Cotangents, DiffusionSampler, EnergyAtLevel, Guidance, IntermediateEnergy, IntermediateEnergyNetwork,
    Likelihood, LikelihoodOptions, MixtureScore, NoiseLevel, NoiseSchedule, SamplingOptions, Score,
    ScoreNetwork, evaluate_guided, evaluate_noise,
};
use gibbs::energy::{Gradient, ShaderEnergy, ShaderEnergyOptions, evaluate_energy, evaluate_gradient};
use gibbs::gpu::{Bindings, Gpu, Points, Recording, RunState, Value};
use gibbs::loss::{IntermediateEnergyLoss, Labels};
use gibbs::math::{Bounds, Normalize};
use gibbs::nn::{
    ACTION, Activation, AdamOptions, Fourier, Input, Model, Network, Normalizer, Schedule, TIME,
};
use gibbs::policy::Policy;
use gibbs::train::{Dataset, IntermediateEnergyOptions, Objective, ScoreOptions, TrainOptions, Trainer};
use gibbs::{Error, Result};

fn gpu() -> &'static Gpu {
    &lavapipe().gpu
}

fn network(hidden: &[usize], dims: usize, outputs: usize) -> Network {
    let time = Input::new(TIME, 1).encoded(Fourier::geometric(0.5, 8.0, 4).with_input());
    Network::mlp(vec![Input::new(ACTION, dims), time], hidden, Activation::Silu, outputs)
}

/// Points of one dimension: modes at ± scale of deviation 0.2 scale.
fn modes(count: usize, scale: f64) -> Vec<f32> {
    let of = |(at, z): (usize, [f64; 2])| {
        let sign = if at % 2 == 0 { 1.0 } else { -1.0 };
        (scale * (sign + 0.2 * z[0])) as f32
    };
    normals(count, 3).into_iter().enumerate().map(of).collect()
}

fn train(data: &Dataset, objective: impl Into<Objective>, steps: u64) -> Trainer {
    let options = TrainOptions::new(objective).with_batch(256).with_steps(steps).with_seed(5);
    let mut trainer = Trainer::new(gpu(), data, options).expect("a run");
    trainer.train(steps, u64::MAX, &mut ()).expect("training");
    trainer
}

/// The score of modes of a scale, trained for real.
fn score_of_modes(scale: f64) -> ScoreNetwork {
    let data = Dataset::unconditional(modes(4000, scale), 1).expect("data");
    let schedule = Schedule::Cosine { rate: 1e-2, warmup: 50, floor: 0.0 };
    let optimizer = AdamOptions::default().with_schedule(schedule).with_average_decay(0.98);
    let options = ScoreOptions::new(network(&[48, 48], 1, 1)).with_optimizer(optimizer);
    train(&data, options, 800).averaged_score().expect("a score")
}

/// Trained once: at scales 1 and 1000.
fn two_scores() -> &'static [ScoreNetwork; 2] {
    static SCORES: OnceLock<[ScoreNetwork; 2]> = OnceLock::new();
    SCORES.get_or_init(|| [1.0, 1000.0].map(score_of_modes))
}

fn samples(score: &dyn Score, guidance: Guidance<'_>, count: usize) -> Vec<f32> {
    let options = SamplingOptions::default().with_samples(count).with_seed(7);
    let mut sampler = DiffusionSampler::new(gpu(), score, guidance, &options).expect("a sampler");
    sampler.sample(&[]).expect("samples")
}

/// Root mean square of `a unit - b` relative to that of `b`.
fn distance(a: &[f32], unit: f64, b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a) * unit, f64::from(*b)));
    let (error, size) =
        pairs().fold((0.0, 0.0), |(error, size), (a, b)| (error + (a - b).powi(2), size + b * b));
    (error / size).sqrt()
}

#[test]
fn data_of_any_scale_give_samples_of_that_scale() {
    let exact = 1.04f64.sqrt();
    let [unit, thousand] = two_scores();
    let [hundredth, thousandth] = [0.01, 0.001].map(score_of_modes);
    for (scale, score) in [(1.0, unit), (0.01, &hundredth), (0.001, &thousandth), (1000.0, thousand)] {
        let found = samples(score, Guidance::None, 4000);
        let found: Vec<f64> = found.iter().map(|y| f64::from(*y) / scale).collect();
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        let variance = found.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / found.len() as f64;
        let between = found.iter().filter(|y| y.abs() < 0.4).count() as f64 / found.len() as f64;
        println!("scale {scale}: mean {mean:.4}, deviation {:.4}, between {between:.4}", variance.sqrt());
        assert!((variance.sqrt() / exact - 1.0).abs() < 0.05, "scale {scale}: {}", variance.sqrt());
        assert!(mean.abs() < 0.1 && between < 0.12, "scale {scale}: {mean}, {between}");
    }
}

#[test]
fn a_larger_unit_lowers_the_log_density_by_its_logarithm() {
    let points: Vec<f32> = [-1.3, -1.0, -0.4, 0.9, 1.2].into();
    let options = LikelihoodOptions::default().with_samples(points.len()).with_steps(40);
    let density = |score: &dyn Score, points: &[f32]| {
        let mut likelihood = Likelihood::new(gpu(), score, &options).expect("a likelihood");
        likelihood.log_density(&[], points).expect("densities")
    };
    let thousand: Vec<f32> = points.iter().map(|y| 1000.0 * y).collect();
    // Of learned scores.
    let [a, b] = two_scores();
    for (a, b) in density(a, &points).iter().zip(density(b, &thousand)) {
        let fall = f64::from(a - b);
        assert!((fall - 1000f64.ln()).abs() < 0.02, "{a} {b}: {fall}");
    }
    // Of an exact one, in units of another shift and scale per column.
    let mixture =
        MixtureScore::isotropic(&[0.4, 0.6], &[0.8, -0.3, -0.5, 1.0], &[0.3, 0.5]).expect("a score");
    let normalizer = Normalizer { shift: vec![200.0, -3.0], scale: vec![0.01, 50.0] };
    let points = [0.5f32, 0.2, -0.4, 1.1];
    let options = options.with_samples(2);
    let in_units = InUnits { score: &mixture, normalizer: normalizer.clone() };
    let mut likelihood = Likelihood::new(gpu(), &in_units, &options).expect("a likelihood");
    let found = likelihood.log_density(&[], &normalizer.denormalize(&points)).expect("densities");
    let level = options.schedule.at(options.first_time);
    for (found, point) in found.iter().zip(points.chunks_exact(2)) {
        let point: Vec<f64> = point.iter().map(|v| f64::from(*v)).collect();
        let exact = mixture.log_density(&point, &level).expect("a density") + 0.5f64.ln();
        assert!((f64::from(*found) - exact).abs() < 2e-3, "{found} {exact}");
    }
}

/// A score whose noised samples are in units of a normalizer.
struct InUnits<'a> {
    score: &'a dyn Score,
    normalizer: Normalizer,
}

impl Score for InUnits<'_> {
    fn dims(&self) -> usize {
        self.score.dims()
    }
    fn record_noise(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        self.score.record_noise(recording, context, x, level)
    }
    fn record_noise_and_vjps(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
        cotangents: &mut Cotangents<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        self.score.record_noise_and_vjps(recording, context, x, level, cotangents)
    }
    fn normalizer(&self) -> Option<&Normalizer> {
        Some(&self.normalizer)
    }
    fn bindings(&self) -> Bindings {
        self.score.bindings()
    }
}

/// Learned guidance: samples of data in a thousandfold unit are a thousand times as large.
#[test]
fn guided_samples_follow_the_unit() {
    let run = |scale: f64| {
        let points = modes(2000, scale);
        let energies = points.iter().map(|y| (f64::from(*y) / scale) as f32).collect();
        let data =
            Dataset::unconditional(points, 1).and_then(|data| data.with_energies(energies)).expect("data");
        let score =
            train(&data, ScoreOptions::new(network(&[24], 1, 1)), 80).averaged_score().expect("a score");
        let labels = Labels::Unnormalized { reference: -1.5 };
        // Fitted to the same data by the same rule.
        let energy = IntermediateEnergyOptions::new(network(&[24], 1, 1), 2.0)
            .with_loss(IntermediateEnergyLoss::Contrastive { labels });
        let energy = train(&data, energy, 80).averaged_intermediate_energy().expect("an energy");
        assert_eq!(score.normalizer(), energy.normalizer());
        let of = |guidance: Guidance<'_>| samples(&score, guidance, 500);
        [of(Guidance::None), of(Guidance::Intermediate(&energy))]
    };
    let ([plain, guided], [plain_thousand, guided_thousand]) = (run(1.0), run(1000.0));
    let moved = distance(&plain, 1.0, &guided);
    let [off, off_guided] =
        [distance(&plain, 1000.0, &plain_thousand), distance(&guided, 1000.0, &guided_thousand)];
    println!("guidance moves by {moved:.3}, the unit by {off:.1e} and {off_guided:.1e}");
    assert!(moved > 0.1, "{moved}");
    assert!(off < 0.02 && off_guided < 0.02, "{off} {off_guided}");
}

/// Guidance through the denoiser by a user's energy in data units.
#[test]
fn energies_of_users_see_data_units() {
    let mixture =
        MixtureScore::isotropic(&[0.5, 0.5], &[0.8, -0.3, -0.5, 1.0], &[0.3, 0.5]).expect("a score");
    let normalizer = Normalizer { shift: vec![500.0, -3.0], scale: vec![1e-3, 20.0] };
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            let a = (y[0] - shift_0) * scale_0 - 0.5;
            let b = (y[1] - shift_1) * scale_1 + 1.0;
            return a * a + 0.5 * b * b;
        }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
            let a = (y[0] - shift_0) * scale_0 - 0.5;
            let b = (y[1] - shift_1) * scale_1 + 1.0;
            return array<f32, DIMS>(2.0 * a * scale_0, b * scale_1);
        }
    ";
    let energy = |units: &Normalizer| {
        let options = ShaderEnergyOptions::new(0, 2, Gradient::Written)
            .number("shift_0", units.shift[0])
            .number("shift_1", units.shift[1])
            .number("scale_0", units.scale[0])
            .number("scale_1", units.scale[1]);
        ShaderEnergy::new("bowl", "bowl.wgsl", text, options).expect("an energy")
    };
    let (plain, in_data_units) = (energy(&Normalizer::identity(2)), energy(&normalizer));
    let beta = 1.5;
    let unguided = samples(&mixture, Guidance::None, 300);
    let expected = samples(&mixture, Guidance::Denoised { energy: &plain, beta }, 300);
    let in_units = InUnits { score: &mixture, normalizer: normalizer.clone() };
    let found = samples(&in_units, Guidance::Denoised { energy: &in_data_units, beta }, 300);
    let found = normalizer.normalize(&found);
    let (moved, off) = (distance(&unguided, 1.0, &expected), distance(&found, 1.0, &expected));
    println!("guidance moves by {moved:.3}, units by {off:.1e}");
    assert!(moved > 0.2 && off < 1e-3, "{moved} {off}");
    // Boxes are in data units as well, and starts are normal numbers whatever the units.
    let bounds = Bounds::new(&[100.0, -3.02], &[900.0, -2.98]).expect("a box");
    let options = SamplingOptions::default().with_samples(300).with_bounds(bounds.clone());
    let start: Vec<f32> = normals(300, 4).into_iter().flatten().map(|v| v as f32).collect();
    let from = |score: &dyn Score, options: &SamplingOptions| {
        let mut sampler =
            DiffusionSampler::from_points(gpu(), score, Guidance::None, options).expect("a sampler");
        sampler.sample_from(&[], &start).expect("samples")
    };
    let boxed = from(&in_units, &options);
    assert!(boxed.chunks_exact(2).all(|y| bounds.contains(y)));
    let free = options.with_bounds(None);
    let clipped: Vec<f32> = normalizer
        .denormalize(&from(&mixture, &free))
        .iter()
        .enumerate()
        .map(|(at, y)| y.clamp(bounds.low()[at % 2], bounds.high()[at % 2]))
        .collect();
    assert!(distance(&boxed, 1.0, &clipped) < 1e-5);
}

/// An intermediate energy taken as an energy of points, in data units like every energy.
#[test]
fn an_energy_at_a_level_takes_data_units() {
    let run = RunState::new(gpu(), 3).expect("a run");
    let model = Model::new(gpu(), "net", network(&[16], 2, 1), &run).expect("a model");
    let normalizer = Normalizer { shift: vec![40.0, -0.5], scale: vec![0.05, 8.0] };
    let plain = IntermediateEnergyNetwork::new(model).expect("an energy");
    let in_units = plain.clone().with_normalizer(normalizer.clone()).expect("an energy");
    let level = NoiseSchedule::default().at(0.2);
    let [plain, in_units] = [&plain, &in_units].map(|energy| EnergyAtLevel::new(energy, level));
    let x = [0.5f32, -0.25, 1.5, 0.75, -2.0, 0.125];
    let y = normalizer.denormalize(&x);
    let points = |y| Points { context: &[], contexts: 1, y, dims: 2 };
    let expected = evaluate_energy(gpu(), &plain, &points(&x)).expect("energies");
    let found = evaluate_energy(gpu(), &in_units, &points(&y)).expect("energies");
    assert!(distance(&found, 1.0, &expected) < 1e-5);
    let expected = evaluate_gradient(gpu(), &plain, &points(&x)).expect("gradients");
    let expected: Vec<f32> =
        expected.iter().enumerate().map(|(at, g)| g * normalizer.scale[at % 2]).collect();
    let found = evaluate_gradient(gpu(), &in_units, &points(&y)).expect("gradients");
    assert!(distance(&found, 1.0, &expected) < 1e-5);
}

fn pairs(scale: f64, seed: u64) -> Dataset {
    let points: Vec<f32> = normals(200, seed)
        .iter()
        .flat_map(|z| [z[0], 5.0 + 0.1 * z[1]])
        .map(|v| (scale * v) as f32)
        .collect();
    let energies = points.chunks_exact(2).map(|y| y[0] / scale as f32).collect();
    Dataset::unconditional(points, 2).and_then(|data| data.with_energies(energies)).expect("data")
}

fn short(objective: impl Into<Objective>) -> TrainOptions {
    TrainOptions::new(objective).with_batch(32).with_steps(6)
}

fn energy_options() -> IntermediateEnergyOptions {
    IntermediateEnergyOptions::new(network(&[8], 2, 1), 1.0).with_group(8)
}

/// Files hold the units: of runs, which go on in them, and of policies.
#[test]
fn files_keep_the_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, whole, energy_path, policy_path] =
        ["score", "whole", "energy", "policy"].map(|name| folder.path().join(name));
    let data = pairs(1000.0, 1);
    let options = short(ScoreOptions::new(network(&[8], 2, 2)));
    let mut trainer = Trainer::new(gpu(), &data, options).expect("a run");
    trainer.train(3, 3, &mut ()).expect("training");
    trainer.save(&path).expect("a checkpoint");
    let fitted = data.fit_y(Normalize::Standard { deviation: 2.0 });
    assert!(!fitted.is_identity());
    let loaded = ScoreNetwork::load(gpu(), &path).expect("a score");
    assert_eq!(loaded.normalizer(), Some(&fitted));
    assert_eq!(trainer.averaged_score().expect("a score").normalizer(), Some(&fitted));
    trainer.train(6, 6, &mut ()).expect("training");
    trainer.save(&whole).expect("a checkpoint");
    let mut resumed = Trainer::resume(gpu(), &data, &path).expect("a run");
    resumed.train(6, 6, &mut ()).expect("training");
    resumed.save(&path).expect("a checkpoint");
    crate::training::parts::assert_same_run(&path, &whole);

    // Other rows: the energy takes the units of the score.
    let score = trainer.averaged_score().expect("a score");
    let labeled = pairs(1000.0, 2);
    let mut energy = Trainer::new(gpu(), &labeled, short(energy_options().guiding(&score))).expect("a run");
    energy.train(6, 6, &mut ()).expect("training");
    energy.save(&energy_path).expect("a checkpoint");
    let energy = IntermediateEnergyNetwork::load(gpu(), &energy_path).expect("an energy");
    assert_eq!(energy.normalizer(), Some(&fitted));
    let mut policy = Policy::guided(gpu(), &whole, &energy_path).expect("a policy");
    policy.save(&policy_path).expect("a file");
    let bounds = policy.description().bounds.clone();
    let options = SamplingOptions::default().with_bounds(bounds);
    let mut sampler =
        DiffusionSampler::new(gpu(), &score, Guidance::Intermediate(&energy), &options).expect("a sampler");
    let mut again = Policy::load(gpu(), &policy_path).expect("a policy");
    for _ in 0..3 {
        let [expected, found, loaded] = [
            sampler.sample(&[]).expect("samples"),
            policy.act_for(1).expect("actions"),
            again.act_for(1).expect("actions"),
        ]
        .map(|actions| actions.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
        assert!(expected == found && found == loaded, "{expected:?} {found:?} {loaded:?}");
    }

    // What does not fit is refused, with the file's name.
    for (what, bad) in [
        ("one column", serde_json::json!({ "shift": [0.0], "scale": [1.0] })),
        ("a scale of 0", serde_json::json!({ "shift": [0.0, 0.0], "scale": [1.0, 0.0] })),
        ("no normalizer", serde_json::json!("none")),
    ] {
        let bytes = Parts::read(&whole).described(|d| d["normalizer"] = bad);
        std::fs::write(&path, bytes).expect("a file");
        let errors = [
            ScoreNetwork::load(gpu(), &path).map(drop),
            Trainer::resume(gpu(), &data, &path).map(drop),
            Policy::load(gpu(), &path).map(drop),
        ];
        for error in errors {
            let error = error.expect_err(what);
            assert!(
                matches!(&error, Error::Checkpoint { path: named, .. } if *named == path),
                "{what}: {error}"
            );
        }
    }
}

/// Energies that guide are of the score's units.
#[test]
fn an_energy_of_other_units_guides_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = |name: &str, data: &Dataset, options: TrainOptions| {
        let mut trainer = Trainer::new(gpu(), data, options).expect("a run");
        trainer.train(2, 2, &mut ()).expect("training");
        trainer.save(folder.path().join(name)).expect("a checkpoint");
        trainer
    };
    let score = train("score", &pairs(1.0, 1), short(ScoreOptions::new(network(&[8], 2, 2))));
    let score = score.averaged_score().expect("a score");
    let energy = |name: &str, options: IntermediateEnergyOptions| {
        let trainer = train(name, &pairs(1.0, 2), short(options));
        trainer.averaged_intermediate_energy().expect("an energy")
    };
    let other = energy("other", energy_options());
    let plain = energy("plain", energy_options().with_action(Normalize::Identity));
    let same = energy("same", energy_options().guiding(&score));
    let options = SamplingOptions::default();
    let level = NoiseSchedule::default().at(0.5);
    let points = Points { context: &[], contexts: 1, y: &[0.5, 1.0], dims: 2 };
    let both = |energy: &IntermediateEnergyNetwork| {
        let guidance = Guidance::Intermediate(energy);
        let sampler = DiffusionSampler::new(gpu(), &score, guidance, &options).map(drop);
        [sampler, evaluate_guided(gpu(), &score, &guidance, &points, &level).map(drop)]
    };
    for result in both(&same) {
        result.expect("the same units");
    }
    for (energy, file) in [(&other, "other"), (&plain, "plain")] {
        let policy = Policy::guided(gpu(), folder.path().join("score"), folder.path().join(file)).map(drop);
        for result in both(energy).into_iter().chain([policy]) {
            let error = result.expect_err("other units").to_string();
            let of_score = format!("scale [{}", score.normalizer().expect("units").scale[0]);
            assert!(error.contains(&of_score) && error.contains("guiding"), "{error}");
            let of_energy = match energy.normalizer() {
                Some(normalizer) => format!("scale [{}", normalizer.scale[0]),
                None => "data units".into(),
            };
            assert!(error.contains(&of_energy), "{error}");
        }
    }
}

/// Options and files of earlier versions, which know no units, are in data units, and their runs
/// record what they recorded.
#[test]
fn files_without_units_are_in_data_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = pairs(1.0, 1);
    let score = ScoreOptions::new(network(&[8], 2, 2)).with_action(Normalize::Identity);
    let energy = energy_options().with_action(Normalize::Identity);
    for (name, options) in [("score", short(score)), ("energy", short(energy))] {
        let [path, old] = [name.to_owned(), format!("{name} old")].map(|name| folder.path().join(name));
        let mut trainer = Trainer::new(gpu(), &data, options).expect("a run");
        trainer.train(3, 3, &mut ()).expect("training");
        trainer.save(&path).expect("a checkpoint");
        let parts = Parts::read(&path);
        assert!(parts.description().get("normalizer").is_none(), "{}", parts.description());
        let bytes = parts.described(|description| {
            let objective = description["options"]["objective"].as_object_mut().expect("an objective");
            assert!(objective.remove("action").is_some() && objective.remove("normalizer").is_none());
        });
        std::fs::write(&old, bytes).expect("a file");
        let mut resumed = Trainer::resume(gpu(), &data, &old).expect("a run");
        assert_eq!(resumed.options(), trainer.options());
        for trainer in [&mut trainer, &mut resumed] {
            trainer.train(6, 6, &mut ()).expect("training");
        }
        trainer.save(&path).expect("a checkpoint");
        resumed.save(&old).expect("a checkpoint");
        crate::training::parts::assert_same_run(&path, &old);
        match name {
            "score" => {
                let score = ScoreNetwork::load(gpu(), &old).expect("a score");
                assert_eq!(score.normalizer(), None);
                let options = SamplingOptions::default();
                let sampler =
                    DiffusionSampler::new(gpu(), &score, Guidance::None, &options).expect("a sampler");
                assert!(!sampler.description().contains("change units"), "{}", sampler.description());
            }
            _ => assert_eq!(
                IntermediateEnergyNetwork::load(gpu(), &old).expect("an energy").normalizer(),
                None
            ),
        }
    }
}

/// A run says what it cannot do with units.
#[test]
fn units_that_make_no_sense_are_refused() {
    let data = pairs(1.0, 1);
    let score = || ScoreOptions::new(network(&[8], 2, 2));
    let mut own = network(&[8], 2, 2);
    own.inputs[0] = Input::normalized(ACTION, data.fit_y(Normalize::Standard { deviation: 1.0 }));
    let narrow = Normalizer { shift: vec![0.0], scale: vec![2.0] };
    let wrong = Normalizer { shift: vec![0.0; 2], scale: vec![2.0, -1.0] };
    let cases: [(Objective, &str); 6] = [
        (score().with_action(Normalize::Standard { deviation: 0.0 }).into(), "deviation is 0"),
        (score().with_action(Normalize::Isotropic { deviation: f64::NAN }).into(), "deviation is NaN"),
        (score().with_normalizer(narrow).into(), "1 shifts and 1 scales for 2 dimensions"),
        (score().with_normalizer(wrong.clone()).into(), "scale -1"),
        (energy_options().with_normalizer(wrong).into(), "scale -1"),
        (ScoreOptions::new(own.clone()).into(), "normalizes `action` itself"),
    ];
    for (objective, words) in cases {
        let error = Trainer::new(gpu(), &data, short(objective)).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    // The network's own normalizer serves a score in data units, as before.
    let options = short(ScoreOptions::new(own).with_action(Normalize::Identity));
    let trainer = Trainer::new(gpu(), &data, options).expect("a run");
    let score = trainer.averaged_score().expect("a score");
    let points = Points { context: &[], contexts: 1, y: &[0.5, 1.0], dims: 2 };
    evaluate_noise(gpu(), &score, &points, &NoiseSchedule::default().at(0.5)).expect("noise");
}
