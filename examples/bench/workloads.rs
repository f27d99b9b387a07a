//! The workloads, by name.

use gibbs::gpu::{Plan, Recording, RunState};
use gibbs::nn::AdamOptions;
use gibbs::train::{Dataset, EnergyOptions, Normalise, ProposalOptions, RnceOptions, RnceTrainer};
use gibbs::{Error, Gpu, Result};

/// Every workload.
pub const NAMES: [&str; 2] = ["rnce-small", "control"];

/// A step to replay.
pub enum Workload {
    Training { trainer: Box<RnceTrainer>, nominal_flops: f64 },
    Control { plan: Box<Plan> },
}

impl Workload {
    pub fn build(gpu: &Gpu, name: &str) -> Result<Self> {
        match name {
            "rnce-small" => Self::rnce(gpu, 128, 63, (2, 2), &[128; 3]),
            "control" => {
                let run = RunState::new(gpu, 0)?;
                let mut recording = Recording::new("control");
                RunState::record_advance(&mut recording)?;
                Ok(Self::Control { plan: Box::new(recording.compile(gpu, &run.bindings())?) })
            }
            _ => Err(Error::Unsupported {
                operation: format!("workload `{name}`"),
                reason: "there is no such workload".into(),
                hint: format!("choose one of {}", NAMES.join(", ")),
            }),
        }
    }

    /// A whole R-NCE step with a frozen diagonal Gaussian proposal of one hidden layer of 128: batch, draws, densities,
    /// forward, loss, backward, Adam.
    fn rnce(
        gpu: &Gpu,
        contexts: usize,
        negatives: usize,
        (x_width, y_width): (usize, usize),
        hidden: &[usize],
    ) -> Result<Self> {
        // Smooth, asymmetric data; the time of a step does not depend on it.
        let wave = |row: usize, column: usize| ((row * 7 + column * 13) as f32 * 0.37).sin();
        let rows = 4096;
        let fill = |width: usize| (0..rows * width).map(|at| wave(at / width, at % width)).collect();
        let data = Dataset::new(fill(x_width), x_width, fill(y_width), y_width)?;
        let options = RnceOptions {
            negatives,
            batch: contexts,
            steps: 100_000,
            proposal_updates: 0,
            action: Normalise::Standard { deviation: 1.0 },
            energy: EnergyOptions { hidden: hidden.to_vec(), ..EnergyOptions::default() },
            proposal: ProposalOptions::Mixture {
                components: 1,
                hidden: vec![128],
                optimiser: AdamOptions::default(),
            },
            ..RnceOptions::default()
        };
        let trainer = Box::new(RnceTrainer::new(gpu, &data, options)?);
        let multiply_adds = trainer.energy().model().network().multiply_adds();
        let nominal_flops = 6.0 * (contexts * (negatives + 1)) as f64 * multiply_adds as f64;
        Ok(Self::Training { trainer, nominal_flops })
    }

    pub fn plan(&self) -> &Plan {
        match self {
            Workload::Training { trainer, .. } => trainer.plan(),
            Workload::Control { plan } => plan,
        }
    }

    pub fn nominal_flops(&self) -> f64 {
        match self {
            Workload::Training { nominal_flops, .. } => *nominal_flops,
            Workload::Control { .. } => 0.0,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Workload::Training { trainer, .. } => trainer.description().to_owned(),
            Workload::Control { .. } => "control: one tiny dispatch\n".into(),
        }
    }
}
