//! The workloads, by name.

use gibbs::diffusion::DiffusionSampler;
use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{Plan, Recording, RunState};
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin};
use gibbs::nn::{ACTION, Activation, AdamOptions, Input, Model, Network};
use gibbs::testing::data;
use gibbs::train::{
    Dataset, EnergyOptions, NetworkShape, ProposalOptions, RankingNceOptions, TrainOptions, Trainer,
};
use gibbs::{Gpu, Result};

use crate::Failure;
use crate::diffusion::{Contrast, Guided};
use crate::gemm::{self, Gemm};

/// What is measured, and what it is.
pub const LIST: [(&str, &str); 20] = [
    ("gemm-2048x256x256", "one dense layer forward: rows x outputs x inputs"),
    ("gemm-2048x256x256/inputs", "its gradient to the inputs"),
    ("gemm-2048x256x256/weights", "its gradient to the weights"),
    ("gemm-8192x1024x1024", "the same, larger"),
    ("gemm-8192x1024x1024/inputs", ""),
    ("gemm-8192x1024x1024/weights", ""),
    ("gemm-65536x128x128", "the same, tall"),
    ("gemm-65536x128x128/inputs", ""),
    ("gemm-65536x128x128/weights", ""),
    (
        "rnce-small",
        "training: 128 contexts of 2, 63 negatives, actions of 2, 3x128 SiLU, frozen Gaussian proposal",
    ),
    ("rnce-wide", "training: 256 contexts of 40, 32 negatives, actions of 32, 4x1024 ReLU, same proposal"),
    (
        "ibc-push",
        "training: 512 contexts of 10, 256 uniform negatives, actions of 2, 8 pre-activation blocks of 128",
    ),
    ("tiny", "training: 16 contexts of 2, 15 negatives, actions of 2, 2x64 SiLU: overhead alone"),
    ("langevin-small", "4096 chains, 100 steps, 3x128 SiLU, 4 inputs; figures per step of a chain"),
    ("ibc-langevin", "4096 chains, 100 steps, 8x512 ReLU, 32 inputs; figures per step of a chain"),
    ("cep-toy", "training: an intermediate energy, one group of 2048 contrasted, 2 + 32 inputs, 4x512 SiLU"),
    ("qgpo-energy", "training: the same, groups of 16 actions of 256 states, 6 + 32 + 17 inputs, 4x256 SiLU"),
    ("guided-sampling", "4096 samples, 15 evaluations, score 5x512 and energy 4x512; figures per evaluation"),
    ("control", "a plan of one tiny dispatch: what a replay costs at least"),
    ("curves", "ms per rnce-small step over 1 to 1023 negatives and over batches of 64 to 65536 contexts"),
];

/// How much of a workload is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows of a product, of a batch, or chains, or samples.
    pub rows: usize,
    /// Steps of each chain, evaluations of each sample; 1 for the rest.
    pub steps: usize,
}

impl Size {
    /// About `1 / factor` of it: fewer steps first, since they repeat each other, then fewer rows.
    pub fn reduced(self, factor: usize) -> Self {
        let steps = (self.steps / factor).max(1);
        let left = factor * steps / self.steps.max(1);
        Self { steps, rows: (self.rows / left.max(1)).max(1) }
    }
}

/// A workload that nothing was made of yet.
#[derive(Clone, Debug)]
pub enum Description {
    Gemm(Gemm),
    Training(Box<Training>),
    Chains { network: Network, chains: usize, steps: usize },
    Contrast(Box<Contrast>),
    Guided(Box<Guided>),
    Control,
}

/// R-NCE steps with a proposal that is not trained.
#[derive(Clone, Debug)]
pub struct Training {
    pub nce: RankingNceOptions,
    /// Contexts per step.
    pub batch: usize,
    pub widths: (usize, usize),
}

/// The frozen proposal of most workloads: a conditional diagonal Gaussian from one hidden layer of
/// 128.
fn gaussian() -> ProposalOptions {
    ProposalOptions::Mixture { components: 1, hidden: vec![128], optimizer: AdamOptions::default() }
}

fn training(
    batch: usize,
    negatives: usize,
    widths: (usize, usize),
    energy: EnergyOptions,
    proposal: ProposalOptions,
) -> Description {
    let nce = RankingNceOptions::default()
        .with_negatives(negatives)
        .with_proposal_updates(0)
        .with_energy(energy)
        .with_proposal(proposal);
    Description::Training(Box::new(Training { nce, batch, widths }))
}

