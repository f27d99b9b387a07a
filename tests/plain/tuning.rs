//! How kernel variants are chosen: the table is deterministic, measuring is quick and can be
//! restored from its file, files that do not fit are errors, and nothing of it touches a random
//! number.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::common;
use gibbs::energy::{NetworkEnergy, evaluate_energy};
use gibbs::gpu::Points;
use gibbs::gpu::{Recording, RunState, Tuning, TuningFile, VariantChoices, shape_class};
use gibbs::mcmc::{ChainOptions, ChainSampler, Dynamics, Langevin};
use gibbs::nn::{ACTION, Activation, DenseOperation, Fusion, Input, Keep, Model, Network, Normalizer};
use gibbs::train::{Dataset, EnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer};
use gibbs::{Error, Gpu};
use tempfile::TempDir;

fn gpu() -> &'static Gpu {
    &common::lavapipe().gpu
}

/// Figures of time do not mix.
static ALONE: Mutex<()> = Mutex::new(());

fn network(width: usize) -> Network {
    let input = Input::normalized(ACTION, Normalizer::identity(width));
    Network::mlp(vec![input], &[width, width], Activation::Silu, 1)
}

/// The variants that the energy of so many points takes.
fn variants(gpu: &Gpu, width: usize, rows: usize) -> VariantChoices {
    let model = Model::zeros(gpu, "energy", network(width)).unwrap();
    let mut recording = Recording::tuned("energy", gpu.target());
    let y = recording.slot("y", gibbs::gpu::DType::F32, [1, rows, width]).unwrap();
    let parameters = model.value(&mut recording).unwrap();
    let forward =
        model.network().record_forward(&mut recording, parameters, &[(ACTION, y)], Keep::Slopes).unwrap();
    assert!(recording.is_written(forward.packed_output));
    recording.variants().clone()
}

#[test]
fn the_table_chooses_the_same_every_time() {
    let first = variants(gpu(), 64, 100);
    let layer = shape_class("dense_forward", [100, 64, 64]);
    assert!(first.contains_key(&layer), "{first:?}");
    assert_eq!(first, variants(gpu(), 64, 100));
    let table = gpu().with_tuning(Tuning::Table).unwrap();
    assert_eq!(first, variants(&table, 64, 100));
    assert_eq!(table.tuning_name(), "table");
    assert!(gpu().tuning_file().choices().is_empty());
}

#[test]
fn measuring_is_quick_and_its_file_restores_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tuning.json");
    let measured = gpu().with_tuning(Tuning::Measure { file: Some(path.clone()) }).unwrap();
    for (width, rows) in [(64, 2048), (24, 300)] {
        let before = measured.tuning_file().choices().len();
        let begun = Instant::now();
        let chosen = variants(&measured, width, rows);
        let seconds = begun.elapsed().as_secs_f64();
        let fresh = measured.tuning_file().choices().len() - before;
        common::say(&format!(
            "tuning of {fresh} shape classes at {rows}x{width} took {seconds:.2} s: {chosen:?}"
        ));
        // The hidden layers are one class, the output another.
        assert_eq!((fresh, chosen.len()), (2, 2), "{chosen:?}");
        // Under 3 s each on a quiet machine; tests run beside others.
        assert!(seconds < 12.0 * fresh as f64, "{seconds} s for {fresh} shape classes");
        // Nothing is measured twice.
        let begun = Instant::now();
        assert_eq!(variants(&measured, width, rows), chosen);
        assert!(begun.elapsed() < Duration::from_millis(500));
    }
    let file = TuningFile::read(&path).unwrap();
    assert_eq!(file, measured.tuning_file());
    let candidates = |class: &str| file.choices()[class].milliseconds.len();
    // Those of the width, with and without subgroups, unless time ran out.
    for shape in [[2048, 64, 64], [300, 24, 24]] {
        let count = candidates(&shape_class("dense_forward", shape));
        assert!((2..=6).contains(&count), "{count} for {shape:?}");
    }
    for choice in file.choices().values() {
        let figures = &choice.milliseconds;
        assert!(figures.contains_key(&choice.variant), "{choice:?}");
        assert!(figures.values().all(|ms| *ms > 0.0 && *ms < 3000.0), "{choice:?}");
    }
    let restored = gpu().with_tuning(Tuning::Exactly(file.clone())).unwrap();
    let again = gpu().with_tuning(Tuning::Measure { file: Some(path.clone()) }).unwrap();
    for (width, rows) in [(64, 2048), (24, 300)] {
        let expected = variants(&measured, width, rows);
        assert_eq!(variants(&restored, width, rows), expected);
        assert_eq!(variants(&again, width, rows), expected);
    }
    assert_eq!(TuningFile::read(&path).unwrap(), file, "known classes are not measured again");
    // What the file lacks, the table chooses.
    assert_eq!(variants(&restored, 8, 9), variants(gpu(), 8, 9));
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn all_three_operations_are_measured() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let measured = gpu().with_tuning(Tuning::Measure { file: None }).unwrap();
    let begun = Instant::now();
    let trainer = Trainer::new(&measured, &data(), options()).unwrap();
    let classes = trainer.variants();
    common::say(&format!("tuning of {} shape classes took {:?}", classes.len(), begun.elapsed()));
    for operation in DenseOperation::ALL {
        let stem = format!("{} ", operation.stem());
        assert!(classes.keys().any(|class| class.starts_with(&stem)), "{classes:?}");
    }
    let file = measured.tuning_file();
    for (class, names) in &classes {
        assert!(names.contains(&file.choices()[class].variant) && names.len() == 1, "{class}: {names:?}");
    }
}

