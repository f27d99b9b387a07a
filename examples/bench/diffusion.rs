//! Energy-guided diffusion: training intermediate energies, and sampling guided by one.

use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergyNetwork, SamplingOptions, ScoreNetwork, SolverOptions,
};
use gibbs::gpu::RunState;
use gibbs::loss::{IntermediateEnergyLoss, Labels};
use gibbs::nn::{ACTION, Activation, CONTEXT, Input, Layer, Model, Network};
use gibbs::tasks::toy::published;
use gibbs::train::{Dataset, IntermediateEnergyOptions, TrainOptions, Trainer};
use gibbs::{Gpu, Result};

use crate::workloads::fill;

/// Contrastive training of an intermediate energy, labels normalized.
#[derive(Clone, Debug)]
pub struct Contrast {
    pub network: Network,
    /// Rows of the data per step.
    pub rows: usize,
    /// Samples of such a row: a group, or 1 where all rows of a step are one group.
    pub support: usize,
    /// Numbers of a row's context and of a sample.
    pub widths: (usize, usize),
    /// First time to train on.
    pub first_time: f64,
}

impl Contrast {
    /// One group of 2048 points of the plane.
    pub fn toy() -> Self {
        Self { network: published::energy(), rows: 2048, support: 1, widths: (0, 2), first_time: 1e-5 }
    }

    /// 256 states with 16 actions each.
    pub fn policy() -> Self {
        let (states, actions) = (17, 6);
        let time = published::time().embedded(vec![Layer::dense(32, Activation::Identity)]);
        let inputs = vec![Input::new(ACTION, actions), time, Input::new(CONTEXT, states)];
        Self {
            network: Network::mlp(inputs, &[256; 4], Activation::Silu, 1),
            rows: 256,
            support: 16,
            widths: (states, actions),
            first_time: 1e-3,
        }
    }

    /// What a row is.
    pub fn rows_are(&self) -> &'static str {
        if self.support == 1 { "samples" } else { "states" }
    }

    /// 6 operations per multiply-add of the network.
    pub fn flops_per_step(&self, rows: usize) -> f64 {
        6.0 * (rows * self.support) as f64 * self.network.multiply_adds() as f64
    }

    /// The trainer of the library, with parameters as they are before the first step.
    pub fn build(&self, gpu: &Gpu, rows: usize) -> Result<(Trainer, Vec<f32>)> {
        let (state, action) = self.widths;
        let data = Dataset::grouped(fill(state), state, fill(self.support * action), action, self.support)?
            .with_energies(fill(self.support))?;
        let labels = Labels::Normalized;
        let energy = IntermediateEnergyOptions::new(self.network.clone(), 3.0)
            .with_loss(IntermediateEnergyLoss::Contrastive { labels })
            .with_group(if self.support == 1 { rows } else { self.support })
            .with_times([self.first_time, 1.0]);
        let options = TrainOptions::new(energy).with_batch(rows).with_steps(1_000_000);
        let trainer = Trainer::new(gpu, &data, options)?;
        let initial = gpu.read(trainer.raw_model("energy")?.parameters())?;
        Ok((trainer, initial))
    }
}

/// Samples in the plane, led by an energy.
#[derive(Clone, Debug)]
pub struct Guided {
    pub score: Network,
    pub energy: Network,
    pub samples: usize,
    pub evaluations: usize,
}

impl Guided {
    pub fn toy() -> Self {
        Self { score: published::score(), energy: published::energy(), samples: 4096, evaluations: 15 }
    }

    /// Of one evaluation: the score forward, the energy forward and backward to its input.
    pub fn flops_per_step(&self, samples: usize) -> f64 {
        let of_sample = 2.0 * self.score.multiply_adds() as f64 + 4.0 * self.energy.multiply_adds() as f64;
        samples as f64 * of_sample
    }

    /// A sampler with networks that were not trained: one plan over all evaluations.
    pub fn build(&self, gpu: &Gpu, samples: usize, evaluations: usize) -> Result<DiffusionSampler> {
        let run = RunState::new(gpu, 1)?;
        let score = ScoreNetwork::new(Model::new(gpu, "score", self.score.clone(), &run)?)?;
        let energy = IntermediateEnergyNetwork::new(Model::new(gpu, "energy", self.energy.clone(), &run)?)?;
        let options = SamplingOptions::default()
            .with_solver(SolverOptions::default().with_evaluations(evaluations))
            .with_samples(samples);
        DiffusionSampler::new(gpu, &score, Guidance::Intermediate(&energy), &options)
    }
}
