//! Runs that are short enough for tests.

use std::path::Path;

use gibbs::nn::{Activation, AdamOptions, Schedule};
use gibbs::tasks::density::Density;
use gibbs::train::{
    Dataset, EnergyOptions, Observer, ProposalOptions, RankingNceOptions, StepRecord, TrainOptions, Trainer,
};
use gibbs::{Gpu, Result};

use crate::common;

pub fn gpu() -> &'static Gpu {
    &common::lavapipe().gpu
}

/// Keeps the records and calls a function at every evaluation.
pub struct Watch<F> {
    pub records: Vec<StepRecord>,
    pub evaluate: F,
}

impl<F: FnMut(&mut Trainer) -> Result<()>> Watch<F> {
    pub fn new(evaluate: F) -> Self {
        Self { records: Vec::new(), evaluate }
    }
}

impl<F: FnMut(&mut Trainer) -> Result<()>> Observer for Watch<F> {
    fn records(&mut self, records: &[StepRecord]) {
        self.records.extend_from_slice(records);
    }

    fn evaluate(&mut self, trainer: &mut Trainer) -> Result<()> {
        (self.evaluate)(trainer)
    }
}

/// Trains up to a step and returns the records.
pub fn train(trainer: &mut Trainer, until: u64, every: u64) -> Result<Vec<StepRecord>> {
    let mut watch = Watch::new(|_: &mut Trainer| Ok(()));
    trainer.train(until, every, &mut watch)?;
    Ok(watch.records)
}

pub fn pinwheel(rows: usize, seed: u64) -> Dataset {
    let (x, y) = Density::Pinwheel.samples(rows, seed);
    Dataset::new(x, 1, y.into_flattened(), 2).unwrap()
}

pub fn adam(rate: f64) -> AdamOptions {
    AdamOptions::default()
        .with_schedule(Schedule::Cosine { rate, warmup: 5, floor: 0.1 })
        .with_weight_decay(1e-3)
        .with_max_norm(1.0)
        .with_average_decay(0.9)
}

/// Ranking NCE of a few milliseconds per step.
pub fn nce() -> RankingNceOptions {
    let energy = EnergyOptions::default()
        .with_hidden(vec![12, 9])
        .with_activation(Activation::Silu)
        .with_optimizer(adam(3e-3));
    let proposal = ProposalOptions::Mixture { components: 3, hidden: vec![10], optimizer: adam(2e-3) };
    RankingNceOptions::default().with_negatives(7).with_energy(energy).with_proposal(proposal)
}

/// A run of it.
pub fn run_of(options: RankingNceOptions, steps: u64) -> TrainOptions {
    // Both halves of the seed count.
    TrainOptions::new(options).with_batch(17).with_steps(steps).with_seed(0xdead_beef_0123_4567)
}

pub fn tiny(steps: u64) -> TrainOptions {
    run_of(nce(), steps)
}

pub fn uniform() -> ProposalOptions {
    ProposalOptions::Uniform { low: vec![-6.0; 2], high: vec![6.0; 2] }
}

pub fn fresh(data: &Dataset, options: &TrainOptions) -> Trainer {
    Trainer::new(gpu(), data, options.clone()).unwrap()
}

pub fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