/// `rnce-small` with other numbers of contexts and negatives.
pub fn small(batch: usize, negatives: usize) -> Description {
    training(batch, negatives, (2, 2), EnergyOptions::default(), gaussian())
}

impl Description {
    /// The workload of a name; none for `curves`, which is many.
    pub fn of(name: &str) -> Option<Self> {
        let plain = |hidden: Vec<usize>, activation| {
            EnergyOptions::default().with_hidden(hidden).with_activation(activation)
        };
        let chains = |inputs, hidden: &[usize], activation| Self::Chains {
            network: Network::mlp(vec![Input::new(ACTION, inputs)], hidden, activation, 1),
            chains: 4096,
            steps: 100,
        };
        Some(match name {
            "rnce-small" => small(128, 63),
            "rnce-wide" => training(256, 32, (40, 32), plain(vec![1024; 4], Activation::Relu), gaussian()),
            "ibc-push" => {
                let energy =
                    plain(vec![128], Activation::Relu).with_shape(NetworkShape::Preactivation { blocks: 8 });
                let uniform = ProposalOptions::Uniform { low: vec![-1.25; 2], high: vec![1.25; 2] };
                training(512, 256, (10, 2), energy, uniform)
            }
            "tiny" => training(16, 15, (2, 2), plain(vec![64; 2], Activation::Silu), gaussian()),
            "langevin-small" => chains(4, &[128; 3], Activation::Silu),
            "ibc-langevin" => chains(32, &[512; 8], Activation::Relu),
            "cep-toy" => Self::Contrast(Box::new(Contrast::toy())),
            "qgpo-energy" => Self::Contrast(Box::new(Contrast::policy())),
            "guided-sampling" => Self::Guided(Box::new(Guided::toy())),
            "control" => Self::Control,
            _ => Self::Gemm(gemm::parse(name)?),
        })
    }

    /// All of it.
    pub fn size(&self) -> Size {
        match self {
            Self::Gemm(gemm) => Size { rows: gemm.rows, steps: 1 },
            Self::Training(training) => Size { rows: training.batch, steps: 1 },
            Self::Chains { chains, steps, .. } => Size { rows: *chains, steps: *steps },
            Self::Contrast(contrast) => Size { rows: contrast.rows, steps: 1 },
            Self::Guided(guided) => Size { rows: guided.samples, steps: guided.evaluations },
            Self::Control => Size { rows: 1, steps: 1 },
        }
    }

    /// What `size.rows` counts.
    pub fn rows_are(&self) -> &'static str {
        match self {
            Self::Training(_) => "contexts",
            Self::Chains { .. } => "chains",
            Self::Contrast(contrast) => contrast.rows_are(),
            Self::Guided(_) => "samples",
            Self::Gemm(_) | Self::Control => "rows",
        }
    }

    /// Nominal operations of one step: 2 per multiply-add of a product, 4 for an input gradient, 6
    /// for training.
    pub fn flops_per_step(&self, size: Size) -> Result<f64> {
        Ok(match self {
            Self::Gemm(gemm) => Gemm { rows: size.rows, ..*gemm }.nominal_flops(),
            Self::Training(training) => {
                let (x, y) = training.widths;
                let normalizer = gibbs::nn::Normalizer::identity;
                let network = training.nce.energy.network(Some(normalizer(x)), normalizer(y))?;
                let rows = size.rows * (training.nce.negatives + 1);
                6.0 * rows as f64 * network.multiply_adds() as f64
            }
            Self::Chains { network, .. } => 4.0 * size.rows as f64 * network.multiply_adds() as f64,
            Self::Contrast(contrast) => contrast.flops_per_step(size.rows),
            Self::Guided(guided) => guided.flops_per_step(size.rows),
            Self::Control => 0.0,
        })
    }

    /// Compiles the workload in some size.
    ///
    /// # Errors
    /// What the device refuses; for a product, a wrong result.
    pub fn build(&self, gpu: &Gpu, size: Size) -> Result<Workload, Failure> {
        Ok(match self {
            Self::Gemm(gemm) => {
                let (plan, description) = Gemm { rows: size.rows, ..*gemm }.build(gpu)?;
                Workload::Plan { plan: Box::new(plan), description }
            }
            Self::Training(training) => {
                let options =
                    TrainOptions::new(training.nce.clone()).with_batch(size.rows).with_steps(1_000_000);
                Workload::Training(Box::new(Trainer::new(gpu, &waves(training.widths)?, options)?))
            }
            Self::Chains { network, .. } => {
                let run = RunState::new(gpu, 1)?;
                let energy = NetworkEnergy::new(Model::new(gpu, "energy", network.clone(), &run)?)?;
                let options = ChainOptions::default()
                    .with_chains(size.rows)
                    .with_dynamics(Langevin::default().with_steps(size.steps));
                let sampler = ChainSampler::from_points(gpu, &energy, &options)?;
                if let Some(start) = sampler.start() {
                    start.write(gpu, &data(5, start.shape().len()))?;
                }
                Workload::Chains(Box::new(sampler))
            }
            Self::Contrast(contrast) => {
                let (trainer, initial) = contrast.build(gpu, size.rows)?;
                Workload::Contrast { trainer: Box::new(trainer), initial }
            }
            Self::Guided(guided) => Workload::Guided(Box::new(guided.build(gpu, size.rows, size.steps)?)),
            Self::Control => {
                let run = RunState::new(gpu, 0)?;
                let mut recording = Recording::new("control");
                RunState::record_advance(&mut recording)?;
                let plan = Box::new(recording.compile(gpu, &run.bindings())?);
                Workload::Plan { plan, description: recording.describe() }
            }
        })
    }
}