#[test]
fn files_that_do_not_fit_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tuning.json");
    let fault = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let measure = gpu().with_tuning(Tuning::Measure { file: Some(path.clone()) }).map(drop);
        let restore =
            path.to_str().unwrap().parse::<Tuning>().and_then(|tuning| gpu().with_tuning(tuning)).map(drop);
        let [measure, restore] = [measure, restore].map(|result| match result {
            Err(Error::Tuning { problem, .. }) => problem,
            other => panic!("{text}: {other:?}"),
        });
        assert_eq!(measure, restore);
        measure
    };
    let good = serde_json::to_string(&TuningFile::new(gpu().info())).unwrap();
    for text in ["", "{", "[]", "{\"format\": 1}", &good.replace("\"choices\":{}", "\"choices\":{\"a\":1}")] {
        let problem = fault(text);
        assert!(problem.contains("is no tuning file"), "{problem}");
    }
    let problem = fault(&good.replace("\"format\":1", "\"format\":7"));
    assert!(problem.contains("format 7"), "{problem}");
    let foreign = good.replace(&gpu().info().name, "Another Adapter 3000");
    assert_ne!(foreign, good);
    let problem = fault(&foreign);
    assert!(problem.contains("Another Adapter 3000") && problem.contains(&gpu().info().name), "{problem}");
    // No file is damaged by an attempt to use it.
    assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
    let missing = Path::new("no such folder/tuning.json");
    assert!(matches!(TuningFile::read(missing), Err(Error::Io { .. })));
    let unwritable = Tuning::Measure { file: Some(missing.into()) };
    let unwritable = gpu().with_tuning(unwritable).unwrap();
    let energy = NetworkEnergy::new(Model::zeros(&unwritable, "energy", network(4)).unwrap()).unwrap();
    let points = Points { context: &[], contexts: 1, y: &[0.0; 8], dims: 4 };
    let written = evaluate_energy(&unwritable, &energy, &points);
    assert!(matches!(written, Err(Error::Io { .. })), "{written:?}");
    // Another driver or version is worth a warning, no more; so is a variant that nobody knows.
    let older = good.replace("\"driver\":\"", "\"driver\":\"older ");
    let file: TuningFile = serde_json::from_str(&older).unwrap();
    let file = file.with("dense_forward", [9, 8, 8], "portable w9");
    let restored = gpu().with_tuning(Tuning::Exactly(file)).unwrap();
    assert_eq!(variants(&restored, 8, 9), variants(gpu(), 8, 9));
}

/// Any variant but the table's, for every layer of a chain's energy.
fn other_than_the_table(rows: usize, width: usize) -> Gpu {
    let mut file = TuningFile::new(gpu().info());
    for (operation, name) in [
        (DenseOperation::Forward, "tiled 64x64"),
        (DenseOperation::InputGradient, "tiled 64x64"),
        (DenseOperation::WeightGradient, "tiled 64x64"),
    ] {
        for shape in [[rows, width, width], [rows, width, 1]] {
            file = file.with(operation.stem(), shape, name);
        }
    }
    gpu().with_tuning(Tuning::Exactly(file)).unwrap()
}

#[test]
fn random_numbers_do_not_depend_on_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (chains, width) = (70, 8);
    // Parameters of zero: the gradient is 0 in every variant, and what the chains hold is their
    // noise alone.
    let model = Model::zeros(gpu(), "energy", network(width)).unwrap();
    let energy = NetworkEnergy::new(model).unwrap();
    let start = vec![0.25; chains * width];
    let sample = |gpu: &Gpu| {
        let dynamics = Dynamics::Langevin(Langevin::default().with_steps(3));
        let options = ChainOptions::default().with_chains(chains).with_dynamics(dynamics).with_seed(7);
        let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
        let result = sampler.sample_from(&[], &start).unwrap();
        (result, sampler.plan().variants().clone())
    };
    let (table, by_table) = sample(gpu());
    let (other, by_other) = sample(&other_than_the_table(chains, width));
    assert_ne!(by_table, by_other);
    assert!(table.iter().any(|v| *v != 0.25));
    assert_eq!(table, other);
    // Initial parameters come from the run alone.
    let fresh = |gpu: &Gpu| {
        let run = RunState::new(gpu, 5).unwrap();
        let model = Model::new(gpu, "energy", network(width), &run).unwrap();
        gpu.read::<f32>(model.parameters()).unwrap()
    };
    assert_eq!(fresh(gpu()), fresh(&other_than_the_table(chains, width)));
}

fn data() -> Dataset {
    let values: Vec<f32> = (0..400).map(|at| (at as f32 * 0.37).sin()).collect();
    let (x, y) = values.split_at(200);
    Dataset::new(x.to_vec(), 1, y.to_vec(), 1).unwrap()
}

fn options() -> TrainOptions {
    let nce = RankingNceOptions::default()
        // Whole networks in one dispatch have no dense layers to choose for.
        .with_fusion(Fusion::Never)
        .with_negatives(15)
        .with_energy(EnergyOptions::default().with_hidden(vec![40, 40]))
        .with_proposal(ProposalOptions::Uniform { low: vec![-2.0], high: vec![2.0] });
    TrainOptions::new(nce).with_batch(32).with_steps(20)
}
