//! What the host does between two evaluations.

use std::time::Duration;

use gibbs::gpu::{Counters, PlanTiming};
use gibbs::loss::RankingObjective;
use gibbs::nn::{Activation, AdamOptions, Fusion};
use gibbs::train::{EnergyOptions, ProposalOptions, RankingNceOptions, StepRecord, TrainOptions, Trainer};

use super::runs::{Watch, adam, fresh, nce, pinwheel, run_of, train, uniform};
use crate::common;

#[test]
fn between_two_evaluations_the_host_only_submits() {
    // Counters belong to a context: one of its own, for other tests run at the same time.
    let gpu = common::lavapipe().reopen(false);
    let data = pinwheel(300, 1);
    for proposal in [nce().proposal, uniform()] {
        let warmup = if proposal == uniform() { 0 } else { 150 };
        let options = run_of(nce().with_warmup(warmup).with_proposal(proposal), 700);
        let mut trainer = Trainer::new(&gpu, &data, options).unwrap();
        let mut since = gpu.counters();
        let mut periods: Vec<Counters> = Vec::new();
        let mut watch = Watch::new(|trainer: &mut Trainer| {
            periods.push(trainer.gpu().counters() - since);
            // What an evaluation does is counted, so that zeros between evaluations mean something.
            let before = trainer.gpu().counters();
            let parameters: Vec<f32> = trainer.gpu().read(trainer.raw_model("energy")?.parameters())?;
            trainer.raw_model("energy")?.parameters().write(trainer.gpu(), &parameters)?;
            since = trainer.gpu().counters();
            let own = since - before;
            assert_eq!((own.blocking_readbacks, own.host_writes, own.buffers), (1, 1, 1));
            Ok(())
        });
        trainer.train(700, 175, &mut watch).unwrap();
        assert_eq!(periods.len(), 4);
        for period in periods {
            eprintln!("{period:?}");
            assert!(period.submits > 0);
            assert!(period.dispatches >= 175);
            assert_eq!(period.blocking_readbacks, 0);
            assert_eq!(period.host_writes, 0);
            assert_eq!(period.bind_groups, 0);
            assert_eq!(period.pipelines, 0);
            // At most one copy of the metrics per submit, and one staging buffer per copy.
            assert!((1..=period.submits).contains(&period.async_readbacks));
            assert!(period.buffers <= period.async_readbacks);
        }
    }
}

#[test]
fn dispatches_and_host_time_of_a_training_step() {
    // A device of its own: submits of one device wait for each other.
    let gpu = common::lavapipe().reopen(false);
    let data = pinwheel(1000, 1);
    for (name, proposal) in
        [("mixture", ProposalOptions::default()), ("gaussian", gaussian()), ("uniform", uniform())]
    {
        let nce = RankingNceOptions::default().with_proposal(proposal);
        let options = TrainOptions::new(nce).with_steps(1000);
        let trainer = Trainer::new(&gpu, &data, options).unwrap();
        let plan = trainer.plan();
        plan.run_timed(1).unwrap();
        let times = 3;
        let timings = [(); 3].map(|()| plan.run_timed(times).unwrap());
        let least = |of: fn(&PlanTiming) -> Duration| -> f64 {
            timings.iter().map(|t| of(t).as_secs_f64()).fold(f64::INFINITY, f64::min) / times as f64
        };
        common::say(&format!(
            "training step, {name} proposal: {} dispatches, {:.0} us of host time, {:.1} ms in all",
            plan.dispatches(),
            1e6 * least(|timing| timing.host),
            1e3 * least(|timing| timing.wall),
        ));
        assert!(plan.dispatches() < 100, "{} dispatches", plan.dispatches());
    }
}

