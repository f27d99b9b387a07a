//! Runs that stop and go on, and what decides their bits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gibbs::gpu::{Tuning, TuningFile};
use gibbs::nn::{Encoding, Fourier, LayerNorm, Norms};
use gibbs::train::{EnergyOptions, NetworkShape, StepRecord, TrainOptions, Trainer};
use tempfile::TempDir;

use super::parts::{Parts, assert_same_run, changed, tensors};
use super::runs::{adam, fresh, gpu, nce, pinwheel, run_of, tiny, train, uniform};

// -------------------------------------------------------------------------------------------------

/// `end` steps in one go, against a save and a load after `stop` of them, and against a save
/// without a load.
fn resumes_exactly(options: TrainOptions, stop: u64) {
    let end = options.steps;
    let data = pinwheel(300, 1);
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);

    let mut straight = fresh(&data, &options);
    let mut records = train(&mut straight, end, u64::MAX).unwrap();
    straight.save(path("straight")).unwrap();

    let mut first = fresh(&data, &options);
    let mut resumed_records = train(&mut first, stop, u64::MAX).unwrap();
    first.save(path("stop")).unwrap();
    train(&mut first, end, u64::MAX).unwrap();
    first.save(path("saved in between")).unwrap();
    drop(first);

    let mut second = Trainer::resume(gpu(), &data, path("stop")).unwrap();
    assert_eq!(second.step(), stop);
    assert_eq!(second.options(), &options);
    second.save(path("saved again")).unwrap();
    resumed_records.extend(train(&mut second, end, u64::MAX).unwrap());
    second.save(path("resumed")).unwrap();

    assert_same_run(&path("stop"), &path("saved again"));
    assert_same_run(&path("straight"), &path("saved in between"));
    assert_same_run(&path("straight"), &path("resumed"));
    assert!(!changed(&path("stop"), &path("straight")).is_empty(), "nothing was trained after the stop");
    for record in records.iter_mut().chain(&mut resumed_records) {
        record.steps_per_second = 0.0;
    }
    assert_eq!(records, resumed_records);
}

#[test]
fn a_checkpoint_names_its_kernel_variants_and_one_without_them_loads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.safetensors");
    let data = pinwheel(60, 3);
    let mut trainer = fresh(&data, &tiny(4));
    train(&mut trainer, 2, 2).unwrap();
    trainer.save(&path).unwrap();
    let parts = Parts::read(&path);
    let variants: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_value(parts.description()["machine"]["variants"].clone()).unwrap();
    assert_eq!(variants, trainer.variants());
    assert!(variants.keys().any(|class| class.starts_with("dense_weight_gradient ")), "{variants:?}");
    std::fs::write(
        &path,
        parts.described(|json| drop(json["machine"].as_object_mut().unwrap().remove("variants"))),
    )
    .unwrap();
    let mut resumed = Trainer::resume(gpu(), &data, &path).unwrap();
    train(&mut trainer, 4, 4).unwrap();
    train(&mut resumed, 4, 4).unwrap();
    let other = folder.path().join("other.safetensors");
    trainer.save(&path).unwrap();
    resumed.save(&other).unwrap();
    assert_same_run(&path, &other);
    // Another tuning goes on as well, if not with the same bits.
    let all = trainer.variants().keys().fold(TuningFile::new(gpu().info()), |file, class| {
        let (operation, shape) = class.split_once(' ').unwrap();
        let shape: Vec<usize> = shape.split('x').map(|size| size.parse().unwrap()).collect();
        file.with(operation, shape.try_into().unwrap(), "tiled 64x64")
    });
    let tiled = gpu().with_tuning(Tuning::Exactly(all)).unwrap();
    let resumed = Trainer::resume(&tiled, &data, &path).unwrap();
    assert_eq!(resumed.variants().len(), variants.len());
    assert!(resumed.variants().values().flatten().all(|name| name == "tiled 64x64"));
}

#[test]
fn a_resumed_run_with_a_mixture_has_the_same_bits() {
    resumes_exactly(run_of(nce().with_proposal_updates(2), 40), 20);
}

#[test]
fn a_resumed_run_with_a_uniform_proposal_has_the_same_bits() {
    resumes_exactly(run_of(nce().with_proposal(uniform()).with_energy_updates(2), 40), 20);
}