/// Rows of the data of all workloads.
const ROWS: usize = 4096;

/// Smooth, asymmetric numbers in [-1, 1]; the time of a step does not depend on them.
pub fn fill(width: usize) -> Vec<f32> {
    let wave = |row: usize, column: usize| ((row * 7 + column * 13) as f32 * 0.37).sin();
    (0..ROWS * width).map(|at| wave(at / width, at % width)).collect()
}

fn waves((x_width, y_width): (usize, usize)) -> Result<Dataset> {
    Dataset::new(fill(x_width), x_width, fill(y_width), y_width)
}

/// A compiled workload.
pub enum Workload {
    Training(Box<Trainer>),
    Chains(Box<ChainSampler>),
    Contrast { trainer: Box<Trainer>, initial: Vec<f32> },
    Guided(Box<DiffusionSampler>),
    Plan { plan: Box<Plan>, description: String },
}

impl Workload {
    pub fn plan(&self) -> &Plan {
        match self {
            Self::Training(trainer) => trainer.plan(),
            Self::Chains(sampler) => sampler.plan(),
            Self::Contrast { trainer, .. } => trainer.plan(),
            Self::Guided(sampler) => sampler.plan(),
            Self::Plan { plan, .. } => plan,
        }
    }

    /// A table of the dispatches, where the recording is still there.
    pub fn describe(&self) -> String {
        match self {
            Self::Training(trainer) => trainer.description().to_owned(),
            Self::Chains(sampler) => format!("{} dispatches in all\n", sampler.plan().dispatches()),
            Self::Contrast { trainer, .. } => trainer.description().to_owned(),
            Self::Guided(sampler) => {
                format!("{}{} dispatches in all\n", sampler.description(), sampler.plan().dispatches())
            }
            Self::Plan { description, .. } => description.clone(),
        }
    }

    /// Checks what was left behind: numbers, and the chains or weights that moved.
    ///
    /// # Errors
    /// Numbers that are not finite, or all the same.
    pub fn check(&self, gpu: &Gpu) -> Result<(), Failure> {
        let (what, values): (_, Vec<f32>) = match self {
            Self::Training(trainer) => ("weights", gpu.read(trainer.raw_model("energy")?.parameters())?),
            Self::Chains(sampler) => ("chains", gpu.read(sampler.result())?),
            Self::Contrast { trainer, .. } => {
                ("weights", gpu.read(trainer.raw_model("energy")?.parameters())?)
            }
            Self::Guided(sampler) => ("samples", gpu.read(sampler.result())?),
            Self::Plan { .. } => return Ok(()),
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(format!("the {what} hold {} at element {at}", values[at]).into());
        }
        match self {
            Self::Chains(_) if values == data(5, values.len()) => Err("the chains did not move".into()),
            // A step whose loss is not finite leaves the weights alone.
            Self::Contrast { initial, .. } if &values == initial => Err("no step moved the weights".into()),
            Self::Guided(_) if values.iter().all(|value| *value == values[0]) => {
                Err("the samples are all the same".into())
            }
            _ => Ok(()),
        }
    }
}
