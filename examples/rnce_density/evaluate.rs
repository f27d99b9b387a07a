//! Measures of a trained model against the exact density.

use gibbs::nn::{Energy, Points, evaluate_energy};
use gibbs::proposal::{UniformBox, evaluate_log_density};
use gibbs::sampler::{Anneal, ChainOptions, ChainSampler, Langevin, Return};
use gibbs::tasks::density::{Density, measure};
use gibbs::train::RnceTrainer;
use gibbs::{Gpu, Result};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// Chains per context.
pub const CHAINS: usize = 16_384;
/// Bins along each side of the histograms of chains.
pub const BINS: usize = 64;
/// Seed offset of chains and exact draws: numbers that training has not used.
const FRESH: u64 = 0x9e37_79b9;

/// The chains that are measured: start at the proposal, steps in squared data units.
pub fn langevin(density: Density) -> Langevin {
    let bound = density.half_width() as f32;
    Langevin {
        steps: 40,
        sizes: Anneal::Geometric { first: 3e-3, last: 3e-5 },
        bounds: UniformBox::new(&[-bound; 2], &[bound; 2]).ok(),
        ..Langevin::default()
    }
}

/// One context's pictures.
pub struct Panel {
    pub label: String,
    pub truth: Vec<f64>,
    pub learned: Vec<f64>,
    pub proposal: Vec<f64>,
    /// Histogram of the chains in [`BINS`] x [`BINS`] bins.
    pub chains: Vec<f64>,
}

/// Everything measured at the end of a run.
pub struct Measures {
    pub bhattacharyya: f64,
    pub proposal: f64,
    pub langevin: f64,
    pub exact_samples: f64,
    pub panels: Vec<Panel>,
}

/// Coefficient of the learned density on the evaluation grid, mean over contexts, with the densities.
pub fn learned_densities(
    gpu: &Gpu,
    density: Density,
    energy: &dyn Energy,
    truth: &[Vec<f64>],
) -> Result<(f64, Vec<Vec<f64>>)> {
    on_grid(density, truth, |points| {
        let energies = evaluate_energy(gpu, energy, points)?;
        Ok(energies.iter().map(|&e| -f64::from(e)).collect())
    })
}

/// The exact density of every context on the evaluation grid.
pub fn truth(density: Density) -> Vec<Vec<f64>> {
    density.contexts().iter().map(|&context| density.grid(context.into()).values).collect()
}

fn on_grid(
    density: Density,
    truth: &[Vec<f64>],
    mut log_density: impl FnMut(&Points<'_>) -> Result<Vec<f64>>,
) -> Result<(f64, Vec<Vec<f64>>)> {
    let (half_width, cells) = (density.half_width(), density.cells());
    let area = measure::cell_area(half_width, cells);
    let y: Vec<f32> = measure::cell_centres(half_width, cells).flatten().map(|value| value as f32).collect();
    let mut sum = 0.0;
    let mut all = Vec::new();
    for (context, truth) in density.contexts().iter().zip(truth) {
        // One context at a time keeps every tensor below the smallest binding limit.
        let points = Points { context: &[*context], contexts: 1, y: &y, dims: 2 };
        let values = measure::normalise_log_density(&log_density(&points)?, area);
        sum += measure::bhattacharyya(truth, &values, area);
        all.push(values);
    }
    Ok((sum / density.contexts().len() as f64, all))
}

/// All measures of the finished run.
pub fn final_measures(gpu: &Gpu, density: Density, trainer: &RnceTrainer, seed: u64) -> Result<Measures> {
    let contexts = density.contexts();
    let truth = truth(density);
    let energy = trainer.averaged_energy()?;
    let (bhattacharyya, learned) = learned_densities(gpu, density, &energy, &truth)?;
    let proposal = trainer.proposal();
    let (proposal_bc, proposed) = on_grid(density, &truth, |points| {
        let values = evaluate_log_density(gpu, proposal, points)?;
        Ok(values.iter().map(|&value| value.into()).collect())
    })?;
    let options = ChainOptions {
        contexts: contexts.len(),
        context_width: 1,
        chains: CHAINS,
        dynamics: langevin(density).into(),
        returns: Return::All,
        seed: seed ^ FRESH,
    };
    let mut sampler = ChainSampler::new(gpu, &energy, proposal, &options)?;
    let chains = sampler.sample(contexts)?;

    let half_width = density.half_width();
    let area = measure::cell_area(half_width, BINS);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ FRESH);
    let (mut of_chains, mut of_draws) = (0.0, 0.0);
    let mut panels = Vec::new();
    for (index, &context) in contexts.iter().enumerate() {
        let points: Vec<[f32; 2]> = chains[index * 2 * CHAINS..(index + 1) * 2 * CHAINS]
            .chunks_exact(2)
            .map(|pair| [pair[0], pair[1]])
            .collect();
        let coarse = coarsen(&truth[index], density.cells(), BINS);
        let histogram = measure::histogram(&points, half_width, BINS);
        of_chains += measure::bhattacharyya(&coarse, &histogram, area);
        let draws = density.sample(context, CHAINS, &mut rng);
        of_draws += measure::bhattacharyya(&coarse, &measure::histogram(&draws, half_width, BINS), area);
        panels.push(Panel {
            label: density.label(context),
            truth: truth[index].clone(),
            learned: learned[index].clone(),
            proposal: proposed[index].clone(),
            chains: histogram,
        });
    }
    let count = contexts.len() as f64;
    Ok(Measures {
        bhattacharyya,
        proposal: proposal_bc,
        langevin: of_chains / count,
        exact_samples: of_draws / count,
        panels,
    })
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
