//! Runs that are asked to stop, and runs that become longer.

use gibbs::Error;
use gibbs::nn::{AdamOptions, Schedule};
use gibbs::train::{ProposalOptions, RunDescription, StopFlag, TrainOptions, Trainer};
use tempfile::TempDir;

use super::parts::{assert_same_run, changed};
use super::runs::{Watch, adam, fresh, gpu, nce, pinwheel, run_of, tiny, train};

#[track_caller]
fn stopped(outcome: gibbs::Result<()>, at: u64) {
    let error = outcome.expect_err("nothing stopped the run");
    assert!(matches!(error, Error::Stopped { step } if step == at), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("step {at}")) && text.contains("resume"), "{text}");
}

#[test]
fn a_run_that_is_asked_to_stop_stops_and_goes_on_with_the_same_bits() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name);
    let mut straight = fresh(&data, &tiny(20));
    let mut expected = train(&mut straight, 20, u64::MAX).unwrap();
    straight.save(path("straight")).unwrap();

    let flag = StopFlag::new();
    let mut trainer = fresh(&data, &tiny(20));
    trainer.set_stop_flag(&flag);
    let (mut evaluated, other_end) = (Vec::new(), flag.clone());
    let mut watch = Watch::new(|trainer: &mut Trainer| {
        evaluated.push(trainer.step());
        if trainer.step() == 8 {
            other_end.raise();
        }
        Ok(())
    });
    stopped(trainer.train(20, 4, &mut watch), 8);
    // It stays raised.
    stopped(trainer.train(20, 4, &mut watch), 8);
    assert_eq!(watch.records.len(), 8, "records of steps that were done are missing");
    trainer.save(path("stop")).unwrap();
    flag.lower();
    trainer.train(20, 4, &mut watch).unwrap();
    let mut records = watch.records;
    // The end is no place to stop at.
    flag.raise();
    trainer.train(20, 4, &mut ()).unwrap();
    trainer.save(path("end")).unwrap();
    assert_eq!(evaluated, [4, 8, 12, 16, 20]);

    let mut resumed = Trainer::resume(gpu(), &data, path("stop")).unwrap();
    train(&mut resumed, 20, u64::MAX).unwrap();
    resumed.save(path("resumed")).unwrap();
    for record in records.iter_mut().chain(&mut expected) {
        record.steps_per_second = 0.0;
    }
    assert_eq!(records, expected);
    assert_same_run(&path("straight"), &path("end"));
    assert_same_run(&path("straight"), &path("resumed"));
}

#[test]
fn a_run_that_is_asked_before_its_first_step_takes_none() {
    let (data, flag) = (pinwheel(300, 1), StopFlag::new());
    let mut trainer = fresh(&data, &tiny(4));
    trainer.set_stop_flag(&flag);
    flag.raise();
    stopped(trainer.train(4, 4, &mut ()), 0);
    flag.lower();
    trainer.train(4, 4, &mut ()).unwrap();
}

/// A run of some steps at a rate that does not depend on their number, or falls with them.
fn options(steps: u64, falling: bool) -> TrainOptions {
    let optimizer = |rate| match falling {
        true => adam(rate),
        false => {
            AdamOptions::default().with_schedule(Schedule::Step { rate, warmup: 5, every: 7, factor: 0.5 })
        }
    };
    let energy = nce().energy.with_optimizer(optimizer(3e-3));
    let proposal = ProposalOptions::Mixture { components: 3, hidden: vec![10], optimizer: optimizer(2e-3) };
    run_of(nce().with_energy(energy).with_proposal(proposal), steps)
}

#[test]
fn a_finished_run_goes_on_for_longer() {
    let (data, folder) = (pinwheel(300, 1), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name);
    for falling in [false, true] {
        let mut short = fresh(&data, &options(12, falling));
        train(&mut short, 12, u64::MAX).unwrap();
        short.save(path("short")).unwrap();
        let mut longer = Trainer::resume_to(gpu(), &data, path("short"), 24).unwrap();
        assert_eq!((longer.step(), longer.options().steps), (12, 24));
        let records = train(&mut longer, 24, u64::MAX).unwrap();
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), Vec::from_iter(12..24));
        longer.save(path("longer")).unwrap();
        let found = RunDescription::read(path("longer")).unwrap();
        assert_eq!((found.step, found.options.steps), (24, 24));
        let mut straight = fresh(&data, &options(24, falling));
        train(&mut straight, 24, u64::MAX).unwrap();
        straight.save(path("straight")).unwrap();
        if falling {
            // The first half fell to the end of a shorter run.
            assert!(!changed(&path("straight"), &path("longer")).is_empty());
        } else {
            assert_same_run(&path("straight"), &path("longer"));
        }
    }
    // Shorter than it was to be, and shorter than it is.
    let mut run = fresh(&data, &tiny(12));
    train(&mut run, 6, u64::MAX).unwrap();
    run.save(path("run")).unwrap();
    let mut shorter = Trainer::resume_to(gpu(), &data, path("run"), 8).unwrap();
    assert_eq!(train(&mut shorter, 100, u64::MAX).unwrap().len(), 2);
    let error = Trainer::resume_to(gpu(), &data, path("run"), 5).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    assert!(text.contains("are 5") && text.contains("has done 6"), "{text}");
}