#[test]
fn a_resumed_run_of_a_residual_network_has_the_same_bits() {
    for shape in [NetworkShape::Residual { blocks: 2 }, NetworkShape::Preactivation { blocks: 2 }] {
        let energy = nce().energy.with_shape(shape).with_hidden(vec![11]);
        let normed = Norms::BeforeActivations(LayerNorm::default());
        for norms in [Norms::None, normed] {
            resumes_exactly(run_of(nce().with_energy(energy.clone().with_norms(norms)), 20), 10);
        }
    }
}

#[test]
fn a_resumed_run_with_fourier_inputs_has_the_same_bits() {
    let energy = nce()
        .energy
        .with_context_encoding(Encoding::Fourier(Fourier::geometric(0.5, 4.0, 3)))
        .with_action_encoding(Encoding::Fourier(Fourier::gaussian(2, 5, 0.4, 1).with_input()));
    resumes_exactly(run_of(nce().with_energy(energy), 20), 10);
}

#[test]
fn a_checkpoint_of_before_networks_had_shapes_goes_on_with_the_same_bits() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name);
    let mut trainer = fresh(&data, &tiny(20));
    train(&mut trainer, 10, u64::MAX).unwrap();
    trainer.save(path("stop")).unwrap();
    let old = Parts::read(&path("stop")).described(|description| {
        let energy = description["options"]["objective"]["energy"].as_object_mut().unwrap();
        for option in ["shape", "norms", "context_encoding", "action_encoding"] {
            assert!(energy.remove(option).is_some(), "no option {option}");
        }
    });
    std::fs::write(path("old"), old).unwrap();
    for (from, to) in [("stop", "new end"), ("old", "old end")] {
        let mut resumed = Trainer::resume(gpu(), &data, path(from)).unwrap();
        train(&mut resumed, 20, u64::MAX).unwrap();
        resumed.save(path(to)).unwrap();
    }
    assert_same_run(&path("new end"), &path("old end"));
}

#[test]
fn a_residual_energy_with_fourier_inputs_learns() {
    let data = pinwheel(2000, 1);
    let energy = EnergyOptions::default()
        .with_shape(NetworkShape::Preactivation { blocks: 1 })
        .with_hidden(vec![24])
        .with_action_encoding(Encoding::Fourier(Fourier::gaussian(2, 6, 0.3, 1)))
        .with_optimizer(adam(1e-2));
    let options = nce().with_energy(energy).with_proposal(uniform()).with_negatives(15);
    let options = run_of(options, 150).with_batch(32);
    let records = train(&mut fresh(&data, &options), 150, u64::MAX).unwrap();
    let mean = |records: &[StepRecord]| -> f32 {
        records.iter().filter_map(|record| record.value("energy_loss")).sum::<f32>() / records.len() as f32
    };
    let (early, late) = (mean(&records[..20]), mean(&records[130..]));
    assert!(late < early - 0.3, "the loss went from {early} to {late}");
}

#[test]
fn a_run_resumed_within_its_warm_up_has_the_same_bits() {
    resumes_exactly(run_of(nce().with_warmup(30), 40), 20);
}

#[test]
fn a_run_resumed_at_its_end_does_nothing_more() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let [end, again] = ["end", "again"].map(|name| folder.path().join(name));
    let mut trainer = fresh(&data, &tiny(6));
    train(&mut trainer, 6, 4).unwrap();
    trainer.save(&end).unwrap();
    let mut resumed = Trainer::resume(gpu(), &data, &end).unwrap();
    assert_eq!(train(&mut resumed, 100, 4).unwrap(), []);
    resumed.save(&again).unwrap();
    assert_same_run(&end, &again);
}

#[test]
fn the_seed_and_nothing_else_decides_the_bits() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let run = |name: &str, options: TrainOptions, every: u64| -> PathBuf {
        let path = folder.path().join(name);
        let mut trainer = fresh(&data, &options);
        train(&mut trainer, 30, every).unwrap();
        trainer.save(&path).unwrap();
        path
    };
    let seed = tiny(30).seed;
    let one = run("one", tiny(30), u64::MAX);
    assert_same_run(&one, &run("twice", tiny(30), u64::MAX));
    // The host's chunks: one step at a time, and stops at odd places.
    assert_same_run(&one, &run("single steps", tiny(30), 1));
    assert_same_run(&one, &run("sevens", tiny(30), 7));
    for other_seed in [seed ^ 1, seed ^ (1 << 40)] {
        let other = run("other", tiny(30).with_seed(other_seed), u64::MAX);
        let (same, all) = (changed(&one, &other), tensors(&one));
        // The counts of steps are all that may agree.
        assert_eq!(same.len() + 2, all.len(), "seed {other_seed:#x}");
    }
}
