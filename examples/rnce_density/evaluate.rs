//! Measures of a trained model, against the exact density where there is one.

use gibbs::nn::{Energy, Points, evaluate_energy};
use gibbs::proposal::evaluate_log_density;
use gibbs::sampler::{ChainOptions, ChainSampler, Return};
use gibbs::tasks::density::measure;
use gibbs::train::RnceTrainer;
use gibbs::{Gpu, Result};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::target::Target;

/// Chains per context.
pub const CHAINS: usize = 16_384;
/// Bins along each side of the histograms of chains.
pub const BINS: usize = 64;
/// Seed offset of chains and exact draws: numbers that training has not used.
const FRESH: u64 = 0x9e37_79b9;

/// One context's pictures.
pub struct Panel {
    pub label: String,
    /// The exact density on the evaluation grid, or the data in [`BINS`] x [`BINS`] bins; neither for the contexts of a file.
    pub truth: Option<Vec<f64>>,
    pub learned: Vec<f64>,
    pub proposal: Vec<f64>,
    /// Histogram of the chains in [`BINS`] x [`BINS`] bins.
    pub chains: Vec<f64>,
}

/// Everything measured at the end of a run. Coefficients only where there is an exact density, panels only for actions of two
/// numbers.
pub struct Measures {
    pub bhattacharyya: Option<f64>,
    pub proposal: Option<f64>,
    pub langevin: Option<f64>,
    pub exact_samples: Option<f64>,
    pub panels: Vec<Panel>,
    /// Ends of the chains, `[contexts, CHAINS, dims]`.
    pub chains: Vec<f32>,
}

/// Coefficient of the learned density on the evaluation grid, mean over contexts, with the densities.
pub fn learned_densities(
    gpu: &Gpu,
    target: &Target,
    energy: &dyn Energy,
    truth: Option<&[Vec<f64>]>,
) -> Result<(Option<f64>, Vec<Vec<f64>>)> {
    on_grid(target, truth, |points| {
        let energies = evaluate_energy(gpu, energy, points)?;
        Ok(energies.iter().map(|&e| -f64::from(e)).collect())
    })
}

/// The exact density of every context on the evaluation grid.
pub fn truth(target: &Target) -> Option<Vec<Vec<f64>>> {
    let density = target.source.density()?;
    Some(target.truth_contexts().iter().map(|&context| density.grid(context.into()).values).collect())
}

fn on_grid(
    target: &Target,
    truth: Option<&[Vec<f64>]>,
    mut log_density: impl FnMut(&Points<'_>) -> Result<Vec<f64>>,
) -> Result<(Option<f64>, Vec<Vec<f64>>)> {
    let area = target.cell_area(target.cells);
    let y = target.grid();
    let mut sum = 0.0;
    let mut all = Vec::new();
    for index in 0..target.labels.len() {
        // One context at a time keeps every tensor below the smallest binding limit.
        let points = Points { context: target.context(index), contexts: 1, y: &y, dims: 2 };
        let values = measure::normalise_log_density(&log_density(&points)?, area);
        if let Some(truth) = truth {
            sum += measure::bhattacharyya(&truth[index], &values, area);
        }
        all.push(values);
    }
    Ok((truth.map(|_| sum / target.labels.len() as f64), all))
}

/// All measures of the finished run.
pub fn final_measures(gpu: &Gpu, target: &Target, trainer: &RnceTrainer, seed: u64) -> Result<Measures> {
    let contexts = target.labels.len();
    let energy = trainer.averaged_energy()?;
    let proposal = trainer.proposal();
    let mut measures = Measures {
        bhattacharyya: None,
        proposal: None,
        langevin: None,
        exact_samples: None,
        panels: Vec::new(),
        chains: Vec::new(),
    };
    let truth = truth(target);
    let (mut learned, mut proposed) = (Vec::new(), Vec::new());
    if target.dims == 2 {
        (measures.bhattacharyya, learned) = learned_densities(gpu, target, &energy, truth.as_deref())?;
        (measures.proposal, proposed) = on_grid(target, truth.as_deref(), |points| {
            let values = evaluate_log_density(gpu, proposal, points)?;
            Ok(values.iter().map(|&value| value.into()).collect())
        })?;
    }
    let options = ChainOptions {
        contexts,
        context_width: target.context_width,
        chains: CHAINS,
        dynamics: target.langevin().into(),
        returns: Return::All,
        seed: seed ^ FRESH,
    };
    let mut sampler = ChainSampler::new(gpu, &energy, proposal, &options)?;
    measures.chains = sampler.sample(&target.contexts)?;
    if target.dims != 2 {
        return Ok(measures);
    }

    let area = target.cell_area(BINS);
    let truth_contexts = target.truth_contexts();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ FRESH);
    let (mut of_chains, mut of_draws) = (0.0, 0.0);
    let results = learned.into_iter().zip(proposed).enumerate();
    for (index, (learned, proposal)) in results {
        let points: Vec<[f32; 2]> = measures.chains[index * 2 * CHAINS..(index + 1) * 2 * CHAINS]
            .chunks_exact(2)
            .map(|pair| [pair[0], pair[1]])
            .collect();
        let histogram = target.histogram(&points, BINS);
        if let (Some(density), Some(truth)) = (target.source.density(), &truth) {
            let coarse = coarsen(&truth[index], target.cells, BINS);
            of_chains += measure::bhattacharyya(&coarse, &histogram, area);
            let draws = density.sample(truth_contexts[index], CHAINS, &mut rng);
            of_draws += measure::bhattacharyya(&coarse, &target.histogram(&draws, BINS), area);
        }
        let cloud = target.cloud.as_ref().map(|points| target.histogram(points, BINS));
        measures.panels.push(Panel {
            label: target.labels[index].clone(),
            truth: truth.as_ref().map(|truth| truth[index].clone()).or(cloud),
            learned,
            proposal,
            chains: histogram,
        });
    }
    if truth.is_some() {
        measures.langevin = Some(of_chains / contexts as f64);
        measures.exact_samples = Some(of_draws / contexts as f64);
    }
    Ok(measures)
}

/// Mean density over blocks of cells.
fn coarsen(values: &[f64], cells: usize, bins: usize) -> Vec<f64> {
    let block = cells / bins;
    let mut coarse = vec![0.0; bins * bins];
    for (index, value) in values.iter().enumerate() {
        let (row, column) = (index / cells / block, index % cells / block);
        coarse[row * bins + column] += value / (block * block) as f64;
    }
    coarse
}