/// Runs of narrow networks, with and without the kernels that hold them whole.
fn narrow(fusion: Fusion, proposal: ProposalOptions) -> RankingNceOptions {
    let energy = EnergyOptions::default()
        .with_hidden(vec![64, 64])
        .with_activation(Activation::Silu)
        .with_optimizer(adam(3e-3));
    RankingNceOptions::default()
        .with_negatives(15)
        .with_proposal_updates(0)
        .with_energy(energy)
        .with_proposal(proposal)
        .with_fusion(fusion)
}

fn narrow_run(options: RankingNceOptions, batch: usize, steps: u64) -> TrainOptions {
    TrainOptions::new(options).with_batch(batch).with_steps(steps).with_seed(11)
}

fn gaussian() -> ProposalOptions {
    ProposalOptions::Mixture { components: 1, hidden: vec![128], optimizer: AdamOptions::default() }
}

#[test]
fn a_step_of_a_narrow_network_takes_six_dispatches() {
    let gpu = common::lavapipe().reopen(false);
    let data = pinwheel(1000, 1);
    for (name, proposal) in [("gaussian", gaussian()), ("uniform", uniform())] {
        for fusion in [Fusion::Auto, Fusion::Never] {
            let options = narrow_run(narrow(fusion, proposal.clone()), 16, 1_000_000);
            let trainer = Trainer::new(&gpu, &data, options).unwrap();
            let plan = trainer.plan();
            plan.run_timed(10).unwrap();
            let times = 40;
            let timings = [(); 3].map(|()| plan.run_timed(times).unwrap());
            let least = |of: fn(&PlanTiming) -> Duration| -> f64 {
                timings.iter().map(|t| of(t).as_secs_f64()).fold(f64::INFINITY, f64::min) / times as f64
            };
            common::say(&format!(
                "tiny step, {name} proposal, {fusion:?}: {} dispatches, {:.1} us of host time, {:.0} us in all",
                plan.dispatches(),
                1e6 * least(|timing| timing.host),
                1e6 * least(|timing| timing.wall),
            ));
            match fusion {
                Fusion::Auto | Fusion::Always => assert!(plan.dispatches() <= 6, "{}", trainer.description()),
                Fusion::Never => assert!(plan.dispatches() > 15, "{}", trainer.description()),
            }
        }
    }
}

/// The same draws, nearly the same sums: the first step agrees to rounding, a run of some hundred
/// in what it learns.
#[test]
fn whole_network_kernels_train_as_layers_do() {
    let data = pinwheel(300, 1);
    let proposals =
        [gaussian(), ProposalOptions::Mixture { components: 3, hidden: vec![10], optimizer: adam(2e-3) }];
    for (objective, proposal, updates) in [
        (RankingObjective::Rnce, proposals[0].clone(), 0),
        (RankingObjective::InfoNce, proposals[1].clone(), 1),
        (RankingObjective::Rnce, uniform(), 0),
    ] {
        let records = [Fusion::Auto, Fusion::Never].map(|fusion| {
            let options = narrow(fusion, proposal.clone());
            let options = options.with_loss(objective).with_proposal_updates(updates);
            let options = narrow_run(options, 33, 400);
            train(&mut fresh(&data, &options), 400, u64::MAX).unwrap()
        });
        let [whole, layers] = &records;
        let near = |a: Option<f32>, b: Option<f32>| {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{a} and {b}");
        };
        near(whole[0].value("energy_loss"), layers[0].value("energy_loss"));
        near(whole[0].value("ess"), layers[0].value("ess"));
        near(whole[0].value("energy_gradient_norm"), layers[0].value("energy_gradient_norm"));
        let last = |records: &[StepRecord]| {
            let losses = records[300..].iter().map(|record| f64::from(record.value("energy_loss").unwrap()));
            losses.sum::<f64>() / 100.0
        };
        let first = f64::from(layers[0].value("energy_loss").unwrap());
        let (a, b) = (last(whole), last(layers));
        assert!((a - b).abs() < 0.03 && a < first, "losses {first}, then {a} and {b}");
    }
}
