//! Steps that are not finite, and what each step leaves alone.

use gibbs::Error;
use gibbs::math::Normalize;
use gibbs::nn::Schedule;
use gibbs::train::{Dataset, StepRecord, TrainOptions, Trainer};
use tempfile::TempDir;

use super::parts::{assert_same_run, changed, tensors};
use super::runs::{Watch, adam, fresh, gpu, names, nce, pinwheel, run_of, tiny, train};

// -------------------------------------------------------------------------------------------------

#[test]
fn r15_an_energy_step_leaves_the_proposal_alone_and_the_other_way_round() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name);
    let options = run_of(nce().with_warmup(15).with_proposal_updates(0), 30);
    let mut trainer = fresh(&data, &options);
    trainer.save(path("start")).unwrap();
    train(&mut trainer, 15, u64::MAX).unwrap();
    trainer.save(path("warm")).unwrap();
    train(&mut trainer, 30, u64::MAX).unwrap();
    trainer.save(path("end")).unwrap();
    let all: Vec<String> = tensors(&path("start")).into_keys().collect();
    let of = |model: &str| -> Vec<String> {
        all.iter().filter(|name| name.starts_with(&format!("{model}."))).cloned().collect()
    };
    let [energy, proposal] = [of("energy"), of("proposal")];
    assert_eq!(energy.len() + proposal.len(), all.len());
    // Every tensor of the trained model moves, moments, average and count included; none of the
    // other.
    assert_eq!(changed(&path("start"), &path("warm")), proposal);
    assert_eq!(changed(&path("warm"), &path("end")), energy);
}

/// Trains until it fails; what the error says, and the records until then.
fn fails(trainer: &mut Trainer) -> (String, u64, Vec<StepRecord>) {
    let mut watch = Watch::new(|_: &mut Trainer| Ok(()));
    let steps = trainer.options().steps;
    match trainer.train(steps, u64::MAX, &mut watch) {
        Err(Error::NonFinite { metric, step }) => (metric, step, watch.records),
        other => panic!("expected a non-finite value, got {other:?}"),
    }
}

fn assert_finite(what: &str, values: &[f32]) {
    assert!(values.iter().all(|value| value.is_finite()), "{what} are not finite");
    assert!(values.iter().any(|value| *value != 0.0), "{what} are all zero");
}

/// A run whose data overflow at some step, in the proposal's part or in the energy's.
fn explodes(options: TrainOptions, expected: &str) {
    // One row in 300 is too large to square: the first batch that draws it is bad.
    let healthy = pinwheel(300, 1);
    let mut y = healthy.y().to_vec();
    y[400] = 2.0e38;
    let data = Dataset::new(healthy.x().to_vec(), 1, y, 2).unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);

    let mut trainer = fresh(&data, &options);
    let (metric, step, records) = fails(&mut trainer);
    assert_eq!(metric, expected);
    assert!((1..options.steps).contains(&step), "step {step}");
    let seen: Vec<u64> = records.iter().map(|record| record.step).collect();
    assert_eq!(seen, (0..=step).collect::<Vec<_>>(), "records up to the bad step");
    let losses: Vec<f32> = records.iter().filter_map(|record| record.value(expected)).collect();
    let (bad, good) = losses.split_last().unwrap();
    assert_finite("losses before the bad step", good);
    assert!(!bad.is_finite(), "{bad}");
    let parameters: Vec<f32> = gpu().read(trainer.raw_model("energy").unwrap().parameters()).unwrap();
    assert_finite("parameters", &parameters);

    // A file that is there already survives the refusal.
    std::fs::write(path("refused"), b"older").unwrap();
    let refusal = trainer.save(path("refused")).unwrap_err();
    assert!(matches!(&refusal, Error::NonFinite { step: s, .. } if *s == step), "{refusal}");
    assert_eq!(std::fs::read(path("refused")).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["refused"]);

    // The last good weights are those of a run that stops just before.
    assert_eq!(trainer.save_last_good(path("last good")).unwrap(), step);
    let mut shorter = fresh(&data, &options);
    train(&mut shorter, step, u64::MAX).unwrap();
    shorter.save(path("shorter")).unwrap();
    assert_same_run(&path("last good"), &path("shorter"));

    // Going on with the same data meets the same row at the same step.
    let mut resumed = Trainer::resume(gpu(), &data, path("last good")).unwrap();
    assert_eq!(resumed.step(), step);
    let (again_metric, again_step, _) = fails(&mut resumed);
    assert_eq!((again_metric, again_step), (metric, step));
}

#[test]
fn a_proposal_step_that_explodes_stops_the_run_and_keeps_the_weights_before_it() {
    let options = nce().with_action(Normalize::Identity).with_warmup(399);
    explodes(run_of(options, 400), "proposal_loss");
}

#[test]
fn an_energy_step_that_explodes_stops_the_run_and_keeps_the_weights_before_it() {
    let options = nce().with_action(Normalize::Identity).with_warmup(2).with_proposal_updates(0);
    explodes(run_of(options, 400), "energy_loss");
}

#[test]
fn a_learning_rate_that_is_far_too_large_stops_the_run_with_finite_weights() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let mut options = nce();
    options.energy.optimizer = adam(1.0).with_schedule(Schedule::Constant { rate: 1e30 });
    let mut trainer = fresh(&data, &run_of(options, 60));
    let (metric, step, _) = fails(&mut trainer);
    assert!(metric.starts_with("energy_"), "{metric}");
    assert_eq!(step, 1, "the first update moves every weight by 1e30");
    let parameters: Vec<f32> = gpu().read(trainer.raw_model("energy").unwrap().parameters()).unwrap();
    assert_finite("parameters", &parameters);
    let message = trainer.save(folder.path().join("no")).unwrap_err().to_string();
    assert!(message.contains("step 1") && message.contains(&metric), "{message}");
    assert!(names(folder.path()).is_empty());
    let path = folder.path().join("last good");
    assert_eq!(trainer.save_last_good(&path).unwrap(), step);
    assert_eq!(Trainer::resume(gpu(), &data, &path).unwrap().step(), step);
}

#[test]
fn a_good_run_has_no_last_good_weights_to_save() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let mut trainer = fresh(&data, &tiny(3));
    train(&mut trainer, 3, 3).unwrap();
    let error = trainer.save_last_good(folder.path().join("file")).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
    assert!(names(folder.path()).is_empty());
}
