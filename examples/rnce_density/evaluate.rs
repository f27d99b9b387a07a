//! Measures of a trained model, against the exact density where there is one.

use gibbs::energy::{Energy, evaluate_energy};
use gibbs::gpu::Points;
use gibbs::mcmc::{ChainOptions, ChainSampler, Return};
use gibbs::proposal::evaluate_log_density;
use gibbs::tasks::density::histogram;
use gibbs::train::Trainer;
use gibbs::{Gpu, Result};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::common::pictures::{Panel, Row, peak};
use super::target::Target;

/// Chains per context, unless actions are wide.
const CHAINS: usize = 16_384;
/// Most numbers of all chains together: 64 MiB, half of what any device binds at a time.
const MAX_NUMBERS: usize = 1 << 24;
/// Bins along each side of the histograms of chains.
pub const BINS: usize = 64;
/// Seed offset of chains and exact draws: numbers that training has not used.
const FRESH: u64 = 0x9e37_79b9;

/// Chains per context that fit any device.
pub fn chains_per_context(contexts: usize, dims: usize) -> usize {
    CHAINS.min(MAX_NUMBERS / (contexts * dims).max(1)).max(1)
}

/// Everything measured at the end of a run. Coefficients only where there is an exact density,
/// pictures only for actions of two numbers.
#[derive(Default)]
pub struct Measures {
    pub bhattacharyya: Option<f64>,
    pub proposal: Option<f64>,
    pub langevin: Option<f64>,
    pub exact_samples: Option<f64>,
    /// For each context the exact density or, from a file, the data, if there is one cloud of them;
    /// then the learned density, the proposal and the chains.
    pub rows: Vec<Row>,
    /// Ends of the chains, `[contexts, chains, dims]`.
    pub chains: Vec<f32>,
    /// Chains that came out not finite.
    pub non_finite: u64,
}

/// The coefficient, mean over contexts, with the densities on the evaluation grid.
type Densities = (Option<f64>, Vec<Vec<f64>>);

pub fn learned_densities(gpu: &Gpu, target: &Target, energy: &dyn Energy) -> Result<Densities> {
    on_grid(target, |points| {
        let energies = evaluate_energy(gpu, energy, points)?;
        Ok(energies.iter().map(|&e| -f64::from(e)).collect())
    })
}

fn on_grid(
    target: &Target,
    mut log_density: impl FnMut(&Points<'_>) -> Result<Vec<f64>>,
) -> Result<Densities> {
    let (area, y, contexts) = (target.cell_area(target.cells), target.grid(), target.labels.len());
    let mut all = Vec::new();
    for index in 0..contexts {
        // One context at a time keeps every tensor below the smallest binding limit.
        let points = Points { context: target.context(index), contexts: 1, y: &y, dims: 2 };
        all.push(histogram::normalize_log_density(&log_density(&points)?, area));
    }
    let mean = target.exact.as_ref().map(|exact| {
        let pairs = exact.grids.iter().zip(&all);
        let sum = pairs.fold(0.0, |sum, (truth, found)| sum + histogram::bhattacharyya(truth, found, area));
        sum / contexts as f64
    });
    Ok((mean, all))
}

/// All measures of the finished run.
pub fn final_measures(gpu: &Gpu, target: &Target, trainer: &Trainer) -> Result<Measures> {
    let (contexts, seed) = (target.labels.len(), trainer.options().seed ^ FRESH);
    let energy = trainer.averaged_energy()?;
    let proposal = &*trainer.raw_proposal()?;
    let mut measures = Measures::default();
    let (mut learned, mut proposed) = (Vec::new(), Vec::new());
    if target.dims == 2 {
        (measures.bhattacharyya, learned) = learned_densities(gpu, target, &energy)?;
        (measures.proposal, proposed) = on_grid(target, |points| {
            let values = evaluate_log_density(gpu, proposal, points)?;
            Ok(values.iter().map(|&value| value.into()).collect())
        })?;
    }
    let per_context = chains_per_context(contexts, target.dims);
    let options = ChainOptions::default()
        .with_contexts(contexts)
        .with_context_width(target.context_width)
        .with_chains(per_context)
        .with_dynamics(target.langevin())
        .with_returns(Return::All)
        .with_seed(seed);
    let mut sampler = ChainSampler::new(gpu, &energy, proposal, &options)?;
    measures.chains = sampler.sample(&target.contexts)?;
    measures.non_finite = sampler.stats().lost_chains;

    let area = target.cell_area(BINS);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut of_chains, mut of_draws) = (0.0, 0.0);
    // Neither has any where actions are no points of a plane.
    for (index, (learned, proposal)) in learned.into_iter().zip(proposed).enumerate() {
        let ends = &measures.chains[index * 2 * per_context..(index + 1) * 2 * per_context];
        let chains = target.histogram(ends.as_chunks().0, BINS);
        let mut truth = target.cloud.as_ref().map(|points| target.histogram(points, BINS));
        if let Some(exact) = &target.exact {
            let coarse = histogram::coarsen(&exact.grids[index], target.cells, BINS);
            of_chains += histogram::bhattacharyya(&coarse, &chains, area);
            let draws = exact.density.sample(exact.contexts[index], CHAINS, &mut rng);
            of_draws += histogram::bhattacharyya(&coarse, &target.histogram(&draws, BINS), area);
            truth = Some(exact.grids[index].clone());
        }
        // One scale per context, so that the columns can be compared.
        let peak = peak(truth.as_ref().unwrap_or(&learned));
        let columns = truth.iter().chain([&learned, &proposal, &chains]);
        let panels = columns.map(|values| Some(Panel::heat(values, peak))).collect();
        measures.rows.push(Row { label: target.labels[index].clone(), panels });
    }
    let mean = |sum: f64| target.exact.as_ref().map(|_| sum / contexts as f64);
    Ok(Measures { langevin: mean(of_chains), exact_samples: mean(of_draws), ..measures })
}
