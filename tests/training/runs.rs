//! Runs that are short enough for tests.

use std::path::Path;

use gibbs::nn::{Activation, AdamOptions, Schedule};
use gibbs::tasks::density::Density;
use gibbs::train::{Dataset, EnergyOptions, Observer, ProposalOptions, RnceOptions, RnceTrainer, StepRecord};
use gibbs::{Gpu, Result};

use super::common;

pub fn gpu() -> &'static Gpu {
    &common::lavapipe().gpu
}

/// Keeps the records and calls a function at every evaluation.
pub struct Watch<F> {
    pub records: Vec<StepRecord>,
    pub evaluate: F,
}

impl<F: FnMut(&mut RnceTrainer) -> Result<()>> Watch<F> {
    pub fn new(evaluate: F) -> Self {
        Self { records: Vec::new(), evaluate }
    }
}

impl<F: FnMut(&mut RnceTrainer) -> Result<()>> Observer for Watch<F> {
    fn records(&mut self, records: &[StepRecord]) {
        self.records.extend_from_slice(records);
    }

    fn evaluate(&mut self, trainer: &mut RnceTrainer) -> Result<()> {
        (self.evaluate)(trainer)
    }
}

/// Trains up to a step and returns the records.
pub fn train(trainer: &mut RnceTrainer, until: u64, every: u64) -> Result<Vec<StepRecord>> {
    let mut watch = Watch::new(|_: &mut RnceTrainer| Ok(()));
    trainer.train(until, every, &mut watch)?;
    Ok(watch.records)
}

pub fn pinwheel(rows: usize, seed: u64) -> Dataset {
    let (x, y) = Density::Pinwheel.samples(rows, seed);
    Dataset::new(x, 1, y.into_flattened(), 2).unwrap()
}

pub fn adam(rate: f64) -> AdamOptions {
    AdamOptions {
        schedule: Schedule::Cosine { rate, warmup: 5, floor: 0.1 },
        weight_decay: 1e-3,
        max_norm: 1.0,
        average_decay: 0.9,
        ..AdamOptions::default()
    }
}

/// A run of a few milliseconds per step.
pub fn tiny(steps: u64) -> RnceOptions {
    RnceOptions {
        negatives: 7,
        batch: 17,
        steps,
        energy: EnergyOptions {
            hidden: vec![12, 9],
            activation: Activation::Silu,
            optimiser: adam(3e-3),
            ..EnergyOptions::default()
        },
        proposal: ProposalOptions::Mixture { components: 3, hidden: vec![10], optimiser: adam(2e-3) },
        // Both halves of the seed count.
        seed: 0xdead_beef_0123_4567,
        ..RnceOptions::default()
    }
}

pub fn uniform() -> ProposalOptions {
    ProposalOptions::Uniform { low: vec![-6.0; 2], high: vec![6.0; 2] }
}

pub fn fresh(data: &Dataset, options: &RnceOptions) -> RnceTrainer {
    RnceTrainer::new(gpu(), data, options.clone()).unwrap()
}

pub fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
